"""A repeat is a read: it tells what was kept only to who may read it now, on both doors, for every operation.

What makes a thing unreadable between a call and its repeat stands in ``CHANGES``; which operations tell of what is in
``CALLS``. Every one is tried with every other that touches it.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from db.driver.database import Database
from db.models import ApiKey, Base, Membership, Project, User, Webhook
from services.features import FEATURES
from services.shared.idempotency import Operation
from services.shared.node_ids import decode
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import DOORS, Door, on_both_doors
from tests.examples import body_model
from tests.operations import run

SECRET_WORDS = "Known to members alone"


class Place(NamedTuple):
    """A project of ada's with bob as an administrator, and a few things in it."""

    owner: Person
    caller: Person
    other: Person
    project: dict[str, Any]
    task: dict[str, Any]
    doomed: dict[str, Any]
    hook: dict[str, Any]
    """A webhook of the caller's."""

    @property
    def id(self) -> int:
        found: int = self.project["id"]
        return found


@pytest.fixture
async def place(ada: Person, bob: Person, people: People) -> Place:
    project = await ada.project(name=f"Secret {uuid4()}")
    await ada.invite(project, bob, "admin")
    other = await people()
    task = await ada.task(project_id=project["id"], title=SECRET_WORDS)
    doomed = await ada.task(project_id=project["id"], title=SECRET_WORDS)
    hook = (await bob.post("/webhooks", {"name": SECRET_WORDS, "url": "https://hooks.example.com/x"})).json()
    return Place(ada, bob, other, project, task, doomed, hook)


Body = Callable[[Place], dict[str, Any] | None]
Ids = Callable[[Place], dict[str, Any]]


class Told(NamedTuple):
    """A call with a key: its operation, body and ids, and the kinds of things that its answer tells of."""

    operation: str
    body: Body
    ids: Ids
    of: frozenset[str]


def _nothing(_place: Place) -> dict[str, Any]:
    return {}


CALLS = {
    call.operation: call
    for call in (
        Told(
            "create_task",
            lambda p: {"title": SECRET_WORDS, "project_id": p.id},
            _nothing,
            frozenset({"project", "task"}),
        ),
        Told("restore_task", lambda p: None, lambda p: {"task_id": p.doomed["id"]}, frozenset({"project", "task"})),
        Told("duplicate_task", lambda p: {}, lambda p: {"task_id": p.task["id"]}, frozenset({"project", "task"})),
        Told(
            "move_task",
            lambda p: {"project_id": p.id},
            lambda p: {"task_id": p.task["id"]},
            frozenset({"project", "task"}),
        ),
        Told("create_project", lambda p: {"name": SECRET_WORDS}, _nothing, frozenset({"project"})),
        Told(
            "add_member",
            lambda p: {"username": p.other.username},
            lambda p: {"project_id": p.id},
            frozenset({"project", "member"}),
        ),
        Told(
            "create_comment",
            lambda p: {"body": SECRET_WORDS},
            lambda p: {"task_id": p.task["id"]},
            frozenset({"project", "ends", "comment"}),
        ),
        Told(
            "create_relation",
            lambda p: {"kind": "blocks", "target_id": p.doomed["id"]},
            lambda p: {"task_id": p.task["id"]},
            frozenset({"project", "ends", "relation"}),
        ),
        Told(
            "create_reminder",
            lambda p: {"before_due": 30},
            lambda p: {"task_id": p.task["id"]},
            frozenset({"project", "ends", "reminder"}),
        ),
        Told("create_saved_view", lambda p: {"name": SECRET_WORDS}, _nothing, frozenset({"saved_view"})),
        Told(
            "create_webhook",
            lambda p: {"name": SECRET_WORDS, "url": "https://hooks.example.com/y"},
            _nothing,
            frozenset({"webhook"}),
        ),
        *(
            Told(name, lambda p: {}, lambda p: {"webhook_id": p.hook["id"]}, frozenset({"webhook"}))
            for name in ("rotate_webhook_secret", "redeliver_webhook")
        ),
        Told("test_webhook", lambda p: None, lambda p: {"webhook_id": p.hook["id"]}, frozenset({"webhook"})),
    )
}
BULK = {
    call.operation: call
    for call in (
        Told(
            "create_tasks",
            lambda p: {"mode": "partial", "tasks": [{"title": SECRET_WORDS, "project_id": p.id}, {"title": "Mine"}]},
            _nothing,
            frozenset({"project", "task"}),
        ),
        Told(
            "update_tasks",
            lambda p: {"mode": "partial", "tasks": [{"id": p.task["id"], "priority": 4}]},
            _nothing,
            frozenset({"project", "ends"}),
        ),
        Told(
            "update_matching_tasks",
            lambda p: {"filter": {"title": {"eq": SECRET_WORDS}}, "changes": {"priority": 4}},
            _nothing,
            frozenset({"project", "ends"}),
        ),
        Told("delete_tasks", lambda p: {"tasks": [{"id": p.task["id"]}]}, _nothing, frozenset({"project"})),
    )
}


