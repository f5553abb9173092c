"""Two calls, one after the other or at the same time, and whether what came of it is what one order would have made."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from db.driver.database import Database
from db.driver.sessions import WritingSession
from tests.doors import Door, Result
from tests.racing.pairs import STEPS
from tests.racing.worlds import World, contents

PATIENCE = 2.0
"""Seconds until a call that neither ends nor waits for a lock is taken for one that waits."""


@dataclass
class Held:
    """The call of the context: stopped before its first COMMIT, where it is to be."""

    name: str
    committed: list[str]
    stop: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


_CALL: ContextVar[Held | None] = ContextVar("call", default=None)


@contextmanager
def commits_watched() -> Iterator[None]:
    """Notes which call commits when, and stops one that is to be held."""
    commit = WritingSession.commit

    async def watched(session: WritingSession) -> None:
        call = _CALL.get()
        if call is None or session._transaction is None:
            await commit(session)
            return
        if call.stop and not call.go.is_set():
            call.reached.set()
            await call.go.wait()
        # before, for SQLite commits several at once; one that waits for the other comes here when that is through
        call.committed.append(call.name)
        await commit(session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WritingSession, "commit", watched)
        yield


@dataclass(frozen=True)
class Outcome:
    """What both calls answered, and what is stored."""

    answers: tuple[Any, Any]
    stored: dict[str, list[Any]]

    def turned(self) -> "Outcome":
        """The same, with the answers the other way round."""
        return Outcome((self.answers[1], self.answers[0]), self.stored)

    def unlike(self, orders: "list[Outcome]") -> str:
        """What differs from each of the orders, for people."""
        lines = [f"answered {self.answers}"]
        for order in orders:
            lines.append(f"  in turn: {order.answers}")
            for table, rows in self.stored.items():
                other = order.stored[table]
                if rows != other:
                    lines.append(f"    {table}: {[row for row in rows if row not in other]}")
                    lines.append(f"      not {[row for row in other if row not in rows]}")
        return "\n".join(lines)


async def in_turn(database: Database, world: World, doors: tuple[Door, Door], first: str, second: str) -> Outcome:
    """The second call after the first. The answers are theirs in this order."""
    one = await STEPS[first](world).take(doors[0], world)
    two = await STEPS[second](world).take(doors[1], world)
    return Outcome((_answer(one, world), _answer(two, world)), await _stored(database, world))


async def held(
    database: Database, world: World, doors: tuple[Door, Door], first: str, second: str
) -> tuple[Outcome, list[int]]:
    """The second call, while the first has written and not yet committed; and which committed when (0, 1)."""
    order: list[str] = []
    one, two = Held("0", order, stop=True), Held("1", order)
    a = asyncio.create_task(_call(one, world, doors[0], first))
    reached = asyncio.create_task(one.reached.wait())
    await asyncio.wait({a, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    b = asyncio.create_task(_call(two, world, doors[1], second))
    await _until_it_waits(database, b)
    one.go.set()
    answers = (_answer(await a, world), _answer(await b, world))
    return Outcome(answers, await _stored(database, world)), [int(name) for name in order]


async def together(
    database: Database, world: World, doors: tuple[Door, Door], first: str, second: str, *, ahead: float
) -> Outcome:
    """Both at once, as they come; one a few milliseconds ahead of the other."""

    async def call(name: str, door: Door, delay: float) -> Result:
        await asyncio.sleep(delay)
        return await STEPS[name](world).take(door, world)

    a, b = await asyncio.gather(call(first, doors[0], max(0, -ahead)), call(second, doors[1], max(0, ahead)))
    return Outcome((_answer(a, world), _answer(b, world)), await _stored(database, world))


async def _call(call: Held, world: World, door: Door, name: str) -> Result:
    _CALL.set(call)
    return await STEPS[name](world).take(door, world)


async def in_line(database: Database, world: World, first: str, second: str, third: str) -> list[int]:
    """The order of commits (0 to 2) of a call that is held, one that waits for it, and one that comes then."""
    order: list[str] = []
    calls = [Held(str(number), order, stop=number == 0) for number in range(3)]
    tasks = [asyncio.create_task(_call(calls[0], world, "rest", first))]
    await calls[0].reached.wait()
    for number, name in ((1, second), (2, third)):
        tasks.append(asyncio.create_task(_call(calls[number], world, "rest", name)))
        await _until_it_waits(database, tasks[-1], waiting=number)
    calls[0].go.set()
    await asyncio.gather(*tasks)
    return [int(name) for name in order]


async def _until_it_waits(database: Database, call: "asyncio.Task[Result]", *, waiting: int = 1) -> None:
    if database.dialect == "sqlite":  # for the writer, whatever it is
        await asyncio.wait({call}, timeout=0.01)
        return
    deadline = asyncio.get_running_loop().time() + PATIENCE
    statement = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not call.done() and asyncio.get_running_loop().time() < deadline:
        if await database.reads.scalar(statement) >= waiting:
            return
        await asyncio.wait({call}, timeout=0.002)


async def _stored(database: Database, world: World) -> dict[str, list[Any]]:
    async with database.reading() as session:
        return await contents(session, world)


def _answer(result: Result, world: World) -> Any:
    """What must be the same on a run in turn: of bulk calls, of each task."""
    if result.code is not None:
        return result.code, result.message.replace(world.key, "~"), tuple(result.pointers)
    if isinstance(result.body, dict) and "results" in result.body:
        errors = [item["error"] for item in result.body["results"]]
        return "done", tuple(None if error is None else (error["code"], error["message"]) for error in errors)
    return "done"
