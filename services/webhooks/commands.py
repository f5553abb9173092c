"""Making, changing and deleting webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import Session
from db.models import User, Webhook, WebhookDelivery
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.events.numbering import END, number_events
from services.jobs import queue
from services.projects.locks import Hold, hold
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, Expected, NotFound, require_next
from services.shared.idempotency import repeatable, while_readable
from services.webhooks import filters
from services.webhooks.addresses import NotAllowed, Rules, read
from services.webhooks.documents import Documents
from services.webhooks.models import (
    MAX_OF_PROJECT,
    MAX_WEBHOOKS,
    OF_TASKS,
    DeliveryState,
    WebhookContent,
    WebhookCreate,
    WebhookSecretRotate,
    WebhookState,
    WebhookUpdate,
)
from services.webhooks.queries import JOB, get, lock, make, visible
from services.webhooks.records import COLUMNS, WebhookRecord
from services.webhooks.signatures import Signer, new_salt


@dataclass(frozen=True, slots=True)
class Outlet:
    """What the server's settings say of webhooks, and who knows the schema that their documents are of."""

    rules: Rules
    signer: Signer
    documents: Documents

    def check(self, url: str) -> None:
        """Raises ``BadUserInput`` for an address that webhooks may not lead to."""
        try:
            read(url, self.rules)
        except NotAllowed as refusal:
            raise BadUserInput.at("/url", str(refusal), "address") from None


def shown(webhook: WebhookRecord, outlet: Outlet) -> WebhookRecord:
    """What is answered of a webhook whose secret was just made: with it. What is kept for a repeat has the salt alone,
    as the webhook's row has."""
    return webhook._replace(secret=outlet.signer.secret(webhook.salt))


@repeatable("webhook.create", scope=Scope.PROJECTS_ADMIN, read=while_readable(get), beside=["outlet"])
async def create(session: Session, actor: Actor, data: WebhookCreate, *, outlet: Outlet) -> WebhookRecord:
    """Make a webhook of the caller's, which is told of what happens from now on. Its secret is ``shown`` this once.

    Raises ``BadUserInput`` for an address, a filter or a document that it may not have, ``TooExpensive`` for a filter
    or a document that asks for too much, ``NotFound`` for a project that the caller may not read, ``Conflict`` where
    there are ``MAX_WEBHOOKS`` of the caller's or ``MAX_OF_PROJECT`` of the project.
    """
    user_id = actor.require(Scope.PROJECTS_ADMIN)
    actor.require_unlimited("have webhooks")
    outlet.check(data.url)
    _require_document(data.content.value, data.document)
    _require_of_tasks(data.kinds, data.filter is not None)
    if data.document is not None:
        await outlet.documents.check(data.document)
    filter_ = None if data.filter is None else await filters.stored(session, actor, data.filter)
    # one at a time for each person, or two could pass the limit together
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    if await session.count(visible(actor)) >= MAX_WEBHOOKS:
        raise Conflict(f"You have {MAX_WEBHOOKS} webhooks, which is as many as there can be")
    if data.project_id is not None:
        await _require_room(session, actor, data.project_id)
    await number_events(session, wait=True)  # what has happened before is not told
    moment, salt = now(), new_salt()
    values = {
        "name": data.name,
        "url": data.url,
        "project_id": data.project_id,
        "kinds": _kinds(data.kinds),
        "filter": filter_,
        "content": _stored(data.content.value),
        "document": data.document,
    }
    stored = {
        "owner_id": user_id,
        "salt": salt,
        "since": await session.scalar(END),
        "created_at": moment,
        "updated_at": moment,
    }
    row = await session.one(insert(Webhook).values(**values, **stored).returning(*COLUMNS))
    await queue.wake(session)  # whoever reads the feed has somebody to tell
    webhook = make(row)
    if filter_ is not None:
        await filters.learn(session, actor, webhook.id, data.project_id, filter_)
    told = {name: values[name] for name in ("name", "project_id", "kinds", "filter", "document")}
    told["content"] = webhook.content
    await _record(session, actor, catalogue.WEBHOOK_CREATED, webhook, log.created(told))
    return webhook._replace(salt=salt)


async def update(
    session: Session,
    actor: Actor,
    webhook_id: int,
    data: WebhookUpdate,
    *,
    outlet: Outlet,
    expected_version: Expected = None,
) -> WebhookRecord:
    """Change a webhook. What waits goes to the address that it has then, and is what its content and document say then,
    unless it was made already. Raises ``NotFound``, ``VersionConflict``, ``BadUserInput``, ``TooExpensive``."""
    actor.require(Scope.PROJECTS_ADMIN)
    sent = {name: getattr(value, "value", value) for name, value in data.sent().items()}
    # before anything is held
    if sent.get("document") is not None:
        await outlet.documents.check(sent["document"])
    if sent.get("filter") is not None:
        sent["filter"] = await filters.stored(session, actor, sent["filter"])
    webhook = await lock(session, actor, webhook_id, expected_version)
    if "url" in sent:
        outlet.check(sent["url"])
    if "kinds" in sent:
        sent["kinds"] = _kinds(sent["kinds"])
    content = sent.get("content", webhook.content)
    if content != WebhookContent.DOCUMENT.value:
        sent.setdefault("document", None)
    _require_document(content, sent.get("document", webhook.document))
    _require_of_tasks(sent.get("kinds", webhook.raw_kinds), sent.get("filter", webhook.filter) is not None)
    before = webhook._asdict() | {"kinds": webhook.raw_kinds}
    changes = log.differences(before, sent)
    if not changes:
        return webhook
    values = {name: _stored(sent[name]) if name == "content" else sent[name] for name in changes}
    told = {name: change for name, change in changes.items() if name != "url"}
    if "filter" in changes:
        await filters.learn(session, actor, webhook_id, webhook.project_id, sent["filter"])
    return await _write(session, actor, webhook, catalogue.WEBHOOK_UPDATED, values, told)


