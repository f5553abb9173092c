"""From the feed to what each webhook is to be told: a consumer, which writes a delivery for each event and webhook."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select, union
from sqlalchemy.orm import aliased

from core import turns
from core.clock import now
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import empty_or_has_one_of, in_list, in_subquery, text_list
from db.models import Membership, User, Webhook, WebhookDelivery
from services.events.audience import MAY_BE_TOLD, Facts, look_up
from services.events.catalogue import TASKS_CLEARED
from services.events.consumers import Consumer, Outdated, Taken
from services.events.happenings import Happening
from services.jobs import queue
from services.shared.statements import parameter
from services.webhooks import filters
from services.webhooks.queries import JOB

PART = 200
"""How many deliveries are made before they are written."""


class Hook(NamedTuple):
    """What is to be known of a webhook to choose what it is told."""

    id: int
    owner_id: int
    project_id: int | None
    kinds: list[str]
    since: int
    version: int
    filter: dict[str, object] | None
    time_zone: str
    """The owner's."""

    def __hash__(self) -> int:
        return self.id


class Plan(NamedTuple):
    """What is to be written of some events."""

    hooks: Mapping[int, Hook]
    """The webhooks that are told of something."""
    rows: Sequence[dict[str, Any]]
    entered: Collection[tuple[int, int]] = ()
    """Webhooks, and tasks that match now, and did not as far as was known."""
    left: Collection[tuple[int, int]] = ()
    cleared: Collection[int] = ()


_SINCE = Prepared(select(func.min(Webhook.since)))
_hooks = (
    select(*(getattr(Webhook, name) for name in Hook._fields[:-1]), User.timezone.label("time_zone"))
    .join(User, User.id == Webhook.owner_id)
    .where(User.disabled.is_(False))
    .order_by(Webhook.id)
)
_wants = (Webhook.since < parameter("until"), empty_or_has_one_of(Webhook.kinds, text_list("kinds")))
# no project has the number 0; so written that no index of projects is gone through for it
_of_all = func.coalesce(Webhook.project_id, 0) == 0
_theirs, _mine = aliased(Membership), aliased(Membership)
_members = select(Membership.user_id).where(in_list(Membership.project_id, "projects"))
_met = (
    select(_mine.user_id)
    .join(_theirs, _theirs.project_id == _mine.project_id)
    .where(in_list(_theirs.user_id, "accounts"))
)
_ALL = Prepared(_hooks, Hook)
HOOKS = Prepared(
    _hooks.where(
        Webhook.id.in_(
            union(
                select(Webhook.id).where(in_list(Webhook.project_id, "projects"), *_wants),
                select(Webhook.id).where(in_subquery(Webhook.owner_id, union(_members, _met)), _of_all, *_wants),
                select(Webhook.id).where(in_list(Webhook.owner_id, "people"), _of_all, *_wants),
            )
        )
    ),
    Hook,
)
"""The webhooks that some events may concern: those of their projects, and those of all projects of whoever is a member
of one, is named, or shares a project with an account that has changed."""
_STILL = Prepared(
    select(Webhook.id, Webhook.version, Webhook.state, Webhook.held_until)
    .where(in_list(Webhook.id, "ids"))
    .order_by(Webhook.id)
    # who resumes one, or gives it another filter, comes before this or after it
    .with_for_update(read=True)
)
_NEW: Prepared[AnyRow] = Prepared(
    insert(WebhookDelivery),
    keys=[
        *("webhook_id", "event_row_id", "event_id", "kind", "order_key", "matches", "state", "tries"),
        *("next_attempt_at", "attempts", "created_at"),
    ],
)


async def since(session: Session) -> int | None:
    """The position behind which some webhook is to be told of something; None where there is no webhook."""
    found: int | None = await session.scalar(_SINCE())
    return found


async def concerned(session: Session, happenings: Sequence[Happening]) -> Sequence[Hook]:
    """The webhooks that may be told of some events, as far as projects, people and kinds say; in one statement."""
    if any(item.kind == TASKS_CLEARED.name and item.project_id is None for item in happenings):
        return await session.all(_ALL())
    people = {item.entity_id for item in happenings if item.entity_type in ("member", "user", "follow")}
    people |= {item.actor_id for item in happenings if item.project_id is None and item.actor_id is not None}
    return await session.all(
        HOOKS(
            projects=[*{item.project_id for item in happenings} - {None}],
            people=[*people],
            accounts=[*{item.entity_id for item in happenings if item.entity_type == "user"}],
            kinds=[*{item.kind for item in happenings}],
            until=happenings[-1].position,
        )
    )


