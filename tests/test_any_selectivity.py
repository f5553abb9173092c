"""Whatever a list selects, in whichever order, it has the tasks that plain Python finds: each way of finding them, on
data that are as skewed as those of a tracker of some years."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cmp_to_key
from operator import attrgetter
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from benchmarks import skew
from benchmarks.data import connect, finish, migrate, write
from benchmarks.rows import EPOCH
from db.driver.database import Database
from db.driver.statements import Command
from db.models import Membership, Tag, Task, TaskAssignee, TaskTag
from services.shared.actors import Actor, Scope
from services.shared.pagination import PageRequest, encode_cursor
from services.tasks import queries
from services.tasks.filters import TaskFilter
from services.tasks.listing import few, groups, index_scan, keyset, names, search_selectivity
from services.tasks.query import Direction, SortBy, TaskQuery, TaskSort, parse_keys
from tests.conftest import BACKENDS
from tests.databases import empty_database
from tests.infrastructure import WHOLE, require
from tests.plans import explainer

PROJECTS, TASKS = 9, 400
READER_OF = 4
MIDDLE = EPOCH - timedelta(days=350)
NULLABLE = ("due_at", "start_at", "completed_at")


class Row(NamedTuple):
    """A task, with what hangs on it."""

    task: Any
    tags: frozenset[str]
    people: frozenset[int]


def _open(row: Row) -> bool:
    return row.task.status in ("pending", "in_progress")


Meets = Callable[[Row], bool]
FILTERS: list[tuple[dict[str, Any], Meets]] = [
    ({"status": {"eq": "pending"}}, lambda row: row.task.status == "pending"),
    ({"status": {"in": ["pending", "in_progress"]}}, _open),
    ({"status": {"eq": "cancelled"}}, lambda row: row.task.status == "cancelled"),
    (
        {"status": {"eq": "pending"}, "priority": {"gte": 4}},
        lambda row: row.task.status == "pending" and row.task.priority >= 4,
    ),
    ({"priority": {"eq": 3}}, lambda row: row.task.priority == 3),
    ({"created_at": {"lt": MIDDLE.isoformat()}}, lambda row: row.task.created_at < MIDDLE),
    (
        {"due_at": {"gte": MIDDLE.isoformat(), "lt": (MIDDLE + timedelta(days=20)).isoformat()}},
        lambda row: row.task.due_at is not None and MIDDLE <= row.task.due_at < MIDDLE + timedelta(days=20),
    ),
    ({"due_at": {"is_null": True}}, lambda row: row.task.due_at is None),
    ({"assignees": {"username": {"ne": "nobody"}}}, lambda row: bool(row.people)),
    (
        {"project": {"archived": False, "is_inbox": False}, "priority": {"eq": 3}},
        lambda row: row.task.priority == 3,
    ),
    (
        {"or": [{"project": {"name": {"is_null": True}}}, {"assignees": {"username": {"ne": "nobody"}}}]},
        lambda row: bool(row.people),
    ),
    ({"project": {"in": [2, 5]}}, lambda row: row.task.project_id in (2, 5)),
    ({"project": {"name": {"contains": "ECT 3"}}}, lambda row: row.task.project_id == 3),
    (
        {"not": {"project": {"name": {"starts_with": "project 1"}}}, "assignees": {"username": {"contains": "R0"}}},
        lambda row: row.task.project_id not in (1, 10) and bool(row.people & {*range(2, 11)}),
    ),
    (
        {"or": [{"assignees": {"full_name": {"contains": "USER1"}}}, {"project": {"key": {"starts_with": "p2"}}}]},
        lambda row: row.task.project_id == 2 or any(11 <= each <= 20 and each % 3 for each in row.people),
    ),
    (
        {"project": {"eq": 3}, "status": {"eq": "completed"}},
        lambda row: (row.task.project_id, row.task.status) == (3, "completed"),
    ),
    ({"tags": {"any": ["docs"]}}, lambda row: "docs" in row.tags),
    (
        {"tags": {"any": ["docs", "bug"]}, "assignees": {"any": [2, 3]}},
        lambda row: bool(row.tags & {"docs", "bug"} and row.people & {2, 3}),
    ),
    ({"assignees": {"is_empty": True}}, lambda row: not row.people),
    ({"search": "invoice"}, lambda row: "invoice" in row.task.title.lower()),
    ({"not": {"search": "invoice"}}, lambda row: "invoice" not in row.task.title.lower()),
    (
        {"or": [{"search": "invoice"}, {"project": {"eq": 3}}], "priority": {"gte": 2}},
        lambda row: row.task.priority >= 2 and ("invoice" in row.task.title.lower() or row.task.project_id == 3),
    ),
    (
        {"created_at": {"lt": MIDDLE.isoformat()}, "status": {"eq": "cancelled"}},
        lambda row: row.task.created_at < MIDDLE and row.task.status == "cancelled",
    ),
    (
        {"or": [{"status": {"eq": "pending"}}, {"priority": {"eq": 5}}]},
        lambda row: row.task.status == "pending" or row.task.priority == 5,
    ),
    ({"or": [{"search": "nowhere"}, {"status": {"eq": "in_progress"}}]}, lambda row: row.task.status == "in_progress"),
    ({"not": {"status": {"eq": "completed"}}}, lambda row: row.task.status != "completed"),
    (
        {"or": [{"project": {"eq": 2}}, {"tags": {"any": ["docs"]}}], "priority": {"lte": 2}},
        lambda row: row.task.priority <= 2 and (row.task.project_id == 2 or "docs" in row.tags),
    ),
    (
        {
            "or": [
                {"priority": {"eq": 5}},
                {"assignees": {"any": [2]}, "or": [{"number": {"lt": 9}}, {"project": {"eq": 3}}]},
            ]
        },
        lambda row: row.task.priority == 5 or (2 in row.people and (row.task.number < 9 or row.task.project_id == 3)),
    ),
    (
        {"search": "invoice", "assignees": {"any": [2, 3, 4]}, "tags": {"any": ["docs", "bug", "later"]}},
        lambda row: (
            "invoice" in row.task.title.lower()
            and bool(row.people & {2, 3, 4})
            and bool(row.tags & {"docs", "bug", "later"})
        ),
    ),
    (
        {"tags": {"all": ["docs", "bug"]}, "priority": {"gte": 3}, "status": {"in": ["pending", "in_progress"]}},
        lambda row: row.tags >= {"docs", "bug"} and row.task.priority >= 3 and _open(row),
    ),
]


class World(NamedTuple):
    database: Database
    rows: Sequence[Row]
    projects: dict[int, set[int]]
    """Of each caller."""


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgresql":
        require("postgresql")
    with empty_database(request.param, tmp_path_factory.mktemp("skew")) as url:
        migrate(url)
        skew.make(url, skew.Skew(TASKS, 0.1, PROJECTS, readers=(READER_OF,)))
        _join(url)
        yield url


def _join(url: str) -> None:
    """Have all but the callers be members of the projects whose tasks are theirs to do, as services see to it."""
    assigned = select(Task.project_id, TaskAssignee.user_id).join(Task, Task.id == TaskAssignee.task_id).distinct()
    assigned = assigned.where(TaskAssignee.user_id.between(2, skew.FIRST_READER - 1))
    with connect(url) as connection:
        there = {(row[0], row[1]) for row in connection.execute(select(Membership.project_id, Membership.user_id))}
        lacking = {(row[0], row[1]) for row in connection.execute(assigned)} - there
        rows = [
            {"project_id": project, "user_id": user, "role": "member", "created_at": EPOCH}
            for project, user in sorted(lacking)
        ]
        write(connection, Membership, rows)
        finish(connection)


@pytest.fixture
async def world(url: str) -> Any:
    database = Database(url)
    async with database.reading() as session:
        tags: dict[int, set[str]] = {}
        for task_id, name in await session.all(
            select(TaskTag.task_id, Tag.name_folded).join(Tag, Tag.id == TaskTag.tag_id)
        ):
            tags.setdefault(task_id, set()).add(name)
        people: dict[int, set[int]] = {}
        for task_id, user_id in await session.all(select(TaskAssignee.task_id, TaskAssignee.user_id)):
            people.setdefault(task_id, set()).add(user_id)
        tasks = await session.all(select(*Task.__table__.c).where(Task.deleted_at.is_(None)))
        projects: dict[int, set[int]] = {}
        for user_id, project_id in await session.all(select(Membership.user_id, Membership.project_id)):
            projects.setdefault(user_id, set()).add(project_id)
    rows = [Row(task, frozenset(tags.get(task.id, ())), frozenset(people.get(task.id, ()))) for task in tasks]
    yield World(database, rows, projects)
    await database.dispose()


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each way is gone: the walk that ends too soon, the few and the many that are sorted, the walk to the end,
    and many projects."""
    for name, value in (
        ("FIRST", 1),
        ("LONG", 12),
        ("LONGEST", 30),
        ("FURTHEST", 60),
        ("MANY", 60),
        ("LED_FROM", 3),
        ("STAGED_FROM", 0),
    ):
        monkeypatch.setattr(keyset, name, value)
    monkeypatch.setattr(keyset, "MAX_MERGED", 5)
    monkeypatch.setattr(index_scan, "MAX_MERGED", 5)
    monkeypatch.setattr(few, "FEW", 15)
    monkeypatch.setattr(few, "SOME", 40)
    monkeypatch.setattr(few, "CHEAP", 3)
    monkeypatch.setattr(names, "MOST", 3)
    monkeypatch.setattr(search_selectivity, "FEW", 0)
    monkeypatch.setattr(search_selectivity, "MAX_IDS", 8)