def _regular(name: str, thing: str) -> Told:
    """A call that creates something in a project, made of what its route declares."""
    model = body_model(name)
    assert model is not None
    body = {each: SECRET_WORDS for each, field in model.model_fields.items() if field.is_required()}
    return Told(name, lambda _: body, lambda p: {"project_id": p.id}, frozenset({"project", thing}))


_OTHERS = {
    operation.rest: (operation.rest.removeprefix("create_"), feature.name)
    for feature in FEATURES
    for operation in feature.operations
    if operation.repeatable and operation.rest not in CALLS | BULK
}
"""What the others create, and the table of it: those of other features, which have its name."""
CALLS |= {name: _regular(name, thing) for name, (thing, _) in _OTHERS.items()}


class Change(NamedTuple):
    """What somebody does between the call and its repeat, to which kind of thing."""

    kind: str
    make: Callable[[Place, Database, Any], Awaitable[object]]


async def _left(place: Place, database: Database, answer: Any) -> None:
    """Whoever called is no member any more: also of a project that it has just created."""
    async with database.writing() as session:
        await session.execute(delete(Membership).where(Membership.user_id == place.caller.id))


async def _project_deleted(place: Place, database: Database, answer: Any) -> None:
    async with database.writing() as session:
        mine = select(Membership.project_id).where(Membership.user_id == place.caller.id)
        await session.execute(delete(Project).where(Project.id.in_(mine)))


def _trash(tasks: Callable[[Place, Any], list[int]]) -> Callable[[Place, Database, Any], Awaitable[object]]:
    async def trash(place: Place, database: Database, answer: Any) -> None:
        for task_id in tasks(place, answer):
            assert (await place.owner.delete(f"/tasks/{task_id}")).status_code == 204

    return trash


def _created(place: Place, answer: Any) -> list[int]:
    """The tasks that the call answered; of a bulk call those in the project."""
    results = answer.get("results")
    if results is None:
        return [answer.get("task", answer)["id"]]
    found = decode(results[0]["node_id"])
    assert found is not None
    return [found[1]]


def _deleted(table_name: str) -> Callable[[Place, Database, Any], Awaitable[object]]:
    table = Base.metadata.tables[table_name]

    async def remove(place: Place, database: Database, answer: Any) -> None:
        async with database.writing() as session:
            assert await session.execute(delete(table).where(table.c.id == answer["id"]))

    return remove


async def _hooks_deleted(place: Place, database: Database, answer: Any) -> None:
    async with database.writing() as session:
        await session.execute(delete(Webhook).where(Webhook.owner_id == place.caller.id))


CHANGES = {
    "the caller left": Change("project", _left),
    "the project was deleted": Change("project", _project_deleted),
    "the task went to the trash": Change("task", _trash(_created)),
    "a task of it went to the trash": Change("ends", _trash(lambda place, _: [place.task["id"]])),
    "the comment was deleted": Change("comment", _deleted("comments")),
    "the relation ended": Change("relation", _deleted("relations")),
    "the reminder was deleted": Change("reminder", _deleted("reminders")),
    "the member was removed": Change("member", _deleted("memberships")),
    "the view was deleted": Change("saved_view", _deleted("saved_views")),
    "the webhook was deleted": Change("webhook", _hooks_deleted),
    **{f"the {thing} was deleted": Change(thing, _deleted(table)) for thing, table in _OTHERS.values()},
}


