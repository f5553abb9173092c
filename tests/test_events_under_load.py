"""What ``make events`` takes for lost, doubled or out of order; and short forms of it: a second of writing, two kills,
a dump that is restored, migrations that go down and up again."""

import os
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import tests.events.__main__  # noqa: F401 - with every scenario on its list
from api.main import create_app
from core.clock import now
from services import changes
from services.events import retention
from services.events.interests import EVERYTHING
from services.events.numbering import END, number_all
from services.shared.errors import ResyncRequired
from tests.actors import Person, make_person
from tests.conftest import downgrade, settings_for, upgrade
from tests.databases import empty_database, on_postgresql
from tests.events.findings import Finding, quantile, table
from tests.events.killing import kill
from tests.events.order import keep_order
from tests.events.readers import Heard, Pages
from tests.events.restoring import BEFORE_EVENTS
from tests.events.worlds import SCENARIOS, DatabaseName, Size, World
from tests.events.writers import Acknowledged, Writer, judge_positions, judge_told
from tests.infrastructure import postgres_binaries, require, scratch_database

SHORT = Size(seconds=1.0, kills=1, processes=2)


@asynccontextmanager
async def world_on(backend: str, folder: Path) -> AsyncIterator[World]:
    with ExitStack() as stack:
        url = stack.enter_context(empty_database(backend, folder)) if backend == "postgresql" else ""
        yield World(cast("DatabaseName", backend), folder, stack, SHORT, url=url)


class Rows(World):
    """A world whose database answers what it is told to."""

    def __init__(self, *rows: Any) -> None:
        self._rows = list(rows)

    def rows(self, statement: str) -> list[Any]:
        return self._rows


def heard(*positions: int) -> Pages:
    reader = Pages("pages", [1], {}, "0")
    reader.heard = [Heard(f"e{position}", position, "task.created", position, 1, 0.0) for position in positions]
    return reader


class TestFindings:
    @pytest.mark.parametrize(
        ("told", "failures"),
        [
            ((1, 2, 3), []),
            ((1, 2, 2, 3), []),
            ((1, 3), ["events not told to a reader: 1"]),
            ((1, 3, 2), ["events told out of order: 1"]),
        ],
    )
    def test_what_a_reader_lacks_is_a_failure(self, told: tuple[int, ...], failures: list[str]) -> None:
        finding = Finding("x", "sqlite")
        rows = [(f"e{position}", position, "task.created", position, 1) for position in (1, 2, 3)]
        judge_told(finding, Rows(*rows), [], [heard(1, 2, 3), heard(*told)], [1])
        assert finding.failures == failures

    def test_what_was_acknowledged_and_has_no_event_is_a_failure(self) -> None:
        finding, writer = Finding("x", "sqlite"), Writer([1], {}, [1], random.Random(1))
        writer.acknowledged = [Acknowledged("task.created", 1, 1), Acknowledged("task.updated", 1, 2)]
        judge_told(finding, Rows(("e1", 1, "task.created", 1, 1)), [writer], [heard(1)], [1])
        assert finding.failures == ["acknowledged writes without an event: 1"]

    @pytest.mark.parametrize(
        ("row", "failures"),
        [
            ((3, 3, 1, 3, 0), []),
            ((3, 3, 1, 4, 0), ["positions left out: 1"]),
            ((3, 2, 1, 2, 0), ["positions given twice: 1"]),
            ((3, 3, 1, 3, 2), ["events without a position: 2"]),
        ],
    )
    def test_positions_are_without_gap_and_doubling(self, row: tuple[int, ...], failures: list[str]) -> None:
        finding = Finding("x", "sqlite")
        judge_positions(finding, Rows(row))
        assert finding.failures == failures

    def test_a_goal_that_is_missed_is_told_and_no_failure(self) -> None:
        finding = Finding("x", "sqlite")
        finding.measure_times("to a stream", [0.01, 0.02, 0.5], p50=30, p99=150)
        finding.measure("numbered", 4_000, "events/s", 5_000, at_least=True)
        assert finding.verdict == "ok; goals missed: to a stream, p99, numbered"
        assert "| x | sqlite | to a stream, p99 | 500 ms | ≤ 150 ms | missed |" in table([finding])
        assert quantile([1, 2, 3, 4], 0.5) == 3

    def test_each_is_on_the_list_once_for_a_database_and_says_what_happens(self) -> None:
        names = [(one.name, one.database) for one in SCENARIOS]
        assert len(set(names)) == len(names)
        assert all(one.run.__doc__ for one in SCENARIOS)


