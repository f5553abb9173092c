"""Filters of webhooks: of which tasks one is told.

Which of the tasks that events are about match is asked of the database, for all webhooks of a batch together, as live
lists ask it. A webhook knows which tasks have met its filter (``webhook_tasks``), so it is told when one does no more.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Protocol

import orjson
from pydantic import ValidationError
from sqlalchemy import Integer, exists, insert, literal, select
from sqlalchemy import cast as sql_cast
from sqlalchemy import delete as sql_delete

from core.deadlines import DeadlinePassed, working
from db.driver.sessions import AnyRow, Session
from db.driver.statements import Prepared
from db.lists import in_list, taken_for_few
from db.models import Task, WebhookTask
from db.upserts import insert_or_ignore
from services.live_lists import asking
from services.live_lists.asking import Match, Question
from services.live_lists.reach import parts_of, timeless
from services.live_lists.rounds import Asked, Round
from services.shared.actors import Actor
from services.shared.errors import BadUserInput
from services.shared.prices import LIST, demand, of_filter
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.shared.time_zones import zone_named, zone_of
from services.tasks.filters import TaskFilter
from services.tasks.listing.conditions import REF, Condition, TaskPredicate
from services.tasks.listing.names import with_names
from services.tasks.visibility import readable
from services.webhooks.models import MAX_MATCHED

ASK_SECONDS = 5.0
"""How long a statement may take that asks for many webhooks. Then they are told, and it is not known who matches."""
KEPT = 500
"""Filters that are kept as they were read."""

_HELD = Prepared(
    select(WebhookTask.webhook_id, WebhookTask.task_id).where(
        in_list(WebhookTask.webhook_id, "webhooks"), in_list(WebhookTask.task_id, "tasks")
    ),
    tuple,
)
_ENTERED: Prepared[AnyRow] = Prepared(insert_or_ignore(WebhookTask), keys=["webhook_id", "task_id"])
_LEFT = Prepared(
    sql_delete(WebhookTask).where(
        WebhookTask.webhook_id == parameter("hook_id"), WebhookTask.task_id == parameter("left_id")
    )
)
_CLEARED = Prepared(
    sql_delete(WebhookTask).where(
        in_list(WebhookTask.webhook_id, "webhooks"),
        ~exists(select(literal(1)).where(Task.id == WebhookTask.task_id)),
    )
)
_FORGET = Prepared(sql_delete(WebhookTask).where(WebhookTask.webhook_id == parameter("hook_id")))


class Filtered(Protocol):
    """A webhook that may have a filter."""

    @property
    def id(self) -> int: ...
    @property
    def owner_id(self) -> int: ...
    @property
    def project_id(self) -> int | None: ...
    @property
    def filter(self) -> dict[str, object] | None: ...
    @property
    def time_zone(self) -> str:
        """The owner's, of which days are."""
        ...


async def stored(session: Session, actor: Actor, data: TaskFilter) -> dict[str, object]:
    """The filter in REST's spelling, once it is known to hold.

    Raises ``BadUserInput`` for one that does not, that the clock decides, or that looks for a ref, ``TooExpensive`` for
    one that no list could show.
    """
    _condition(data, await zone_of(session, actor))
    demand(LIST + of_filter(data))
    return data.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _condition(data: TaskFilter, zone: tzinfo) -> Condition:
    where = timeless(data, "a webhook", zone)
    if any(part.kind == REF for part in parts_of(where)):
        raise BadUserInput.at(
            "/filter", "a webhook looks for words, and for no ref: say the project and the number instead", "not_live"
        )
    return where


@lru_cache(KEPT)
def _read(text: bytes, zone: tzinfo) -> TaskPredicate | None:
    try:
        return TaskPredicate(_condition(TaskFilter.model_validate(orjson.loads(text)), zone), trashed=False)
    except (ValidationError, BadUserInput):
        return None


def predicate_of(filter_: Mapping[str, object], zone: tzinfo) -> TaskPredicate | None:
    """What a stored filter asks, by days of a time zone; None for one that this release does not understand."""
    return _read(orjson.dumps(filter_), zone)