def pairs(calls: dict[str, Told]) -> list[tuple[str, str]]:
    return [(name, change) for name, call in calls.items() for change, (kind, _) in CHANGES.items() if kind in call.of]


async def call(door: Door, caller: Anonymous, name: str, place: Place, key: str) -> Any:
    told = (CALLS | BULK)[name]
    return await run(door, name, caller, told.body(place), key=key, **told.ids(place))


async def prepare(name: str, place: Place) -> None:
    if name == "restore_task":
        await place.owner.delete(f"/tasks/{place.doomed['id']}")


class TestWhatIsNoLongerReadable:
    @pytest.mark.parametrize("repeat_on", DOORS)
    @pytest.mark.parametrize(("name", "change"), pairs(CALLS))
    async def test_is_not_found(
        self, name: str, change: str, repeat_on: Door, place: Place, database: Database
    ) -> None:
        await prepare(name, place)
        key = str(uuid4())
        first = await call("rest", place.caller, name, place, key)
        assert first.code is None, first.message
        assert (await call(repeat_on, place.caller, name, place, key)).body == first.body

        await CHANGES[change].make(place, database, first.body)

        repeat = await call(repeat_on, place.caller, name, place, key)
        assert repeat.code == "NOT_FOUND"
        assert SECRET_WORDS not in json.dumps(repeat.body)
        assert "Idempotency-Replayed" not in repeat.headers

    @pytest.mark.parametrize("repeat_on", DOORS)
    @pytest.mark.parametrize(("name", "change"), pairs(BULK))
    async def test_is_one_refused_result_of_many(
        self, name: str, change: str, repeat_on: Door, place: Place, database: Database
    ) -> None:
        key = str(uuid4())
        first = await call(repeat_on, place.caller, name, place, key)
        assert first.code is None, first.message
        assert (await call(repeat_on, place.caller, name, place, key)).body == first.body

        await CHANGES[change].make(place, database, first.body)

        repeat = await call(repeat_on, place.caller, name, place, key)
        assert repeat.code is None
        gone, then = repeat.body["results"][0], first.body["results"][0]
        assert gone["error"]["code"] == "NOT_FOUND"
        assert (gone["version"], gone["task"], gone["node_id"]) == (None, None, then["node_id"])
        assert SECRET_WORDS not in json.dumps(repeat.body) or change == "a task of it went to the trash"
        failed = sum(result["error"] is not None for result in repeat.body["results"])
        assert (repeat.body["failed"], repeat.body["succeeded"]) == (failed, len(repeat.body["results"]) - failed)

    @on_both_doors
    async def test_is_only_that_of_a_bulk_call(self, door: Door, place: Place, database: Database) -> None:
        key = str(uuid4())
        first = await call(door, place.caller, "create_tasks", place, key)
        async with database.writing() as session:
            await session.execute(
                delete(Membership).where(Membership.user_id == place.caller.id, Membership.project_id == place.id)
            )

        repeat = await call(door, place.caller, "create_tasks", place, key)

        assert repeat.body["results"][1] == first.body["results"][1]
        assert (repeat.body["succeeded"], repeat.body["failed"]) == (1, 1)

    @on_both_doors
    async def test_includes_why_a_task_was_not_created_there(
        self, door: Door, place: Place, database: Database
    ) -> None:
        await place.owner.patch(f"/projects/{place.id}", {"archived": True})
        key = str(uuid4())
        first = await call(door, place.caller, "create_tasks", place, key)
        assert first.body["results"][0]["error"]["code"] == "CONFLICT"
        async with database.writing() as session:
            await session.execute(
                delete(Membership).where(Membership.user_id == place.caller.id, Membership.project_id == place.id)
            )

        repeat = await call(door, place.caller, "create_tasks", place, key)

        error = repeat.body["results"][0]["error"]
        assert (error["code"], error["message"]) == ("NOT_FOUND", "Project not found")

    async def test_is_not_read_by_nested_fields(self, place: Place, database: Database) -> None:
        """The report: who was assigned after the caller had been removed."""
        selection = "task { title assignees { username } project { name } }"
        document = f"mutation($input: CreateTaskInput!) {{ createTask(input: $input) {{ {selection} }} }}"
        values = {"title": "Mine", "projectId": place.project["node_id"], "idempotencyKey": str(uuid4())}
        assert (await place.caller.gql(document, {"input": values})).data
        await place.owner.delete(f"/projects/{place.id}/members/{place.caller.id}")

        repeat = await place.caller.gql(document, {"input": values})

        assert (repeat.code, repeat.body["data"]) == ("NOT_FOUND", {"createTask": None})

    async def test_is_every_operation_with_a_key(self) -> None:
        """An operation that takes a key and is missing above fails here."""
        names = {"create_task": "task.create", "restore_task": "task.restore", "add_member": "member.add"}
        names |= {"duplicate_task": "task.duplicate", "move_task": "task.move"}
        names |= {"duplicate_project": "project.duplicate", "create_webhook": "webhook.create"}
        names |= {f"{verb}_webhook": f"webhook.{verb}" for verb in ("test", "redeliver")}
        names["rotate_webhook_secret"] = "webhook.rotate"
        things = ("project", "comment", "relation", "reminder", "saved_view", *(thing for thing, _ in _OTHERS.values()))
        names |= {f"create_{thing}": f"{thing}.create" for thing in things}
        names |= {f"{verb}_tasks": f"task.bulk_{verb}" for verb in ("create", "update", "delete", "update_matching")}
        assert {names[name] for name in CALLS | BULK} == {
            name for name in Operation._names if not name.startswith("test.")
        }


