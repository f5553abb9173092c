"""What a request reads does not grow with the number of tasks: the plans that both databases make.

The statements are those that requests on either door run, with their values. A list reads the first rows of each
project's index, merges them, and looks up what hangs on those of the page.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from api.main import create_app
from api.state import State
from db.driver.dialects import DialectName
from db.driver.statements import Command
from db.upkeep import analyze
from services.tasks.listing.keyset import FIRST
from services.tasks.listing.search_selectivity import SAMPLE
from tests.actors import Person, make_person
from tests.conftest import BACKENDS, settings_for
from tests.databases import empty_database
from tests.infrastructure import require
from tests.listings import graphql_page, links
from tests.many_tasks import add_people_and_projects, add_tasks, multiply_tasks
from tests.plans import Findings, explainer

PAGE = 20
OWN = 5
FEW, TIMES = 3_000, 10
"""Tasks at first, and how many times as many there are in the end."""
ROWS = (OWN + 1) * (PAGE + 1)
"""A page, and a row more, of each project; the Inbox is one."""
OF_TASKS = ROWS + PAGE + 1
"""As many tasks a list may read: those, and each task of the page once more."""


WALKED = 2 * FIRST * (PAGE + 1)
"""On PostgreSQL so many keys may be sorted: the first rows of an order, of which a filter leaves some, and more."""
FILTERED_OUT = 6
"""One in four tasks meets the filter: so many times as many are read, and some more where they are rare."""

Found = Mapping[str, Sequence[Findings]]
"""By the names of requests: what was found of each of their statements."""


@dataclass(frozen=True, slots=True)
class World:
    """What requests ask for."""

    state: State
    ada: Person
    project: dict[str, Any]
    task: dict[str, Any]
    commands: list[Command] = field(default_factory=list)
    """What was read from the database."""


class Measured(NamedTuple):
    """What was found of each request, with few tasks and with many."""

    dialect: DialectName
    few: Found
    many: Found


Ask = Callable[[World], Awaitable[None]]


def rest(path: str, *, pages: int = 1) -> Ask:
    """A page, and those that follow it."""

    async def ask(world: World) -> None:
        url = "/api/v1" + path.format(project=world.project["id"], task=world.task["id"], ref=world.task["ref"])
        for _ in range(pages):
            answer = await world.ada.client.get(url, headers=world.ada.headers)
            assert answer.status_code == 200, answer.text
            url = links(answer).get("next", "") if pages > 1 else ""

    return ask


def gql(query: str) -> Ask:
    async def ask(world: World) -> None:
        ids = {"project": world.project["node_id"], "task": world.task["node_id"]}
        assert (await world.ada.gql(query, {name: ids[name] for name in ids if f"${name}:" in query})).data

    return ask


def graphql_pages(**arguments: Any) -> Ask:
    """The first two pages and the last two."""

    async def ask(world: World) -> None:
        for amount, cursor, place in (("first", "after", "endCursor"), ("last", "before", "startCursor")):
            page = (await graphql_page(world.ada, **arguments, **{amount: PAGE})).data["tasks"]
            beyond = {amount: PAGE, cursor: page["pageInfo"][place]}
            assert (await graphql_page(world.ada, **arguments, **beyond)).data["tasks"]["edges"]

    return ask


ORDERS = [(key, order) for key in ("created_at", "updated_at", "due_at", "priority") for order in ("asc", "desc")]
FILTER = {"status": {"eq": "PENDING"}, "priority": {"gte": 3}}
EXPAND = "&".join(f"expand={name}" for name in ("project", "assignees", "tags", "comment_count", "comments"))
NODE = "id project { name } assignees { username } tags { name } commentCount comments(first: 3) { edges { cursor } }"
REQUESTS: dict[str, Ask] = {
    **{f"REST: {key} {order}": rest(f"/tasks?sort_by={key}&order={order}", pages=2) for key, order in ORDERS},
    **{
        f"GraphQL: {key} {order}": graphql_pages(orderBy={"field": key.upper(), "direction": order.upper()})
        for key, order in ORDERS
    },
    "REST: filtered": rest("/tasks?status=pending&priority=3&priority=4&priority=5", pages=2),
    "GraphQL: filtered": graphql_pages(filter=FILTER),
    **{
        f"REST: {status} by completion {order}, filtered": rest(
            f"/tasks?status={status}&sort_by=completed_at&order={order}", pages=2
        )
        for status in ("cancelled", "completed")
        for order in ("asc", "desc")
    },
    "GraphQL: cancelled by completion, filtered": graphql_pages(
        filter={"status": {"eq": "CANCELLED"}}, orderBy={"field": "COMPLETED_AT", "direction": "DESC"}
    ),
    "REST: a project by a part of its name": rest(
        "/tasks?filter=" + quote(json.dumps({"project": {"name": {"contains": "PLACE 3"}}})), pages=2
    ),
    "REST: a project by its key": rest(
        "/tasks?filter=" + quote(json.dumps({"project": {"key": {"eq": "own3"}}})), pages=2
    ),
    "GraphQL: projects by a part of their names and keys": graphql_pages(
        filter={"project": {"name": {"startsWith": "place"}, "key": {"contains": "WN"}}}
    ),
    **{
        f"REST: a person by {name}": rest("/tasks?filter=" + quote(json.dumps({"assignees": asked})))
        for name, asked in (
            ("a part of a username", {"username": {"contains": "ARE_PERS"}}),
            ("a part of a name", {"full_name": {"starts_with": "rár"}}),
            ("a name", {"full_name": {"eq": "Rára"}}),
        )
    },
    "REST: a project's tasks": rest("/tasks?project_id={project}", pages=2),
    "GraphQL: a project's tasks": gql(
        "query($project: ID!) { project(id: $project) { tasks(first: 20) { edges { node { id } } } } }"
    ),
    "REST: a page with relations": rest(f"/tasks?{EXPAND}"),
    "GraphQL: a page with relations": gql(f"{{ tasks(first: 20) {{ edges {{ node {{ {NODE} }} }} }} }}"),
    "REST: a task": rest("/tasks/{task}"),
    "GraphQL: a task": gql("query($task: ID!) { task(id: $task) { title } }"),
    "REST: a task by its ref": rest("/tasks/by-ref/{ref}"),
    "REST: a task's comments": rest("/tasks/{task}/comments"),
    "GraphQL: a task's comments": gql("query($task: ID!) { task(id: $task) { comments { edges { cursor } } } }"),
    "REST: a task's history": rest("/tasks/{task}/history"),
    "GraphQL: a task's history": gql("query($task: ID!) { task(id: $task) { history { edges { cursor } } } }"),
    "REST: a project": rest("/projects/{project}"),
    "REST: a project's members": rest("/projects/{project}/members"),
    "REST: a rare word": rest("/tasks?search=zeppelin"),
    "REST: a common word": rest("/tasks?search=task", pages=2),
}


async def _build(state: State, client: httpx.AsyncClient) -> World:
    ada = await make_person(client, state)
    projects = [await ada.project(key=f"OWN{number}", name=f"Place {number}") for number in range(OWN)]
    task = await ada.task(project_id=projects[0]["id"], title="Sell the zeppelin", tags=["bug"])
    await ada.comment(task["id"])
    rare = await make_person(client, state, username="rare_person", full_name="R\u00e1ra")
    await ada.invite(projects[0], rare)
    await ada.task(project_id=projects[0]["id"], assignee_ids=[rare.id])
    own = [project["id"] for project in projects]
    async with state.database.writing() as session:
        await add_people_and_projects(session, own)
        await add_tasks(session, own, FEW)
    world = World(state, ada, projects[0], task)
    run = state.database.reader.run

    async def recorded(command: Command) -> Sequence[tuple[Any, ...]]:
        world.commands.append(command)
        return await run(command)

    # the reader of this one database is listened to; mypy takes no other method
    state.database.reader.run = recorded  # type: ignore[method-assign]
    return world


async def _explain(world: World) -> Found:
    await analyze(world.state.database)
    known: dict[str, Findings] = {}
    found: dict[str, list[Findings]] = {}
    with explainer(world.state.database) as explain:
        for name, ask in REQUESTS.items():
            world.state.authenticator.forget()  # so that the session is looked up
            world.commands.clear()
            await ask(world)
            statements = {repr(command[:2]): command for command in world.commands}
            known |= {key: explain(command, most=WALKED) for key, command in statements.items() if key not in known}
            found[name] = [known[key] for key in statements]
    return found


@pytest.fixture(scope="module", params=BACKENDS)
def own_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgresql":
        require("postgresql")
    with empty_database(request.param, tmp_path_factory.mktemp("plans")) as url:
        yield url


@pytest.fixture(scope="module")
async def measured(own_url: str) -> Measured:
    app = create_app(settings_for(own_url), compile_after=0)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        world = await _build(app.state.tandem, client)
        few = await _explain(world)
        async with world.state.database.writing() as session:
            await multiply_tasks(session, TIMES)
        return Measured(world.state.database.dialect, few, await _explain(world))


async def test_lists_read_a_page_of_each_project_by_an_index(measured: Measured) -> None:
    bad = {}
    for name, findings in measured.many.items():
        bound = OF_TASKS * (FILTERED_OUT if name.endswith("filtered") else 1) + SAMPLE * name.endswith("common word")
        problems = [step for each in findings for step in (*each.read_whole, *each.sorts)]
        problems += [f"reads {each.tasks_read} tasks" for each in findings if each.tasks_read > bound]
        if problems:
            bad[name] = problems

    assert bad == {}


async def test_ten_times_as_many_tasks_cost_a_request_no_more(measured: Measured) -> None:
    grown = {}
    for name in REQUESTS:
        few, many = (sum(each.cost for each in found[name]) for found in (measured.few, measured.many))
        if many > 1.2 * few + 50:
            grown[name] = (few, many)

    assert grown == {}