async def learn(
    session: Session, actor: Actor, webhook_id: int, project_id: int | None, filter_: Mapping[str, object] | None
) -> None:
    """Note which tasks meet a webhook's filter, in the place of what was known of another one. Raises ``BadUserInput``
    where they are more than ``MAX_MATCHED``."""
    await session.execute(_FORGET(hook_id=webhook_id))
    predicate = None if filter_ is None else predicate_of(filter_, await zone_of(session, actor))
    if predicate is None:
        return
    predicate = await with_names(session, actor, predicate)
    webhook = sql_cast(parameter("hook_id", Integer()), Integer)
    tasks = select(webhook, Task.id).where(readable(ACTOR_PARAMETER), *predicate.conditions())
    values = {"hook_id": webhook_id, "caller_id": actor.user_id, **predicate.values()}
    if project_id is not None:
        tasks = tasks.where(Task.project_id == parameter("of_project"))
        values["of_project"] = project_id
    elif session.planner.joins_by_estimate:
        tasks = tasks.where(taken_for_few(Task.number))
    rows = insert(WebhookTask).from_select(["webhook_id", "task_id"], tasks.limit(MAX_MATCHED + 1))
    if await session.execute(Prepared(rows)(**values)) > MAX_MATCHED:
        raise BadUserInput.at(
            "/filter",
            f"more than {MAX_MATCHED:,} tasks match, which is as many as the filter of a webhook may: ask for fewer",
            "too_many",
        )


async def matching(
    session: Session, wanted: Mapping[Filtered, Collection[int]]
) -> Mapping[int, Collection[int] | None]:
    """Which of some tasks meet the filter of each webhook, by its id: the owner may read them, and they are in its
    project. None for a webhook of which that is not known: it takes too long, or the filter is not understood.

    One statement for all of them, or for 150 at a time.
    """
    found: dict[int, set[int] | None] = {}
    round_ = Round[Filtered]()
    for webhook, ids in wanted.items():
        predicate = predicate_of(webhook.filter or {}, zone_named(webhook.time_zone))
        found[webhook.id] = None if predicate is None else set()
        if predicate is not None:
            round_.add(webhook, Question(predicate, [webhook.owner_id], ids=ids))
    for part in round_.parts():
        for webhook, match in await _answers(session, part):
            if match is None:
                found[webhook.id] = None
            elif match.id in wanted[webhook] and webhook.project_id in (None, match.project_id):
                known = found[webhook.id]
                if known is not None:
                    known.add(match.id)
    return found


async def _answers(session: Session, part: Sequence[Asked[Filtered]]) -> Sequence[tuple[Filtered, Match | None]]:
    """The tasks that match, with each webhook that asked; None with all of them where it takes too long."""
    try:
        with working(ASK_SECONDS, None):
            matches = await asking.ask(session, [asked.question for asked in part])
    except DeadlinePassed:
        return [(webhook, None) for asked in part for webhook in asked.askers(0)]
    return [(webhook, match) for match in matches for webhook in part[match.question].askers(match.caller)]


async def held(session: Session, webhooks: Collection[int], tasks: Collection[int]) -> set[tuple[int, ...]]:
    """Those of the tasks that some webhooks know to match, with the webhook's id before each."""
    return {*await session.all(_HELD(webhooks=[*webhooks], tasks=[*tasks]))} if webhooks and tasks else set()


async def note(
    session: Session,
    entered: Collection[tuple[int, int]],
    left: Collection[tuple[int, int]],
    cleared: Collection[int],
) -> None:
    """Keep which tasks match now: pairs of a webhook and a task, and webhooks of whose tasks many may be gone."""
    if cleared:
        await session.execute(_CLEARED(webhooks=[*cleared]))
    if entered:
        await session.execute(_ENTERED, [{"webhook_id": hook, "task_id": task} for hook, task in sorted(entered)])
    if left:
        await session.execute(_LEFT, [{"hook_id": hook, "left_id": task} for hook, task in sorted(left)])