def expected(world: World, caller: int, meets: Meets, sort: TaskSort, order: Direction) -> list[int]:
    """The ids of the tasks, in order."""
    mine = [row.task for row in world.rows if row.task.project_id in world.projects[caller] and meets(row)]
    value = attrgetter(sort.value)
    there = sorted((task for task in mine if value(task) is not None), key=lambda task: (value(task), task.id))
    missing = sorted(task.id for task in mine if value(task) is None)
    ids = [task.id for task in there]
    if order is Direction.DESC:
        ids, missing = ids[::-1], missing[::-1]
    return ids + missing


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("sort", list(TaskSort))
async def test_lists_have_what_plain_python_finds(world: World, sort: TaskSort) -> None:
    [reader] = [user for user in world.projects if user >= skew.FIRST_READER]
    place = list(TaskSort).index(sort)
    for turn, caller in enumerate((1, reader)):
        actor = Actor("token", user_id=caller, scopes=frozenset(Scope))
        # each filter in three of the orders, by each of the callers in turn: building the statements takes most of the
        # time, and which are built is decided by the order, the filter and the number of projects one by one
        for number, (condition, meets) in enumerate(FILTERS):
            if not WHOLE and (number % 3 != place % 3 or (number + place // 3) % 2 != turn):
                continue
            order = (Direction.ASC, Direction.DESC)[(number + caller) % 2]
            query = TaskQuery(TaskFilter.model_validate(condition), sort, order)
            ids = expected(world, caller, meets, sort, order)
            said = (caller, condition, sort, order)
            assert await _walked(world, actor, query, 7, 14, backward=False) == ids[:14], said
            assert await _walked(world, actor, query, 100, 200, backward=True) == ids[::-1][:200], said
            async with world.database.reading() as session:
                page = await queries.list_(session, actor, query, PageRequest(first=5, skip=3))
            assert [task.id for task in page.items] == ids[3:8], said


async def _walked(world: World, actor: Actor, query: TaskQuery, size: int, most: int, *, backward: bool) -> list[int]:
    """The ids of as many tasks, page by page."""
    found: list[int] = []
    cursor: str | None = None
    while len(found) < most:
        request = PageRequest(last=size, before=cursor) if backward else PageRequest(first=size, after=cursor)
        async with world.database.reading() as session:
            page = await queries.list_(session, actor, query, request)
        ids = [task.id for task in page.items]
        found += ids[::-1] if backward else ids
        if not (page.has_previous if backward else page.has_next):
            return found[:most]
        cursor = page.cursor(page.items[0 if backward else -1])
    return found[:most]


def _status(*statuses: str) -> Meets:
    return lambda row: row.task.status in statuses


OF_STATUSES: list[tuple[dict[str, Any], Meets]] = [
    ({"status": {"eq": "cancelled"}}, _status("cancelled")),
    ({"status": {"eq": "completed"}}, _status("completed")),
    ({"status": {"ne": "completed"}}, _status("pending", "in_progress", "cancelled")),
    ({"status": {"ne": "pending"}}, _status("in_progress", "completed", "cancelled")),
    ({"status": {"in": ["completed", "cancelled"]}}, _status("completed", "cancelled")),
    ({"status": {"not_in": ["in_progress", "pending"]}}, _status("completed", "cancelled")),
    ({"status": {"not_in": ["completed", "cancelled"]}}, _open),
    ({"not": {"status": {"in": ["pending", "in_progress", "completed"]}}}, _status("cancelled")),
    ({"not": {"overdue": True}}, lambda row: not (_open(row) and row.task.due_at)),
    ({"overdue": True}, lambda row: _open(row) and row.task.due_at is not None),
    ({"completed_at": {"is_null": True}}, _status("pending", "in_progress", "cancelled")),
    ({"completed_at": {"is_null": False}, "priority": {"lte": 2}}, lambda row: _done(row) and row.task.priority <= 2),
    ({"not": {"completed_at": {"gte": MIDDLE.isoformat()}}}, lambda row: not _done(row, since=MIDDLE)),
    (
        {"completed_at": {"gte": MIDDLE.isoformat()}, "number": {"gte": 9}},
        lambda row: _done(row, since=MIDDLE) and row.task.number >= 9,
    ),
    (
        {"or": [{"status": {"eq": "cancelled"}}, {"completed_at": {"is_null": True}, "priority": {"eq": 1}}]},
        lambda row: row.task.status == "cancelled" or (not _done(row) and row.task.priority == 1),
    ),
    ({"status": {"eq": "cancelled"}, "not": {"status": {"ne": "pending"}}}, _status()),
]
"""Of which statuses say more, and whether there is a time of completion."""


def _done(row: Row, *, since: datetime | None = None) -> bool:
    return row.task.status == "completed" and (since is None or row.task.completed_at >= since)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("sort", [TaskSort.COMPLETED_AT, TaskSort.ID, TaskSort.TITLE])
@pytest.mark.parametrize("order", list(Direction))
async def test_lists_of_some_statuses_have_what_plain_python_finds(
    world: World, sort: TaskSort, order: Direction
) -> None:
    [reader] = [user for user in world.projects if user >= skew.FIRST_READER]
    for number, (condition, meets) in enumerate(OF_STATUSES):
        caller = (1, reader)[number % 2]
        actor = Actor("token", user_id=caller, scopes=frozenset(Scope))
        query = TaskQuery(TaskFilter.model_validate(condition), sort, order)
        ids = expected(world, caller, meets, sort, order)
        said = (caller, condition)
        assert await _walked(world, actor, query, 7, 14, backward=False) == ids[:14], said
        assert await _walked(world, actor, query, 7, 14, backward=True) == ids[::-1][:14], said
        assert await _walked(world, actor, query, 100, 400, backward=False) == ids, said


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("order", list(Direction))
async def test_cursors_of_all_tasks_hold_where_tasks_of_some_statuses_are_listed(
    world: World, order: Direction
) -> None:
    """A cursor made with another filter may be in the range that is left out."""
    sort, caller = TaskSort.COMPLETED_AT, 1
    actor = Actor("token", user_id=caller, scopes=frozenset(Scope))
    every = expected(world, caller, lambda _: True, sort, order)
    tasks = {row.task.id: row.task for row in world.rows}
    ordering = TaskQuery(None, sort, order).ordering
    last = max(place for place, id_ in enumerate(every) if tasks[id_].completed_at is not None)
    for condition, meets in OF_STATUSES:
        query = TaskQuery(TaskFilter.model_validate(condition), sort, order)
        ids = set(expected(world, caller, meets, sort, order))
        for place in (5, last, last + 1, len(every) - 5):
            cursor = encode_cursor(ordering, tasks[every[place]])
            for request, beyond in (
                (PageRequest(first=9, after=cursor), every[place + 1 :]),
                (PageRequest(last=9, before=cursor), every[:place][::-1]),
            ):
                async with world.database.reading() as session:
                    page = await queries.list_(session, actor, query, request)
                found = [task.id for task in page.items]
                wanted = [id_ for id_ in beyond if id_ in ids][:9]
                assert (found[::-1] if request.backward else found) == wanted, (condition, place, request)


async def test_few_tasks_of_a_status_are_read_from_an_index_of_these(world: World) -> None:
    commands: list[Command] = []
    run = world.database.reader.run

    async def recorded(command: Command) -> Sequence[tuple[Any, ...]]:
        commands.append(command)
        return await run(command)

    world.database.reader.run = recorded  # type: ignore[method-assign]  # a spy
    actor = Actor("token", user_id=1, scopes=frozenset(Scope))
    indexes = {"cancelled": "ix_tasks_live_cancelled", "pending": "ix_tasks_open_"}
    if world.database.dialect == "sqlite":  # PostgreSQL sees that most are completed
        indexes["completed"] = "ix_tasks_live_completed_at"
    for status, index in indexes.items():
        condition = TaskFilter.model_validate({"status": {"eq": status}})
        query = TaskQuery(condition, TaskSort.TITLE, then_by=(SortBy(TaskSort.NUMBER, Direction.ASC),))
        async with world.database.reading() as session:
            # beyond some that are left out, in an order that no index has
            await queries.list_(session, actor, query, PageRequest(first=5, skip=1))
        counting, listing = commands[-2:]
        with explainer(world.database) as explain:
            for command in (counting, listing):
                found = explain(command, most=100).indexes
                assert any(name.startswith(index) for name in found), (status, found, command.sql)


EVERYTHING: tuple[dict[str, Any], Meets] = ({}, lambda _: True)
ORDERS = (
    "priority,-due_at",
    "-due_at,priority,title",
    "start_at,-completed_at",
    "-completed_at,start_at,-priority",
    "title,-number",
    "-number,due_at,start_at",
    "created_at,-id",
)


def expected_by(world: World, caller: int, meets: Meets, keys: Sequence[SortBy]) -> list[int]:
    """The ids of the tasks by several keys: two tasks at a time are compared, as the rule is told."""

    def compare(one: Any, other: Any) -> int:
        for key in (*keys, SortBy(TaskSort.ID, keys[-1].direction)):
            left, right = getattr(one, key.field), getattr(other, key.field)
            if left == right:
                continue
            if left is None or right is None:
                return 1 if left is None else -1
            return (1 if left > right else -1) * (-1 if key.direction is Direction.DESC else 1)
        return 0

    mine = [row.task for row in world.rows if row.task.project_id in world.projects[caller] and meets(row)]
    return [task.id for task in sorted(mine, key=cmp_to_key(compare))]


@pytest.mark.usefixtures("bounds")
async def test_lists_by_several_keys_have_what_plain_python_finds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SPARE", 1)
    [reader] = [user for user in world.projects if user >= skew.FIRST_READER]
    for place, text in enumerate(ORDERS):
        keys = parse_keys(text)
        (sort_by, order), *then_by = keys
        caller = (1, reader)[place % 2]
        actor = Actor("token", user_id=caller, scopes=frozenset(Scope))
        # two filters for each order, and one for every other one: building the statements takes most of the time
        some = [EVERYTHING if place % 2 else FILTERS[3 * place], OF_STATUSES[place]]
        if WHOLE:
            some = [EVERYTHING, *FILTERS, *OF_STATUSES]
        for condition, meets in some:
            query = TaskQuery(TaskFilter.model_validate(condition), sort_by, order, then_by=tuple(then_by))
            ids = expected_by(world, caller, meets, keys)
            said = (caller, condition, text)
            assert await _walked(world, actor, query, 7, 28, backward=False) == ids[:28], said
            assert await _walked(world, actor, query, 40, 120, backward=True) == ids[::-1][:120], said
            async with world.database.reading() as session:
                page = await queries.list_(session, actor, query, PageRequest(first=5, skip=3))
            assert [task.id for task in page.items] == ids[3:8], said