async def plan(session: Session, events: Sequence[Taken]) -> Plan:
    """What webhooks are to be told of some events, those too that are paused or disabled."""
    happenings = [event.happening for event in events]
    hooks: dict[int, list[Hook]] = {}
    for hook in await concerned(session, happenings):
        hooks.setdefault(hook.owner_id, []).append(hook)
    if not hooks:
        return Plan({}, ())
    facts = await look_up(session, happenings, [*hooks])
    told: list[tuple[Taken, Hook]] = []
    wanted: dict[filters.Filtered, set[int]] = {}
    for event in events:
        if turns.due():
            await turns.give()
        task_id = event.happening.task_id
        for hook in _told(event.happening, hooks, facts):
            told.append((event, hook))
            if hook.filter is not None and task_id is not None:
                wanted.setdefault(hook, set()).add(task_id)
    if not any(hook.filter is not None for _, hook in told):
        return Plan({hook.id: hook for _, hook in told}, [_row(event, hook, None) for event, hook in told])
    return await _filtered(session, told, wanted)


async def _filtered(
    session: Session, told: Sequence[tuple[Taken, Hook]], wanted: Mapping[filters.Filtered, Collection[int]]
) -> Plan:
    """What is left of what may be told where some webhooks have filters: what is of tasks that match, or did."""
    matching = await filters.matching(session, wanted)
    held = await filters.held(session, [hook.id for hook in wanted], {id_ for ids in wanted.values() for id_ in ids})
    rows: list[dict[str, Any]] = []
    hooks: dict[int, Hook] = {}
    entered: set[tuple[int, int]] = set()
    left: set[tuple[int, int]] = set()
    cleared: set[int] = set()
    for event, hook in told:
        if turns.due():
            await turns.give()
        matches: bool | None = None
        task_id = event.happening.task_id
        if hook.filter is not None and task_id is None:
            matches = False
            cleared.add(hook.id)
        elif hook.filter is not None and task_id is not None:
            pair, known = (hook.id, task_id), matching[hook.id]
            matches = None if known is None else task_id in known
            if matches is False and pair not in held:
                continue
            if matches is not None and matches is not (pair in held):
                (entered if matches else left).add(pair)
        hooks[hook.id] = hook
        rows.append(_row(event, hook, matches))
    return Plan(hooks, rows, entered, left, cleared)


async def take(session: Session, planned: Plan) -> None:
    """Write what was planned, and have it told. Raises ``Outdated`` where a filter is another one by now."""
    if not planned.rows:
        return
    moment = now()
    still = {row.id: row for row in await session.all(_STILL(ids=sorted(planned.hooks)))}
    for hook in planned.hooks.values():
        if hook.filter is not None and hook.id in still and still[hook.id].version != hook.version:
            raise Outdated
    rows = [
        row | {"created_at": moment, "next_attempt_at": moment} for row in planned.rows if row["webhook_id"] in still
    ]
    for some in turns.parts(rows, PART):
        await session.execute(_NEW, some)
    entered, left = ([pair for pair in pairs if pair[0] in still] for pairs in (planned.entered, planned.left))
    await filters.note(session, entered, left, planned.cleared)
    active = [row for row in still.values() if row.state == "active"]
    waiting: dict[int, datetime] = {
        row.id: row.held_until for row in active if row.held_until is not None and row.held_until > moment
    }
    await queue.schedule(session, JOB, [row.id for row in active if row.id not in waiting], moment)
    for webhook_id, until in waiting.items():
        await queue.schedule(session, JOB, [webhook_id], until)


def _row(event: Taken, hook: Hook, matches: bool | None) -> dict[str, Any]:
    return {
        "webhook_id": hook.id,
        "event_row_id": event.row_id,
        "event_id": event.happening.event_id,
        "kind": event.happening.kind,
        "order_key": order_key(event.happening),
        "matches": matches,
        "state": "waiting",
        "tries": 0,
        "attempts": [],
    }


def order_key(happening: Happening) -> str:
    """What is told in order: a task's changes, with those of what hangs on it; of anything else, the thing's."""
    if happening.task_id is not None:
        return f"task:{happening.task_id}"
    return f"{happening.entity_type}:{happening.entity_id}"


CONSUMER = Consumer("webhooks", since, take, plan=plan)


def _told(happening: Happening, hooks: Mapping[int, list[Hook]], facts: Facts) -> Iterable[Hook]:
    """The webhooks that are told of an event, or would be if the task matched: what is no task's, none with a filter
    is."""
    of_task = happening.task_id is not None or happening.kind == TASKS_CLEARED.name
    for owner_id in _candidates(happening, facts, hooks):
        if not MAY_BE_TOLD.holds(owner_id, happening, facts):
            continue
        for hook in hooks[owner_id]:
            if (
                hook.since < happening.position
                and (hook.project_id is None or hook.project_id == happening.project_id)
                and (not hook.kinds or happening.kind in hook.kinds)
                and (of_task or hook.filter is None)
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
