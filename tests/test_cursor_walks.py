"""A walk by cursor sees every row that nobody touches once, in each sort, while rows come and go around it.

Small always; with 100,000 tasks, and the cost of page 1,000 beside that of page 1, with TANDEM_SCALE=1.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from core.clock import now
from db.driver.database import Database
from db.driver.statements import Command
from db.models import Project, Task
from db.upkeep import analyze
from services.tasks.query import TaskSort
from tests.actors import Person
from tests.listings import graphql_page, links

ROWS, PAGE = 600, 50
SCALE = os.environ.get("TANDEM_SCALE") == "1"
SORTS = [(sort.value, order) for sort in TaskSort for order in ("asc", "desc")]


def row(project_id: int, number: int, chosen: random.Random) -> dict[str, Any]:
    """A task whose values are often those of others, or missing."""
    moment = now()

    def some(days: int) -> Any:
        return None if chosen.random() < 0.3 else moment + timedelta(days=chosen.randrange(days))

    created, completed = moment - timedelta(minutes=chosen.randrange(500)), some(5)
    return {
        "project_id": project_id,
        "number": number,
        "title": f"Task {chosen.randrange(200)}",
        "priority": chosen.randint(1, 5),
        "start_at": some(9),
        "due_at": some(30),
        "status": "pending" if completed is None else "completed",
        "completed_at": completed,
        "created_at": created,
        "updated_at": created + timedelta(minutes=chosen.randrange(500)),
    }


async def fill(database: Database, project: dict[str, Any], count: int) -> set[int]:
    """Put tasks into a project. Returns their ids."""
    chosen = random.Random(count)
    async with database.writing() as session:
        for start in range(1, count + 1, 5_000):
            numbers = range(start, min(start + 5_000, count + 1))
            await session.execute(insert(Task), [row(project["id"], number, chosen) for number in numbers])
        await session.execute(update(Project).where(Project.id == project["id"]).values(last_number=count))
        return set(await session.scalars(select(Task.id).where(Task.project_id == project["id"])))


class Traffic:
    """Adds and takes away tasks between the pages; every third of the first ones may go."""

    def __init__(self, database: Database, project: dict[str, Any], ids: set[int]) -> None:
        self._database, self._project = database, project
        self._chosen = random.Random(1)
        self._doomed = sorted(ids)[::3]
        self.untouched = ids - set(self._doomed)
        self._number = 10_000_000

    async def go_on(self, count: int) -> None:
        doomed = [self._doomed.pop(self._chosen.randrange(len(self._doomed))) for _ in range(count) if self._doomed]
        new = [row(self._project["id"], self._number + offset, self._chosen) for offset in range(count)]
        self._number += count
        async with self._database.writing() as session:
            await session.execute(delete(Task).where(Task.id.in_(doomed)))
            await session.execute(insert(Task), new)


async def next_page(
    ada: Person, project: dict[str, Any], sort: str, order: str, size: int, cursor: str | None, *, rest: bool
) -> tuple[list[int], str | None]:
    if rest:
        given = {"project_id": project["id"], "sort_by": sort, "order": order, "limit": size}
        answer = await ada.get("/tasks", params=given | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        following = links(answer).get("next")
        found = [task["id"] for task in answer.json()]
        return found, following and following.rpartition("cursor=")[2]
    condition = {"project": {"eq": project["node_id"]}}
    order_by = {"field": sort.upper(), "direction": order.upper()}
    page = await graphql_page(ada, filter=condition, orderBy=order_by, first=size, after=cursor)
    tasks = page.data["tasks"]
    info = tasks["pageInfo"]
    found = [edge["node"]["id"] for edge in tasks["edges"]]
    return found, info["endCursor"] if info["hasNextPage"] else None


class SqlTime:
    """Seconds spent in statements of reading connections."""

    def __init__(self, database: Database) -> None:
        self.seconds = 0.0
        run = database.reader.run

        async def timed(command: Command) -> Sequence[tuple[Any, ...]]:
            started = time.perf_counter()
            try:
                return await run(command)
            finally:
                self.seconds += time.perf_counter() - started

        database.reader.run = timed  # type: ignore[method-assign]  # a spy


@pytest.mark.parametrize(("sort", "order"), SORTS)
async def test_walk_sees_every_untouched_task_once(ada: Person, database: Database, sort: str, order: str) -> None:
    project = await ada.project()
    traffic = Traffic(database, project, await fill(database, project, ROWS))
    seen: list[int] = []
    cursor, rest = None, True
    while True:
        found, cursor = await next_page(ada, project, sort, order, PAGE, cursor, rest=rest)
        seen += found
        if cursor is None:
            break
        await traffic.go_on(5)
        rest = not rest  # a cursor of one door is one of the other

    assert len(seen) == len(set(seen)), "a row came twice"
    assert traffic.untouched <= set(seen), "a row was left out"
    assert len(seen) >= ROWS * 2 / 3


@pytest.mark.skipif(not SCALE, reason="takes ten minutes: TANDEM_SCALE=1")
@pytest.mark.parametrize(("sort", "order"), SORTS if SCALE else SORTS[:1])
async def test_page_1000_costs_what_page_1_costs(ada: Person, database: Database, sort: str, order: str) -> None:
    project = await ada.project()
    traffic = Traffic(database, project, await fill(database, project, 100_000))
    await analyze(database)
    sql, costs = SqlTime(database), []
    seen: list[int] = []
    cursor = None
    while True:
        started, before = time.process_time(), sql.seconds
        found, cursor = await next_page(ada, project, sort, order, 100, cursor, rest=True)
        costs.append((time.process_time() - started, sql.seconds - before))
        seen += found
        if cursor is None:
            break
        if len(costs) % 10 == 0:
            await traffic.go_on(20)
    async with database.writing() as session:
        await session.execute(delete(Task).where(Task.project_id == project["id"]))
        left = await session.scalar(select(func.count()).select_from(Task))

    assert len(seen) == len(set(seen))
    assert traffic.untouched <= set(seen)
    first, last = costs[1:21], costs[-21:-1]  # the first of all pays for what is made once
    cpu, sql_time = (
        [statistics.median(cost[which] for cost in some) * 1000 for some in (first, last)] for which in (0, 1)
    )
    sys.stdout.write(
        f"{database.dialect} {sort} {order}: {len(costs)} pages, {len(seen)} tasks, CPU {cpu[0]:.1f} ms on page 1 and "
        f"{cpu[1]:.1f} ms on page {len(costs)}, SQL {sql_time[0]:.1f} and {sql_time[1]:.1f} ms; {left} others\n"
    )
    assert cpu[1] <= 1.5 * cpu[0] + 0.5
    assert sql_time[1] <= 1.5 * sql_time[0] + 0.5