class TestWhatIsStillReadable:
    @pytest.mark.one_rule
    @on_both_doors
    @pytest.mark.parametrize("name", [*CALLS, *BULK])
    async def test_is_told_to_a_viewer_of_an_archived_project(self, door: Door, name: str, place: Place) -> None:
        await prepare(name, place)
        key = str(uuid4())
        first = await call(door, place.caller, name, place, key)
        assert first.code is None, first.message
        await place.owner.patch(f"/projects/{place.id}/members/{place.caller.id}", {"role": "viewer"})
        await place.owner.patch(f"/projects/{place.id}", {"archived": True})

        repeat = await call(door, place.caller, name, place, key)

        assert (repeat.code, repeat.body) == (None, first.body)
        assert repeat.headers["Idempotency-Replayed"] == "true"

    async def test_is_less_for_who_is_no_administrator_any_more(self, people: People, database: Database) -> None:
        root, other = await people(is_admin=True), await people()
        project = await root.project()
        document = "mutation($input: AddMemberInput!) { addMember(input: $input) { member { user { email } } } }"
        values = {"projectId": project["node_id"], "username": other.username, "idempotencyKey": str(uuid4())}
        first = await root.gql(document, {"input": values})
        assert first.data["addMember"]["member"]["user"]["email"] == other.email
        async with database.writing() as session:
            await session.execute(update(User).where(User.id == root.id).values(is_admin=False))

        _forget_callers(root)

        repeat = await root.gql(document, {"input": values})

        assert repeat.data["addMember"]["member"]["user"]["email"] is None


def _forget_callers(person: Person) -> None:
    """A caller is remembered for a second."""
    transport: Any = person.client._transport
    transport.app.state.tandem.authenticator.forget()


class TestScopes:
    @pytest.mark.one_rule
    @on_both_doors
    @pytest.mark.parametrize("name", [*CALLS, *BULK])
    async def test_a_key_that_was_narrowed_repeats_nothing(
        self, door: Door, name: str, place: Place, database: Database
    ) -> None:
        await prepare(name, place)
        key_caller = await place.caller.api_key("tasks:write", "projects:admin")
        key = str(uuid4())
        first = await call(door, key_caller, name, place, key)
        assert first.code is None, first.message
        async with database.writing() as session:
            await session.execute(update(ApiKey).where(ApiKey.user_id == place.caller.id).values(scopes=["tasks:read"]))
        _forget_callers(place.caller)

        repeat = await call(door, key_caller, name, place, key)

        assert repeat.code == "FORBIDDEN"
        assert SECRET_WORDS not in json.dumps(repeat.body)
