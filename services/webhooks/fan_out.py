"""From the feed to what each webhook is to be told: a consumer, which writes a delivery for each event and webhook."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert, select

from core import turns
from core.clock import now
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.models import User, Webhook, WebhookDelivery
from services.events.audience import MAY_BE_TOLD, Facts, look_up
from services.events.catalogue import TASKS_CLEARED
from services.events.consumers import Consumer, Taken
from services.events.happenings import Happening
from services.jobs import queue
from services.webhooks.queries import JOB

PART = 200
"""How many deliveries are made before they are written."""


class _Hook(NamedTuple):
    """What is to be known of a webhook to choose what it is told."""

    id: int
    owner_id: int
    project_id: int | None
    kinds: list[str]
    since: int
    state: str
    held_until: datetime | None


_hook = (Webhook.id, Webhook.owner_id, Webhook.project_id, Webhook.kinds, Webhook.since, Webhook.state)
_SINCE = Prepared(select(func.min(Webhook.since)))
_HOOKS = Prepared(
    select(*_hook, Webhook.held_until)
    .join(User, User.id == Webhook.owner_id)
    .where(User.disabled.is_(False))
    .order_by(Webhook.id),
    _Hook,
)
_NEW: Prepared[AnyRow] = Prepared(
    insert(WebhookDelivery),
    keys=[
        *("webhook_id", "event_row_id", "event_id", "kind", "order_key", "state", "tries"),
        *("next_attempt_at", "attempts", "created_at"),
    ],
)


async def since(session: Session) -> int | None:
    """The position behind which some webhook is to be told of something; None where there is no webhook."""
    found: int | None = await session.scalar(_SINCE())
    return found


async def fan_out(session: Session, events: Sequence[Taken]) -> None:
    """Write what webhooks are to be told of some events, those too that are paused or disabled, and have them told."""
    hooks: dict[int, list[_Hook]] = {}
    for hook in await session.all(_HOOKS()):
        hooks.setdefault(hook.owner_id, []).append(hook)
    if not hooks:
        return
    facts = await look_up(session, [event.happening for event in events], [*hooks])
    moment = now()
    rows: list[dict[str, object]] = []
    due: dict[int, _Hook] = {}
    for event in events:
        if turns.due():
            await turns.give()
        happening = event.happening
        for hook in _concerned(happening, hooks, facts):
            due[hook.id] = hook
            rows.append(
                {
                    "webhook_id": hook.id,
                    "event_row_id": event.row_id,
                    "event_id": happening.event_id,
                    "kind": happening.kind,
                    "order_key": order_key(happening),
                    "state": "waiting",
                    "tries": 0,
                    "next_attempt_at": moment,
                    "attempts": [],
                    "created_at": moment,
                }
            )
    for some in turns.parts(rows, PART):
        await session.execute(_NEW, some)
    active = [hook for hook in due.values() if hook.state == "active"]
    held = {hook.id: hook.held_until for hook in active if hook.held_until is not None and hook.held_until > moment}
    await queue.schedule(session, JOB, [hook.id for hook in active if hook.id not in held], moment)
    for webhook_id, until in held.items():
        await queue.schedule(session, JOB, [webhook_id], until)


def order_key(happening: Happening) -> str:
    """What is told in order: a task's changes, with those of what hangs on it; of anything else, the thing's."""
    if happening.task_id is not None:
        return f"task:{happening.task_id}"
    return f"{happening.entity_type}:{happening.entity_id}"


CONSUMER = Consumer("webhooks", since, fan_out)


def _concerned(happening: Happening, hooks: Mapping[int, list[_Hook]], facts: Facts) -> Iterable[_Hook]:
    for owner_id in _candidates(happening, facts, hooks):
        if not MAY_BE_TOLD.holds(owner_id, happening, facts):
            continue
        for hook in hooks[owner_id]:
            if (
                hook.since < happening.position
                and (hook.project_id is None or hook.project_id == happening.project_id)
                and (not hook.kinds or happening.kind in hook.kinds)
            ):
                yield hook


def _candidates(happening: Happening, facts: Facts, owners: Collection[int]) -> Collection[int]:
    """The owners of whom it is asked whether they may be told: all others may not, whatever the rule says of them."""
    if happening.kind == TASKS_CLEARED.name and happening.project_id is None:
        return owners
    some = {*facts.members.get(happening.project_id, ()), *facts.met.get(happening.entity_id, ())}
    some.add(happening.entity_id)
    if happening.actor_id is not None:
        some.add(happening.actor_id)
    return [owner_id for owner_id in some if owner_id in owners]
