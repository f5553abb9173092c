"""What a request costs the database depends on its shape, never on the number of rows."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from core.clock import now
from db.driver.database import Database
from db.models import Comment, Event, Membership, Project, Tag, Task, TaskAssignee, TaskTag, TaskText, User
from services import authentication
from tests.actors import Person
from tests.statements import StatementCounter

FEW, MANY = 10, 1_000
PAGE = 100

Request = Callable[[Person, dict[str, Any]], Awaitable[object]]


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers are looked up once: on a busy machine a second passes within a request."""
    monkeypatch.setattr(authentication, "MEMORY_SECONDS", 3600.0)


async def _fill(database: Database, ada: Person, count: int) -> None:
    """Give a person tasks with assignees, tags, comments and events, without a request for each."""
    first = await ada.task(tags=["bug", "ux"], assignee_ids=[ada.id])
    moment = now()
    async with database.writing() as session:
        tag_ids = await session.scalars(select(TaskTag.tag_id).where(TaskTag.task_id == first["id"]))
        ids = []
        for number in range(2, count + 1):
            row = {
                "project_id": first["project_id"],
                "number": number,
                "title": f"Task {number}",
                "parent_id": first["id"] if number % 3 == 0 else None,
                "created_by_id": ada.id,
                "created_at": moment + timedelta(seconds=number),
                "updated_at": moment,
            }
            ids.append(await session.scalar(insert(Task).values(row).returning(Task.id)))
        await session.execute(insert(TaskText), [{"task_id": id_, "folded": "task"} for id_ in ids])
        await session.execute(insert(TaskAssignee), [{"task_id": id_, "user_id": ada.id} for id_ in ids])
        links = [{"task_id": id_, "tag_id": tag_id} for id_ in ids for tag_id in tag_ids]
        await session.execute(insert(TaskTag), links)
        # each has a few, the newest as many as there are tasks
        long = [ids[-1]] * count
        comments = [
            {"task_id": id_, "author_id": ada.id, "body": f"{n}", "created_at": moment}
            for n, id_ in enumerate([*ids * 4, *long])
        ]
        await session.execute(insert(Comment), comments)
        happened = [
            {
                "event_id": str(uuid.uuid4()),
                "occurred_at": moment,
                "kind": "task.created",
                "entity_type": "task",
                "entity_id": id_,
                "task_id": id_,
                "actor_id": ada.id,
                "actor_method": "token",
                "changes": {},
                "notify": True,
            }
            for n, id_ in enumerate([*ids, *long])
        ]
        await session.execute(insert(Event), happened)
        names = [f"{ada.username}_{n}" for n in range(count // 10)]
        people = [{"username": name, "username_folded": name, "updated_at": moment} for name in names]
        await session.execute(insert(User), people)
        user_ids = await session.scalars(select(User.id).where(User.username.in_(names)))
        members = [{"project_id": first["project_id"], "user_id": id_, "role": "viewer"} for id_ in user_ids]
        await session.execute(insert(Membership), members)
        labels = [{"project_id": first["project_id"], "name": name, "name_folded": name} for name in names]
        await session.execute(insert(Tag), labels)
        project = Project.id == first["project_id"]
        await session.execute(update(Project).where(project).values(last_number=count))


def rest(path: str) -> Request:
    async def ask(person: Person, task: dict[str, Any]) -> object:
        answer = await person.get(path.format(project=task["project_id"], task=task["id"]))
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def gql(query: str) -> Request:
    async def ask(person: Person, task: dict[str, Any]) -> object:
        variables = {"task": task["node_id"]} if "$task" in query else {}
        return (await person.gql(query, variables)).data

    return ask


EXPAND = "&".join(f"expand={name}" for name in ("project", "assignees", "tags", "comment_count", "comments"))
NODE = """
    node {
      id title project { key } assignees { username } tags { name } commentCount
      comments(first: 3) { edges { node { body author { username } } } }
    }
"""
SHAPES: dict[str, tuple[Request, int]] = {
    "REST: tasks": (rest(f"/tasks?limit={PAGE}"), 1),
    "REST: tasks and their number": (rest(f"/tasks?limit={PAGE}&total=true"), 2),
    "REST: tasks with relations": (rest(f"/tasks?limit={PAGE}&{EXPAND}"), 7),
    "REST: projects and their number": (rest("/projects?total=true"), 2),
    "REST: members": (rest("/projects/{project}/members"), 2),
    "REST: tags": (rest("/projects/{project}/tags"), 2),
    "REST: comments": (rest("/tasks/{task}/comments"), 2),
    "REST: history": (rest("/tasks/{task}/history"), 2),
    "REST: a task with relations": (rest(f"/tasks/{{task}}?{EXPAND}"), 7),
    "GraphQL: tasks": (gql(f"{{ tasks(first: {PAGE}) {{ edges {{ node {{ id title }} }} }} }}"), 1),
    "GraphQL: tasks and their number": (gql(f"{{ tasks(first: {PAGE}) {{ totalCount edges {{ cursor }} }} }}"), 2),
    "GraphQL: tasks, their number and whether that is all": (
        gql(f"{{ tasks(first: {PAGE}) {{ totalCount totalCountExact again: totalCount edges {{ cursor }} }} }}"),
        2,
    ),
    "GraphQL: tasks with relations": (gql(f"{{ tasks(first: {PAGE}) {{ edges {{ {NODE} }} }} }}"), 7),
    "GraphQL: subtasks, their counts and parents": (
        gql("{ tasks(first: 50) { edges { node { parent { title } subtasks(first: 2) { totalCount edges { node { ref }"
            " } } } } } }"),
        4,
    ),
    "GraphQL: history with actors": (
        gql("{ tasks(first: 50) { edges { node { history(first: 3) { totalCount edges { node { kind actor { username"
            " } } } } } } } }"),
        4,
    ),
    "GraphQL: projects, their tasks, comments, members and tags": (
        gql("{ projects { edges { node { tags { name } members { edges { node { user { username } } } }"
            " tasks(first: 20) { edges { node { comments(first: 2) { edges { node { body } } } } } } } } } }"),
        5,
    ),
    "GraphQL: a task, its project's people, its comments and history": (
        gql("query($task: ID!) { task(id: $task) { commentCount comments(first: 100) { totalCount edges { node { author"
            " { username } } } } history(first: 100) { edges { node { kind } } }"
            " project { tags { name } members(first: 100) { totalCount edges { node { user { username } } } } } } }"),
        9,
    ),
}  # fmt: skip

OF_ALL_PROJECTS = {
    "REST: tasks",
    "REST: tasks and their number",
    "REST: tasks with relations",
    "GraphQL: tasks",
    "GraphQL: tasks and their number",
    "GraphQL: tasks, their number and whether that is all",
    "GraphQL: tasks with relations",
    "GraphQL: subtasks, their counts and parents",
    "GraphQL: history with actors",
}


async def test_statements_are_as_many_for_a_thousand_rows_as_for_ten(
    people: Callable[[], Awaitable[Person]], database: Database, statements: StatementCounter
) -> None:
    counts: dict[str, list[int]] = {shape: [] for shape in SHAPES}
    for rows in (FEW, MANY):
        person = await people()
        await _fill(database, person, rows)
        [newest] = (await person.get("/tasks?limit=1")).json()
        for shape, (request, _) in SHAPES.items():
            await person.get("/users/me")
            statements.reset()
            await request(person, newest)
            counts[shape].append(statements.count)

    # SQLite is told to merge the tasks of each of the caller's projects, which are read first
    more = {shape: int(database.dialect == "sqlite" and shape in OF_ALL_PROJECTS) for shape in SHAPES}
    assert counts == {shape: [expected + more[shape]] * 2 for shape, (_, expected) in SHAPES.items()}


async def test_any_number_of_ids_is_one_statement_for_each_type(
    ada: Person, database: Database, statements: StatementCounter
) -> None:
    tasks = [await ada.task() for _ in range(5)]
    project = await ada.project()
    ids = [*(task["node_id"] for task in tasks), project["node_id"], ada.node_id]
    await ada.get("/users/me")
    statements.reset()
    answer = await ada.gql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})

    assert [node["id"] for node in answer.data["nodes"]] == ids
    assert statements.count == 3


