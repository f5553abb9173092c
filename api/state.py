"""What an application holds for its lifetime."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from api.http.list_tags import KnownLists
from core.mail import Outbox, make_mailer
from core.passwords import PasswordHasher
from core.settings import Settings
from core.tokens import AccessTokens
from db.driver.database import Database
from services.allowances.login_failures import LoginFailures
from services.allowances.rate_limits import RateLimits
from services.authentication import Authenticator
from services.connections import Bounds, Connections
from services.events.feed import Feed
from services.events.notification_feed import NotificationFeed
from services.events.numbering import Numberer
from services.jobs.worker import Leader
from services.live_lists.hub import LiveLists
from services.mailing.tokens import MailTokens
from services.readiness import Readiness
from services.shared.security import AccountRules, Security
from services.webhooks.commands import Outlet
from services.webhooks.documents import Documents
from services.work import Work, make_outlet, make_work

if TYPE_CHECKING:
    from graphql_schema.execution.executor import Executor


@dataclass(frozen=True, slots=True)
class State:
    """The parts that requests share, made once from the settings."""

    settings: Settings
    database: Database
    security: Security
    authenticator: Authenticator
    feed: Feed
    notification_feed: NotificationFeed
    live_lists: LiveLists
    numberer: Numberer
    readiness: Readiness
    connections: Connections
    executor: "Executor"
    """What executes GraphQL operations; named here, and imported by ``api.graphql`` alone."""
    introspection: bool
    """Whether the schema is shown."""
    outlet: Outlet
    work: Work
    leader: Leader | None
    """What works beside the requests, in one of the processes at a time; None where that is left to others."""
    known_lists: KnownLists = field(default_factory=KnownLists)
    """The lists that were asked for by ``If-None-Match``."""

    @classmethod
    def from_settings(cls, settings: Settings, executor: "Executor", documents: Documents) -> "State":
        database = Database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            pool_timeout=settings.database_pool_timeout,
            request_timeout=settings.request_timeout_seconds,
        )
        tokens = AccessTokens(
            secret=settings.secret_key.get_secret_value(),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            lifetime_seconds=settings.access_token_minutes * 60,
            private_key_file=settings.jwt_private_key_file,
        )
        security = Security(
            tokens=tokens,
            hasher=PasswordHasher(memory_kib=settings.argon2_memory_kib, rounds=settings.argon2_rounds),
            refresh_lifetime=timedelta(days=settings.refresh_token_days),
            limits=RateLimits(
                general=settings.rate_limit,
                login=settings.login_rate_limit,
                registration=settings.registration_rate_limit,
                refresh=settings.refresh_rate_limit,
                probes=settings.probe_rate_limit,
                password_reset=settings.password_reset_rate_limit,
                redis_url=settings.redis_url,
            ),
            failures=LoginFailures(
                pair=settings.login_failure_limit,
                address=settings.login_address_failure_limit,
                account=settings.login_account_failure_limit,
                secret=settings.secret_key.get_secret_value(),
            ),
            outbox=Outbox(make_mailer(settings), sender=settings.mail_from),
            accounts=AccountRules(
                settings.registration,
                timedelta(minutes=settings.password_reset_minutes),
                settings.password_reset_url,
                settings.email_verification,
            ),
            mail_tokens=MailTokens(settings.secret_key.get_secret_value()),
        )
        key = settings.api_key.get_secret_value() if settings.api_key else None
        authenticator = Authenticator(database, tokens, server_key=key)
        bounds = Bounds(
            connections=settings.sockets_per_caller,
            operations=settings.operations_per_caller,
            strangers=settings.sockets_per_address,
        )
        feed = Feed(database)
        outlet = make_outlet(settings, documents)
        work = make_work(database, settings, outlet)
        return cls(
            settings,
            database,
            security,
            authenticator,
            feed,
            NotificationFeed(database),
            LiveLists(database, feed),
            Numberer(database),
            Readiness(database),
            Connections(database, bounds),
            executor,
            settings.introspection_on,
            outlet,
            work,
            Leader(database, work.worker) if settings.embedded_worker else None,
        )

    @property
    def followed(self) -> dict[str, Feed | LiveLists | NotificationFeed]:
        """What clients follow, by its name."""
        return {"changes": self.feed, "live_lists": self.live_lists, "notifications": self.notification_feed}
