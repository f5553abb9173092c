"""The feed of changes: everything that happens where the caller may read, in one order, for whoever keeps a copy.

What is told is which thing changed; what it is now is read where things are read, with the rights of that moment.
Rights are asked when something is told, in the very statement that reads it: whoever was added to a project is told of
that (``member.added``), reads the project, and hears of what happens there from then on; whoever was removed is told of
that (``member.removed``), drops it, and hears nothing more.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import aliased

from core.deadlines import current
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Event, Task
from services.connections import Connections
from services.events import consumers
from services.events.audience import MAY_BE_TOLD, is_within, look_up
from services.events.consumers import FLOOR
from services.events.feed import ConsumerLagged, Feed, Follower, Told
from services.events.happenings import COLUMNS, Happening, cursor_at, is_of
from services.events.interests import EVERYTHING, Interest, Shape, conditions
from services.events.numbering import number_all
from services.events.rows import HappeningWithRows
from services.projects import queries as projects
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, NotFound, ResyncRequired, TandemError
from services.shared.expansions import Expanded
from services.shared.features import Feature, Operation, Who
from services.shared.outputs import Output
from services.shared.prices import STATEMENT
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks import queries as tasks
from services.tasks.query import TaskQuery
from services.tasks.visibility import listed, trash_begins

DEFAULT_LIMIT, MAX_LIMIT = 100, 500
SCAN = 2_000
"""How many events of the whole server a page looks at, at most: it may show none, and say that there are more."""
NOW = "now"
"""The cursor that stands for where the feed ends."""
START = "0"
"""The cursor before the first event."""
MAX_CURSOR = 40
MAX_WAIT = 25
"""Seconds that a page is waited for at most: what stands before servers gives up after 30 and more."""
MAX_POSITION = 2**63 - 1
"""What the column holds: a server has more events than there are ids of any one thing."""
PRICE = 3 * STATEMENT + SCAN
FOLLOWING = 3 * STATEMENT
_CURSOR = re.compile(r"([1-9][0-9]{0,18})-([0-9a-f]{8})", re.ASCII)


class ChangesOut(Output):
    """A page of the feed."""

    changes: list[HappeningWithRows] = Field(
        description="What happened, in order. There may be none and yet more to come."
    )
    cursor: str = Field(description="Where to go on: what is given as after the next time.", examples=["1207-5f0c3a9e"])
    has_more: bool = Field(description="Whether there is more to be read now.")


class Changes(NamedTuple):
    """A page of the feed."""

    changes: Sequence[Happening]
    cursor: str
    has_more: bool


class ChangesWithRows(NamedTuple):
    """As ``Changes``, with the things that were read along."""

    changes: Sequence[Happening | Expanded]
    cursor: str
    has_more: bool


@cache
def _page(shape: Shape) -> Prepared[Happening]:
    return Prepared(
        select(*COLUMNS)
        .where(
            Event.position > parameter("after"),
            Event.position <= parameter("until"),
            MAY_BE_TOLD.condition,
            *conditions(shape),
        )
        .order_by(Event.position)
        .limit(parameter("rows")),
        Happening,
    )


_PROJECT_OF = Prepared(
    select(Task.project_id).where(
        Task.id == parameter("task_id"),
        listed(ACTOR_PARAMETER, since=parameter("trash_begins", Task.deleted_at.type)),
    ),
    tuple,
)
_window = (
    select(Event.position, Event.event_id)
    .where(Event.position > parameter("after"))
    .order_by(Event.position)
    .limit(parameter("scan"))
    .subquery()
)
_WINDOW = Prepared(select(*_window.c).order_by(_window.c.position.desc()).limit(1))
_at = aliased(Event)
_AT = Prepared(
    select(
        FLOOR.scalar_subquery().label("floor"),
        select(_at.event_id).where(_at.position == parameter("position")).scalar_subquery().label("event_id"),
    )
)
_END = Prepared(
    select(Event.position, Event.event_id).where(Event.position.is_not(None)).order_by(Event.position.desc()).limit(1)
)


async def read(
    session: Session,
    actor: Actor,
    after: str | None,
    limit: int,
    interest: Interest = EVERYTHING,
    *,
    limit_pointer: str = "/limit",
) -> Changes:
    """What happened after a cursor, as far as the caller may be told now: at most ``limit``, of at most ``SCAN`` events
    that are looked at. Without a cursor from the first event on; ``now`` is where the feed ends.

    ``limit_pointer`` is what the door calls the limit. Raises ``BadUserInput``, ``NotFound`` for a project or a task
    that the caller may not read, and ``ResyncRequired`` for a cursor of another history.
    """
    user_id = actor.require(Scope.TASKS_READ)
    if not 0 <= limit <= MAX_LIMIT:
        raise BadUserInput.at(limit_pointer, f"must be from 0 to {MAX_LIMIT}")
    await _within(session, actor, interest)
    if after == NOW:
        return Changes([], await end(session), has_more=False)
    after = START if after is None else after
    position = await _position(session, after)
    window = await session.first(_WINDOW(after=position, scan=SCAN))
    if window is None:
        return Changes([], after, has_more=False)
    given = {"after": position, "until": window.position, "rows": limit + 1, "caller_id": user_id}
    found = await session.all(_page(interest.shape)(**given, **interest.values))
    if len(found) > limit:
        cursor = found[limit - 1].cursor if limit else after
        return Changes(await _filtered(session, actor, found[:limit], interest), cursor, has_more=True)
    more = await session.first(_WINDOW(after=window.position, scan=1)) is not None
    return Changes(await _filtered(session, actor, found, interest), cursor_at(*window), has_more=more)


async def wait(
    database: Database,
    feed: Feed,
    connections: Connections,
    actor: Actor,
    after: str | None,
    limit: int,
    interest: Interest,
    seconds: int,
    *,
    limit_pointer: str = "/limit",
    wait_pointer: str = "/wait",
) -> Changes:
    """As ``read``; where there is nothing to tell, as soon as there is, or after so many seconds an empty page.

    Who waits takes a place among those who are connected: raises ``TooManyAtOnce``, and what the end of the session or
    the key says.
    """
    if not 0 <= seconds <= MAX_WAIT:
        raise BadUserInput.at(wait_pointer, f"must be from 0 to {MAX_WAIT} seconds")
    page = await read(database.reads, actor, after, limit, interest, limit_pointer=limit_pointer)
    if not seconds or not limit or page.changes or page.has_more:
        return page
    ended: asyncio.Future[TandemError] = asyncio.get_running_loop().create_future()
    work, until = current.get(), time.monotonic() + seconds
    heard = replace(interest, within=await _within(database.reads, actor, interest))
    with connections.connected(actor, on_end=lambda error: None if ended.done() else ended.set_result(error)):
        async with feed.joined(heard, reader=actor.user_id, key=actor.api_key_id) as follower:
            while True:
                page = await read(database.reads, actor, page.cursor, limit, interest)
                left = until - time.monotonic()
                if page.changes or left <= 0:
                    return page
                if page.has_more:
                    continue
                work.rest()
                await _told_or_ended(follower, ended, left)
                work.renew()


async def _told_or_ended(follower: Follower, ended: asyncio.Future[TandemError], seconds: float) -> None:
    """Wait until there is something to tell, for so long. Raises what ``ended`` says."""
    told = asyncio.ensure_future(follower.take())
    try:
        await asyncio.wait((told, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise ended.result()
        if told.done():
            told.result()
    finally:
        told.cancel()


async def end(session: Session) -> str:
    """The cursor of where the feed ends now."""
    last = await session.first(_END())
    return START if last is None else cursor_at(*last)


async def follow(
    database: Database, feed: Feed, actor: Actor, after: str | None, interest: Interest = EVERYTHING
) -> AsyncGenerator[Told]:
    """What happens after a cursor, or from now on, for as long as somebody listens.

    Who takes what is told more slowly than it happens is told in pages until he has caught up. Raises as ``read`` does,
    also when the caller leaves the project that is followed.
    """
    user_id = actor.require(Scope.TASKS_READ)
    session = database.reads
    if after is None:
        await number_all(database)  # what has no position yet has happened before, and is not to be told
    cursor = await end(session) if after is None or after == NOW else after
    # what is long past is read in pages; then, once it is heard what comes, what has happened in between
    async for page in _pages(session, actor, cursor, interest):
        cursor = page.cursor
        yield await feed.judged(page.changes, user_id, actor.api_key_id)
    interest = replace(interest, within=await _within(session, actor, interest))
    while True:
        async with feed.joined(interest, reader=user_id, key=actor.api_key_id) as follower:
            async for page in _pages(session, actor, cursor, interest):
                cursor = page.cursor
                yield await feed.judged(page.changes, user_id, actor.api_key_id)
            position = int(cursor.partition("-")[0])
            with suppress(ConsumerLagged):
                while True:
                    told = await follower.take()
                    items = [item for item in told.items if item.position > position]
                    wanted = await _filtered(session, actor, [*filter(interest.concerns, items)], interest)
                    if wanted:
                        yield told.only(wanted)
                    if any(map(follower.ends_with, items)):
                        raise NotFound("Project" if interest.task_id is None else "Task")
                    cursor = told.items[-1].cursor


async def _pages(session: Session, actor: Actor, cursor: str, interest: Interest) -> AsyncGenerator[Changes]:
    while True:
        page = await read(session, actor, cursor, DEFAULT_LIMIT, interest)
        yield page
        if not page.has_more:
            return
        cursor = page.cursor


async def _within(session: Session, actor: Actor, interest: Interest) -> int | None:
    """The project that all is in that is asked for, where a project or a task is named; of a task, where that is in the
    trash, too, since it may come back. Raises ``NotFound``."""
    within = None
    if interest.project_id is not None:
        within = (await projects.get(session, actor, interest.project_id)).id
    if interest.task_id is not None:
        within = await session.scalar(
            _PROJECT_OF(caller_id=actor.user_id, task_id=interest.task_id, trash_begins=trash_begins())
        )
        if within is None:
            raise NotFound("Task")
    return within


async def _filtered(
    session: Session, actor: Actor, found: Sequence[Happening], interest: Interest
) -> Sequence[Happening]:
    """Those of the events that a limited key may be told of, and whose tasks meet the filter, where there is one; one
    statement each for all of them."""
    if actor.limited_by is not None and found:
        facts = await look_up(session, found, (), [actor.limited_by])
        found = [item for item in found if is_within(actor.limited_by, item, facts)]
    if interest.filter is None or not found:
        return found
    ids = {item.task_id for item in found if item.task_id is not None}
    met = await tasks.ids_met(session, actor, ids, TaskQuery(interest.filter)) if ids else ()
    return [item for item in found if item.task_id in met]


async def _position(session: Session, after: str) -> int:
    if after == START:
        if await consumers.floor(session):
            raise ResyncRequired  # the first events are not told any more
        return 0
    match = _CURSOR.fullmatch(after)
    if match is None or int(match[1]) > MAX_POSITION:
        raise BadUserInput.at("/after", "not a cursor of this feed: those of its answers are, and 0, and now", "cursor")
    position = int(match[1])
    found = await session.one(_AT(position=position))
    if position < (found.floor or 0) or found.event_id is None or not is_of(match[2], found.event_id):
        raise ResyncRequired
    return position


FEATURE = Feature(
    "changes",
    operations=(
        Operation("list_changes", "Query.changes", Who.ACCOUNT, Scope.TASKS_READ, raises=(ResyncRequired,)),
        Operation(
            "follow_changes",
            "Subscription.changes",
            Who.ACCOUNT,
            Scope.TASKS_READ,
            raises=(ResyncRequired,),
            shorthands=(
                "Subscription.taskChanged",
                "Subscription.taskCreated",
                "Subscription.commentAdded",
                "Subscription.projectChanged",
            ),
        ),
    ),
    about="Everything that happens, in order, for whoever keeps a copy.",
)
