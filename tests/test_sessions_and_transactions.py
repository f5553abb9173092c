"""Sessions under sibling fields, and transactions under many writers: what breaks naive applications, measured."""

import asyncio

import httpx
from fastapi import FastAPI

from api.main import create_app
from db.engine import Database
from tests.actors import Person
from tests.conftest import settings_for

SIBLINGS = (
    "{"
    + " ".join(f"l{n}: tasks(first: 20) {{ edges {{ node {{ title project {{ key }} }} }} }}" for n in range(6))
    + "}"
)


async def test_sibling_fields_on_a_cold_pool_do_not_share_a_session(ada: Person, database: Database) -> None:
    await ada.task()
    url = database.url.render_as_string(hide_password=False)
    app = create_app(settings_for(url))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    async with app.router.lifespan_context(app), http as client:
        person = Person(client, ada.headers)
        answers = await asyncio.gather(*(person.gql(SIBLINGS) for _ in range(50)))

    assert all(len(answer.data) == 6 for answer in answers)
    assert all(len(answer.data[f"l{n}"]["edges"]) == 1 for answer in answers for n in range(6))


async def test_write_is_committed_before_its_response_starts(ada: Person, app: FastAPI, database: Database) -> None:
    """A second connection sees the row when the first byte of the answer leaves the application."""
    seen: list[int] = []
    transport = httpx.ASGITransport(app)

    async def watching(scope: object, receive: object, send: object) -> None:
        async def watched(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                seen.append(len((await ada.get("/tasks")).json()))
            await send(message)  # type: ignore[operator]

        await app(scope, receive, watched)  # type: ignore[arg-type]

    transport.app = watching
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await Person(client, ada.headers).task()

    assert seen == [1]


async def test_refused_mutation_leaves_nothing_and_its_siblings_stay(ada: Person) -> None:
    answer = await ada.gql(
        """mutation {
          one: createTask(input: {title: "One"}) { task { title } }
          bad: createTask(input: {title: "Bad", assigneeIds: ["VXNlcjoyMTQ3NDgzNjQ3"], tags: ["new"]}) { task { ref } }
          two: createTask(input: {title: "Two"}) { task { title } }
        }"""
    )

    assert answer.code == "NOT_FOUND"
    assert answer.body["data"] == {"one": {"task": {"title": "One"}}, "bad": None, "two": {"task": {"title": "Two"}}}
    assert [task["title"] for task in (await ada.get("/tasks")).json()] == ["Two", "One"]
    inbox = (await ada.get("/projects")).json()[0]
    assert (await ada.get(f"/projects/{inbox['id']}/tags")).json() == []


async def test_readers_that_turn_writers_never_lock_each_other_out(ada: Person) -> None:
    project = await ada.project()
    made = await asyncio.gather(*(ada.task(project_id=project["id"], tags=["same"]) for _ in range(20)))

    assert sorted(task["number"] for task in made) == list(range(1, 21))


async def test_concurrent_changes_of_different_fields_are_all_kept(ada: Person) -> None:
    task = await ada.task()
    path = f"/tasks/{task['id']}"
    changes = [{"title": f"Title {n}"} if n % 2 else {"priority": n % 5 + 1} for n in range(200)]
    answers = await asyncio.gather(*(ada.patch(path, change) for change in changes))

    assert {answer.status_code for answer in answers} == {200}
    stored = (await ada.get(path)).json()
    history = (
        await ada.gql("query($id: ID!) { task(id: $id) { history { totalCount } } }", {"id": task["node_id"]})
    ).data
    # as many versions as events, whether or not a change found its value there already
    assert history["task"]["history"]["totalCount"] == stored["version"]
    assert stored["version"] > 100
    assert stored["title"].startswith("Title ")