@on_postgresql
async def test_each_reader_of_two_processes_is_told_everything_in_one_order(backend: str, tmp_path: Path) -> None:
    async with world_on(backend, tmp_path) as world:
        finding = Finding("order", backend)
        await keep_order(world, finding)
    assert finding.failures == []


async def test_nothing_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    async with world_on("sqlite", tmp_path) as world:
        finding = Finding("kills", "sqlite")
        await kill(world, finding)
    assert finding.failures == []


@asynccontextmanager
async def installed(url: str) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[Person]]]]:
    app = create_app(settings_for(url), compile_after=0)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as one:
        yield app.state.tandem, lambda: make_person(one, app.state.tandem)


async def told_to(state: Any, person: Person, after: str = "0") -> list[tuple[str, str]]:
    """Cursors and ids of what happened after a cursor."""
    page = await changes.read(state.database.reads, person.actor, after, 500, EVERYTHING)
    return [(item.cursor, item.event_id) for item in page.changes]


async def lived_in(url: str, *, forgets: bool = False) -> tuple[Person, list[tuple[str, str]]]:
    """Somebody who shares a project with another one, and all that he was told; it may be that the feed ``forgets``."""
    async with installed(url) as (state, person):
        ada, bob = await person(), await person()
        project = await ada.project()
        await ada.invite(project, bob)
        for number in range(4):
            await ada.task(title=f"Task {number}", project_id=project["id"], assignee_ids=[bob.id])
        assert (await ada.patch("/users/me", {"email": f"{ada.username}@example.org"})).status_code == 200
        await number_all(state.database)
        told = await told_to(state, bob)
        if forgets:
            await retention.purge(state.database, now() + timedelta(days=1))
        return bob, told


async def after_all(url: str, bob: Person, told: list[tuple[str, str]]) -> None:
    """Every cursor goes on, and what happens next comes behind it."""
    async with installed(url) as (state, person):
        for place, (cursor, _) in enumerate(told):
            assert await told_to(state, bob, cursor) == told[place + 1 :]
        assert await told_to(state, bob) == told
        await person()  # something happens
        await number_all(state.database)
        assert await state.database.reads.scalar(END) > int(told[-1][0].partition("-")[0])


@contextmanager
def restored(backend: str, url: str, folder: Path) -> Iterator[str]:
    """Another database, from a dump of one, as docs/upgrading.md and docs/deployment.md have it."""
    if backend == "sqlite":
        path = folder / "restored.db"
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
        yield f"sqlite:///{path}"
        return
    dump, binaries = folder / "tandem.dump", postgres_binaries()
    assert binaries is not None
    with scratch_database(require("postgresql")) as other:
        for program, *arguments in (
            ("pg_dump", url, "--format=custom", f"--file={dump}"),
            ("pg_restore", "--no-owner", f"--dbname={other}", str(dump)),
        ):
            subprocess.run([binaries / program, *arguments], check=True, capture_output=True, env=os.environ)
        yield other


async def test_cursors_go_on_after_a_dump_was_restored(backend: str, tmp_path: Path) -> None:
    with empty_database(backend, tmp_path) as url:
        bob, told = await lived_in(url)
        assert len(told) > 5
        with restored(backend, url, tmp_path) as other:
            await after_all(other, bob, told)


class TestDownAndUp:
    async def test_cursors_go_on_and_nobody_is_told_of_anothers_security(self, backend: str, tmp_path: Path) -> None:
        with empty_database(backend, tmp_path) as url:
            bob, told = await lived_in(url)
            downgrade(url, BEFORE_EVENTS)
            upgrade(url)
            await after_all(url, bob, told)

    async def test_where_the_feed_begins_is_found_again(self, backend: str, tmp_path: Path) -> None:
        with empty_database(backend, tmp_path) as url:
            bob, told = await lived_in(url, forgets=True)
            downgrade(url, BEFORE_EVENTS)
            upgrade(url)
            async with installed(url) as (state, _):
                with pytest.raises(ResyncRequired):
                    await told_to(state, bob)
                for place, (cursor, _) in enumerate(told):
                    with suppress(ResyncRequired):
                        assert await told_to(state, bob, cursor) == told[place + 1 :]
