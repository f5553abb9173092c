"""One follower of a live list: what it was told, and what may not be right any more of that."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from db.driver.sessions import Session
from services.events.feed import FRESH_SECONDS
from services.live_lists.asking import Match, Question
from services.live_lists.models import MAX_TASKS, PART, LiveChange, LiveKind
from services.live_lists.reach import Reach
from services.live_lists.scopes import Scope
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, TandemError
from services.tasks import queries as tasks
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.models import TaskRecord
from services.tasks.query import TaskQuery

UNFINISHED = "0"
"""The cursor behind a part of a snapshot: whoever comes back with it is told the list anew."""


class Held(NamedTuple):
    """A task as it was told."""

    version: int
    project_id: int


def too_many() -> BadUserInput:
    """The error of a list that is too long to be followed."""
    return BadUserInput.at(
        "/filter",
        f"more than {MAX_TASKS:,} tasks match, which is as many as a live list has: ask for fewer",
        "too_many",
    )


class News:
    """Messages that are told together; a ``Batch``. Those that have waited for a slow reader are told without the tasks
    that he may not read any more."""

    __slots__ = ("_actor", "_judged_at", "_session", "items")

    def __init__(self, items: Sequence[LiveChange], session: Session, actor: Actor) -> None:
        self.items = items
        self._session, self._actor = session, actor
        self._judged_at = time.monotonic()

    @property
    def is_stale(self) -> bool:
        """Whether it has to be asked again what may be told."""
        return time.monotonic() - self._judged_at > FRESH_SECONDS

    async def again(self, first: int = 0) -> "News":
        """What may be told now, from one of the messages on: a task that cannot be read leaves."""
        items = self.items[first:]
        ids = {item.task.id for item in items if item.task is not None} | {
            task.id for item in items for task in item.tasks
        }
        shown = await tasks.ids_met(self._session, self._actor, ids, TaskQuery()) if ids else ()
        return News([_shown(item, shown) for item in items], self._session, self._actor)


def _shown(item: LiveChange, ids: Collection[int]) -> LiveChange:
    if item.task is not None and item.task.id not in ids:
        return item._replace(kind=LiveKind.LEAVE, task=None)
    return item._replace(tasks=[task for task in item.tasks if task.id in ids]) if item.tasks else item


class LiveFollower:
    """Who follows a list. What is due to be asked again gathers until it has taken what it was told before: a slow
    reader is told less often, of what is so then, and nothing piles up."""

    __slots__ = (
        "_error",
        "_waiting",
        "actor",
        "cursor",
        "due",
        "gist",
        "held",
        "position",
        "predicate",
        "reach",
        "user_id",
    )

    def __init__(self, actor: Actor, user_id: int, predicate: TaskPredicate, reach: Reach, gist: str) -> None:
        self.actor, self.user_id, self.predicate, self.reach, self.gist = actor, user_id, predicate, reach, gist
        self.due = Scope()
        self.held: dict[int, Held] = {}
        self.position, self.cursor = 0, UNFINISHED
        """Where in the feed it is right up to."""
        self._waiting: asyncio.Future[Sequence[LiveChange]] | None = None
        self._error: TandemError | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it was told anything."""
        return self.cursor != UNFINISHED

    @property
    def wants(self) -> bool:
        """Whether it waits to be told, and something is due."""
        return bool(self.due) and self._waiting is not None and not self._waiting.done()

    def begin(self, feed_cursor: str) -> None:
        """It is right up to a cursor of the feed."""
        self.position, self.cursor = int(feed_cursor.partition("-")[0]), f"{feed_cursor}-{self.gist}"

    def hold(self, rows: Collection[TaskRecord]) -> None:
        """It was told of some tasks. Raises ``BadUserInput`` where these are too many."""
        self.held |= {row.id: Held(row.version, row.project_id) for row in rows}
        if len(self.held) > MAX_TASKS:
            raise too_many()

    async def take(self, wake: Callable[[], None]) -> Sequence[LiveChange]:
        """The next messages, one at least; ``wake`` has what is due asked. Raises what ended it."""
        if self._error is not None:
            raise self._error
        self._waiting = asyncio.get_running_loop().create_future()
        if self.due:
            wake()
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def fail(self, error: TandemError) -> None:
        """End it."""
        self._error = error
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def tell(self, messages: Sequence[LiveChange]) -> None:
        """Hand it messages, if there are any; it waits for them."""
        if messages and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(messages)

    def questions(self, scope: Scope) -> Sequence[Question]:
        """What has to be asked for it."""
        if scope.whole:
            return [Question(self.predicate, [self.user_id])]
        found = []
        if scope.ids:
            found.append(Question(self.predicate, [self.user_id], ids=scope.ids))
        if scope.projects:
            found.append(Question(self.predicate, [self.user_id], projects=scope.projects))
        return found

    def compare(self, scope: Scope, matches: Mapping[int, Match]) -> "Difference":
        """What is new, by the tasks of the scope that match."""
        if scope.whole:
            asked = {*self.held}
        else:
            within = {id_ for id_, held in self.held.items() if held.project_id in scope.projects}
            asked = within | (self.held.keys() & scope.ids)
        gone = [id_ for id_ in sorted(asked) if id_ not in matches]
        new = [
            match
            for id_, match in sorted(matches.items())
            if (held := self.held.get(id_)) is None or held.version != match.version
        ]
        return Difference(gone, new)

    def apply(
        self, difference: "Difference", rows: Mapping[int, TaskRecord], position: int, cursor: str
    ) -> Sequence[LiveChange]:
        """The messages of a difference, of which the last one has the new cursor. A task that has another version by
        now than the one that matched is left to the event of that. Raises ``BadUserInput`` where there are too many."""
        told: list[tuple[LiveKind, int, TaskRecord | None]] = []
        for id_ in difference.gone:
            del self.held[id_]
            told.append((LiveKind.LEAVE, id_, None))
        for match in difference.new:
            row = rows.get(match.id)
            if row is not None and row.version == match.version:
                told.append((LiveKind.CHANGE if match.id in self.held else LiveKind.ENTER, match.id, row))
                self.held[match.id] = Held(match.version, match.project_id)
        if len(self.held) > MAX_TASKS:
            raise too_many()
        return self.messages(told, position, cursor)

    def messages(
        self, told: Sequence[tuple[LiveKind, int, TaskRecord | None]], position: int, cursor: str
    ) -> Sequence[LiveChange]:
        """Messages that are told together, of which the last one has the new cursor: whoever comes back with one of the
        others is told all that came with it again."""
        before = self.cursor
        if position > self.position:
            self.position, self.cursor = position, f"{cursor}-{self.gist}"
        last = len(told) - 1
        return [
            LiveChange(kind, self.cursor if number == last else before, id_, row, (), number == last)
            for number, (kind, id_, row) in enumerate(told)
        ]

    def snapshot(self, rows: Sequence[TaskRecord]) -> Sequence[LiveChange]:
        """The list in its order, in parts."""
        parts = [rows[start : start + PART] for start in range(0, len(rows), PART)] or [()]
        return [
            LiveChange(
                LiveKind.SNAPSHOT, self.cursor if (last := part is parts[-1]) else UNFINISHED, None, None, part, last
            )
            for part in parts
        ]


class Difference(NamedTuple):
    """What is new in a list."""

    gone: Sequence[int]
    new: Sequence[Match]