@repeatable("webhook.rotate", scope=Scope.PROJECTS_ADMIN, read=while_readable(get))
async def rotate(session: Session, actor: Actor, webhook_id: int, data: WebhookSecretRotate) -> WebhookRecord:
    """Give a webhook another secret, which is ``shown`` this once; messages are signed with both for a while. Raises
    ``NotFound``."""
    webhook = await lock(session, actor, webhook_id, None)
    salt, until = new_salt(), now() + timedelta(seconds=data.grace_seconds) if data.grace_seconds else None
    values = {"salt": salt, "former_salt": Webhook.salt if until else None, "former_until": until}
    changes = {"former_until": (webhook.former_until, until)}
    webhook = await _write(session, actor, webhook, catalogue.WEBHOOK_ROTATED, values, changes)
    return webhook._replace(salt=salt)


async def pause(session: Session, actor: Actor, webhook_id: int) -> WebhookRecord:
    """Have what happens wait; one that is paused stays so. Raises ``NotFound``."""
    webhook = await lock(session, actor, webhook_id, None)
    if webhook.state == WebhookState.PAUSED:
        return webhook
    values = {"state": WebhookState.PAUSED.value, "disabled_reason": None}
    changes = {"state": (webhook.state, values["state"])}
    return await _write(session, actor, webhook, catalogue.WEBHOOK_PAUSED, values, changes)


async def resume(session: Session, actor: Actor, webhook_id: int) -> WebhookRecord:
    """Tell a webhook that was paused or disabled what has waited, and what happens; what failed stays so. One that is
    active is tried at once. Raises ``NotFound``."""
    webhook = await lock(session, actor, webhook_id, None)
    values: dict[str, object] = {"failures": 0, "held_until": None}
    await queue.schedule(session, JOB, [webhook_id], now())
    if webhook.state == WebhookState.ACTIVE:
        await session.execute(sql_update(Webhook).where(Webhook.id == webhook_id).values(**values))
        return webhook._replace(failures=0, held_until=None)
    await session.execute(
        sql_update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == DeliveryState.WAITING.value)
        .values(tries=0, next_attempt_at=now())
    )
    changes = {"state": (webhook.state, WebhookState.ACTIVE.value)}
    values |= {"state": WebhookState.ACTIVE.value, "disabled_reason": None}
    return await _write(session, actor, webhook, catalogue.WEBHOOK_RESUMED, values, changes)


async def delete(session: Session, actor: Actor, webhook_id: int, *, expected_version: Expected = None) -> None:
    """Delete a webhook and what it was to be told. Raises ``NotFound``, ``VersionConflict``."""
    webhook = await lock(session, actor, webhook_id, expected_version)
    session.takes_long()
    await queue.cancel(session, JOB, webhook_id)
    await session.execute(sql_delete(Webhook).where(Webhook.id == webhook_id))
    await _record(session, actor, catalogue.WEBHOOK_DELETED, webhook, {"name": (webhook.name, None)})


async def _require_room(session: Session, actor: Actor, project_id: int) -> None:
    # in turn: two people could pass the limit together; and with the membership: who leaves has no webhook there
    project = (await hold(session, actor, [project_id], Hold.IN_TURN)).get(project_id)
    if project is None:
        raise NotFound("Project", pointer="/project_id")
    if await session.scalar(select(func.count()).where(Webhook.project_id == project_id)) >= MAX_OF_PROJECT:
        raise Conflict(f"The project {project.key} has {MAX_OF_PROJECT} webhooks, which is as many as there can be")


async def _write(
    session: Session,
    actor: Actor,
    webhook: WebhookRecord,
    kind: EventKind,
    values: Mapping[str, object],
    changes: log.Changes,
) -> WebhookRecord:
    require_next(webhook.version)
    row = await session.one(
        sql_update(Webhook)
        .where(Webhook.id == webhook.id)
        .values(**values, version=Webhook.version + 1, updated_at=now())
        .returning(*COLUMNS)
    )
    await _record(session, actor, kind, make(row), changes)
    return make(row)


async def _record(
    session: Session, actor: Actor, kind: EventKind, webhook: WebhookRecord, changes: log.Changes
) -> None:
    """For the owner of the account alone: what leaves the server on its behalf concerns its security."""
    event = log.NewEvent(kind, webhook.id, changes, version=webhook.version)
    await log.record_for_account(session, actor, actor.require(Scope.PROJECTS_ADMIN), event)


def _require_document(content: str, document: str | None) -> None:
    """Raises ``BadUserInput`` where one is given without the other."""
    if content == WebhookContent.DOCUMENT.value and document is None:
        raise BadUserInput.at("/document", "must be given where content is document", "missing")
    if content != WebhookContent.DOCUMENT.value and document is not None:
        raise BadUserInput.at("/document", "goes with content document alone")


def _require_of_tasks(kinds: Sequence[str] | None, filtered: bool) -> None:
    """Raises ``BadUserInput`` where a webhook that is told of tasks alone is to be told of something else."""
    others = [kind for kind in kinds or () if kind not in OF_TASKS] if filtered else []
    if others:
        raise BadUserInput.at(
            "/kinds",
            f"a webhook with a filter is told of what happens to tasks: {others[0]} is of none",
            "not_of_tasks",
        )


def _stored(content: str) -> str:
    """What is kept of what a webhook is sent: of one with a document, what that comes beside."""
    return WebhookContent.THIN.value if content == WebhookContent.DOCUMENT.value else content


def _kinds(kinds: Sequence[str] | None) -> list[str]:
    return sorted(set(kinds or ()))
