"""What an application holds for its lifetime."""

from dataclasses import dataclass
from datetime import timedelta

from core.passwords import PasswordHasher
from core.settings import Settings
from core.tokens import AccessTokens
from db.engine import Database
from services.authentication import Authenticator
from services.connections import Bounds, Connections
from services.feed import Feed
from services.login_failures import LoginFailures
from services.rate_limits import RateLimits
from services.readiness import Readiness
from services.sessions import Security


@dataclass(frozen=True, slots=True)
class State:
    """The parts that requests share, made once from the settings."""

    settings: Settings
    database: Database
    security: Security
    authenticator: Authenticator
    feed: Feed
    readiness: Readiness
    connections: Connections
    introspection: bool
    """Whether the schema is shown."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "State":
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
                redis_url=settings.redis_url,
            ),
            failures=LoginFailures(
                pair=settings.login_failure_limit,
                address=settings.login_address_failure_limit,
                account=settings.login_account_failure_limit,
                secret=settings.secret_key.get_secret_value(),
            ),
        )
        key = settings.api_key.get_secret_value() if settings.api_key else None
        authenticator = Authenticator(database, tokens, server_key=key)
        bounds = Bounds(
            connections=settings.sockets_per_caller,
            operations=settings.operations_per_caller,
            strangers=settings.sockets_per_address,
        )
        return cls(
            settings,
            database,
            security,
            authenticator,
            Feed(database),
            Readiness(database),
            Connections(database, bounds),
            settings.introspection_on,
        )