async def test_columns_that_nobody_asks_for_are_not_read(ada: Person, statements: StatementCounter) -> None:
    task = await ada.task(description="Long", due_at="2026-03-31T15:00:00Z")
    lean, full = (
        "{ tasks { edges { cursor node { title } } } }",
        "{ tasks { edges { node { title description dueAt } } } }",
    )
    for query in (lean, full):  # an operation that comes again is compiled, and known by what it reads
        await ada.gql(query)
    asked = {
        "GraphQL, title": await _columns(statements, ada.gql(lean)),
        "REST, fields": await _columns(statements, ada.get("/tasks?fields=id,title")),
        "GraphQL, more": await _columns(statements, ada.gql(full)),
        "REST": await _columns(statements, ada.get("/tasks")),
    }
    found = (await ada.gql(full)).data["tasks"]["edges"][0]["node"]

    assert asked == {
        "GraphQL, title": {"created_at"},  # the cursor's
        "REST, fields": {"created_at"},
        "GraphQL, more": {"created_at", "description", "due_at"},
        "REST": {"created_at", "description", "due_at", "updated_at"},
    }
    assert found == {"title": task["title"], "description": "Long", "dueAt": "2026-03-31T15:00:00Z"}


async def _columns(statements: StatementCounter, request: Awaitable[object]) -> set[str]:
    """Which of some columns of tasks the request reads."""
    statements.reset()
    await request
    [sql] = [sql for sql in statements.seen if "tasks.title" in sql]
    return {name for name in ("created_at", "description", "due_at", "updated_at") if f"tasks.{name}" in sql}
