"""The worker's work, put together from the settings: what there are jobs for, and who reads the feed.

A feature that has something to be done beside the requests is named here, and nowhere else.
"""

from dataclasses import dataclass
from datetime import timedelta

from core.mail import make_mailer
from core.settings import Settings
from db.driver.database import Database
from services.events import due_dates
from services.events.due_dates import DueDates
from services.events.notifier import CONSUMER as NOTIFICATIONS
from services.events.reminding import Reminding
from services.features import NODES
from services.jobs.worker import Handler, Worker
from services.mailing import digests, sending
from services.mailing.digests import Digests
from services.mailing.sending import Mailing
from services.mailing.texts import Addresses
from services.mailing.tokens import MailTokens
from services.recurrences import rows as recurrences
from services.recurrences.schedule import Schedule
from services.upkeep import KINDS, Figures, Upkeep
from services.webhooks.addresses import Rules
from services.webhooks.commands import Outlet
from services.webhooks.delivering import DELAYS, Deliverer
from services.webhooks.documents import Documents
from services.webhooks.fan_out import CONSUMER as WEBHOOKS
from services.webhooks.queries import JOB
from services.webhooks.signatures import Signer


@dataclass(frozen=True, slots=True)
class Work:
    """A worker, and what may be known of what it does."""

    worker: Worker
    deliverer: Deliverer
    figures: Figures
    reminding: Reminding
    mailing: Mailing


def make_outlet(settings: Settings, documents: Documents) -> Outlet:
    """What the settings say of webhooks; ``documents`` knows the schema that theirs are of."""
    rules = Rules(https_only=settings.environment == "production", ports=frozenset(settings.webhook_test_ports))
    return Outlet(rules, Signer(settings.secret_key.get_secret_value()), documents)


def make_work(database: Database, settings: Settings, outlet: Outlet) -> Work:
    """A worker for a database."""
    deliverer = Deliverer(
        database,
        outlet,
        NODES,
        timeout_seconds=settings.webhook_timeout_seconds,
        delays=settings.webhook_test_delays or DELAYS,
        resolver=settings.webhook_resolver,
    )
    days = settings.event_retention_days
    consumers = (WEBHOOKS, NOTIFICATIONS)
    upkeep = Upkeep(
        database,
        None if days is None else timedelta(days=days),
        timedelta(days=settings.webhook_log_days),
        consumers,
    )
    dates = DueDates(database, settings.due_soon_days)
    reminding, mailing = Reminding(database), make_mailing(database, settings)
    handlers: dict[str, Handler] = {
        JOB: deliverer,
        **upkeep.handlers,
        **dates.handlers,
        **reminding.handlers,
        **mailing.handlers,
        **Digests(database, mailing).handlers,
        **Schedule(database).handlers,
    }
    always = (*KINDS, due_dates.JOB, digests.JOB, sending.PURGE, recurrences.JOB)
    return Work(
        Worker(database, handlers, consumers, always=always, lease_seconds=settings.worker_lease_seconds),
        deliverer,
        upkeep.figures,
        reminding,
        mailing,
    )


def make_mailing(database: Database, settings: Settings) -> Mailing:
    """What sends people their messages, as the settings say."""
    tokens = MailTokens(settings.secret_key.get_secret_value())
    return Mailing(
        database,
        make_mailer(settings),
        Addresses(tokens, settings.public_url, settings.task_url),
        sender=settings.mail_from,
        verified_only=settings.email_verification != "off",
    )
