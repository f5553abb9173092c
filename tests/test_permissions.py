"""One table of who may do what: every operation, for every kind of caller, asked of both doors.

A cell is the answer: A allowed, U UNAUTHENTICATED, F FORBIDDEN, N NOT_FOUND. The callers are, in the table's order:

    nobody     without credentials          admin      an admin of the project
    outsider   not in the project           owner      its owner, whose comment, view and keys it is about
    viewer     a viewer of it               reads      the owner's key with the scope tasks:read
    member     a member of it               writes     the owner's key with the scope tasks:write
                                            disabled   an owner whose account was disabled

What may be read at the root, and only that, is found by ``node(id)`` and below other things.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import update

from db.driver.database import Database
from db.models import User
from services.features import OPERATIONS as FEATURES_OPERATIONS
from services.shared.actors import Scope
from services.shared.features import Operation, Who
from services.shared.node_ids import MAX_DATABASE_ID, encode
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import DOORS, Door, Result, from_graphql, from_rest, log_in, on_both_doors
from tests.examples import example, notification
from tests.infrastructure import WHOLE
from tests.operations import ACCOUNTS, OPERATIONS, REFERENCES, run
from tests.stored import unchanged
from tests.streaming import followed, listed_live, notified

CALLERS = ("nobody", "outsider", "viewer", "member", "admin", "owner", "reads", "writes", "disabled")
CODES = {"A": None, "U": "UNAUTHENTICATED", "F": "FORBIDDEN", "N": "NOT_FOUND"}

ROWS = {
    Who.ANYBODY: "AAAAAAA",
    Who.ACCOUNT: "UAAAAAU",
    Who.LOGIN: "UAAAAAU",
    Who.SELF: "UNNNNAU",
    Who.VIEWER: "UNAAAAU",
    Who.MEMBER: "UNFAAAU",
    Who.MATCHING_MEMBER: "UAFAAAU",  # for an outsider, no task matches
    Who.ADMIN: "UNFFAAU",
    Who.OWNER: "UNFFFAU",
    Who.AUTHOR: "UNFFFAU",
    Who.AUTHOR_OR_ADMIN: "UNFFAAU",
    Who.SERVER_ADMIN: "UFFFFFU",
    Who.SERVER_KEY: "FFFFFFU",  # nobody: the guide's answer to a missing key
}
"""The cells of the people, by what a feature says who may."""
KEYS = {None: "FF", Scope.TASKS_READ: "AA", Scope.TASKS_WRITE: "FA", Scope.PROJECTS_ADMIN: "FF", Scope.ADMIN: "FF"}
"""The cells of the owner's keys, by the scope that an operation takes."""


def row(operation: Operation) -> str:
    """What the callers are answered."""
    people = ROWS[operation.who]
    keys = "AA" if operation.who is Who.ANYBODY else KEYS[operation.scope]
    return people[:-1] + keys + people[-1]


TABLE = {name: row(operation) for name, operation in FEATURES_OPERATIONS.items()}


@dataclass
class World:
    """A project with one of everything, and a caller of each kind."""

    owner: Person
    stranger: Person
    project: dict[str, Any]
    callers: dict[str, Anonymous]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    untouched: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    """What was made to call an operation on, and stays for the next caller: nothing has changed it yet."""

    @classmethod
    async def make(cls, people: People, database: Database) -> "World":
        owner, stranger = await people(), await people()
        callers: dict[str, Anonymous] = {"nobody": Anonymous(owner.client), "owner": owner}
        world = cls(owner, stranger, await owner.project(), callers)
        for name in ("outsider", "viewer", "member", "admin", "disabled"):
            callers[name] = person = await people()
            if name != "outsider":
                await world.invite(world.project, person, name)
        async with database.writing() as session:
            disabled = callers["disabled"]
            assert isinstance(disabled, Person)
            await session.execute(update(User).where(User.id == disabled.id).values(disabled=True))
        for name, scope in (("reads", "tasks:read"), ("writes", "tasks:write")):
            callers[name] = await owner.api_key(scope)
            await callers[name].get("/users/me")  # notes the key's use, which is a write
        return world

    async def invite(self, project: dict[str, Any], person: Person, name: str) -> None:
        await self.owner.invite(project, person, "owner" if name == "disabled" else name)

    async def task(self, **fields: Any) -> dict[str, Any]:
        return await self.owner.task(project_id=self.project["id"], **fields)

    async def relation(self) -> tuple[int, int]:
        task, other = await self.task(), await self.task()
        made = await self.owner.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]})
        return task["id"], made.json()["id"]

    async def ask(self, door: Door, name: str, caller: Anonymous) -> Result:
        """Call an operation on something of which nothing is known to have changed since it was made."""
        special: dict[str, Callable[..., Any]] = {
            "create_token": self._log_in,
            "register_user": self._register,
            "refresh_token": self._with_refresh_token,
            "revoke_token": self._with_refresh_token,
            "get_task_by_ref": self._by_ref,
            "get_member": self._member,
            "update_project_task": self._in_project,
            "put_comment": self._put_comment,
            "request_password_reset": self._ask_for_a_password,
            "reset_password": self._set_a_password,
            "request_email_verification": self._verify,
            "verify_email": self._verify,
            "unsubscribe": self._unsubscribe,
            "follow_changes": self._follow,
            "follow_notifications": self._follow_notifications,
            "follow_live_list": self._follow,
        }
        if name in special:
            result: Result = await special[name](door, caller, name)
            return result
        if name in ACCOUNTS:
            values, id_ = await self._account(name, caller, door)
            return _or_missing(await ACCOUNTS[name].on(door, caller, values, id=id_))
        if name not in self.untouched:
            self.untouched[name] = await self.target(name)
        body, ids = self.untouched[name]
        result = await run(door, name, caller, body, **ids)
        # a call that is refused changes nothing, as one that reads; if it did, the next caller's cell would show it
        if result.code is None and not name.startswith(("get_", "list_", "count_")):
            del self.untouched[name]
        return result

    async def target(self, name: str) -> tuple[Any, dict[str, Any]]:
        """The body and the ids of a call of an operation."""
        project = {"project_id": self.project["id"]}
        if name in ("list_tasks", "query_tasks"):
            return None, {}
        if name == "count_tasks":
            return None, {"group_by": "status"}
        if name == "delete_project":
            return None, {"project_id": await self._spare_project()}
        if name == "create_webhook":
            return await example(self.owner, name)
        if name.endswith("_member"):
            return await self._membership(name)
        if name in ("get_relation", "delete_relation"):
            task_id, relation_id = await self.relation()
            return None, {"task_id": task_id, "relation_id": relation_id}
        if name == "upsert_task":
            return await example(self.owner, name, **project)
        if name.endswith(("_task", "_tasks", "create_relation", "get_task_with_relations")):
            return await self._of_task(name)
        # of what needs nothing special
        return await example(self.owner, name, **project, task_id=(await self.task())["id"])

    async def _of_task(self, name: str) -> tuple[Any, dict[str, Any]]:
        task = await self.task()
        place, new = {"task_id": task["id"]}, {"title": "New", "project_id": self.project["id"]}
        if name == "create_relation":
            return {"kind": "relates_to", "target_id": (await self.task())["id"]}, place
        if name == "restore_task":
            await self.owner.delete(f"/tasks/{task['id']}")
        matching = {"filter": {"title": {"eq": task["title"]}}, "changes": {"priority": 4}}
        bodies: dict[str, tuple[Any, dict[str, Any]]] = {
            "create_task": (new, {}),
            "create_tasks": ({"tasks": [new]}, {}),
            "update_tasks": ({"tasks": [{"id": task["id"], "title": "New"}]}, {}),
            "delete_tasks": ({"tasks": [{"id": task["id"]}]}, {}),
            "update_matching_tasks": (matching, {}),
            "duplicate_task": ({}, place),
            "move_task": ({"project_id": self.project["id"]}, place),
            **dict.fromkeys(("update_task", "put_task"), ({"title": "New"}, place)),
        }
        return bodies.get(name, (None, place))

    async def _membership(self, name: str) -> tuple[Any, dict[str, Any]]:
        project, user = {"project_id": self.project["id"]}, {"user_id": self.stranger.id}
        if name == "add_member":
            await self.owner.delete(f"/projects/{self.project['id']}/members/{self.stranger.id}")
            return {"username": self.stranger.username}, project
        await self.owner.post(f"/projects/{self.project['id']}/members", {"username": self.stranger.username})
        return {"role": "viewer"} if name == "update_member" else None, project | user

    async def _spare_project(self) -> int:
        project = await self.owner.project(name="Spare")
        for name in ("viewer", "member", "admin"):
            person = self.callers[name]
            assert isinstance(person, Person)
            await self.invite(project, person, name)
        return int(project["id"])

    async def _account(self, name: str, caller: Anonymous, door: Door) -> tuple[Any, int]:
        """The values and the id of a call about the caller's own account; a key's is its owner's."""
        person = caller if isinstance(caller, Person) else self.owner
        if name == "change_password":
            return {
                "current_password": "not the one",
                "new_password": PASSWORD,
                "confirm_password": PASSWORD,
            }, 0
        if name == "end_session":
            await log_in("rest", self.callers["nobody"], person.username, PASSWORD)
            sessions = (await person.get("/users/me/sessions")).json()
            return None, max((session["id"] for session in sessions), default=1) if isinstance(sessions, list) else 1
        if name in ("update_api_key", "rotate_api_key", "delete_api_key"):
            made = await person.post("/users/me/api-keys", {"name": "spare", "scopes": ["tasks:read"]})
            bodies: dict[str, Any] = {"update_api_key": {"name": "New"}, "rotate_api_key": {"grace_seconds": 60}}
            return bodies.get(name), made.json().get("id", 1)
        scopes = ["tasks:read"] if door == "rest" else ["TASKS_READ"]
        return {
            "update_me": ({"full_name": "New"}, 0),
            "update_notification_preferences": ({"muted_kinds": []}, 0),
            "create_api_key": ({"name": "new", "scopes": scopes}, 0),
            "update_user": ({"disabled": False}, self.stranger.id),
            "delete_me": ({"password": "not the one"}, 0),
            "get_user": (None, self.owner.id),
        }.get(name, (None, 0))

    async def _log_in(self, door: Door, caller: Anonymous, _name: str) -> Result:
        return await log_in(door, caller, self.stranger.username, PASSWORD)

    async def _register(self, door: Door, caller: Anonymous, _name: str) -> Result:
        name = f"{self.owner.username}_{door[0]}{next(self.numbers)}"
        values = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        if door == "rest":
            return from_rest(await caller.post("/users", values))
        document = "mutation($i: RegisterInput!) { result: register(input: $i) { user { id } } }"
        return from_graphql(await caller.gql(document, {"i": values}))

    async def _ask_for_a_password(self, door: Door, caller: Anonymous, _name: str) -> Result:
        if door == "rest":
            return from_rest(await caller.post("/password-reset", {"login": "nobody"}))
        document = "mutation($i: RequestPasswordResetInput!) { result: requestPasswordReset(input: $i) { accepted } }"
        return from_graphql(await caller.gql(document, {"i": {"login": "nobody"}}))

    async def _set_a_password(self, door: Door, caller: Anonymous, _name: str) -> Result:
        if door == "rest":
            return from_rest(await caller.post("/password-reset/confirm", {"token": "none", "new_password": PASSWORD}))
        document = "mutation($i: ResetPasswordInput!) { result: resetPassword(input: $i) { reset } }"
        return from_graphql(await caller.gql(document, {"i": {"token": "none", "newPassword": PASSWORD}}))

    async def _verify(self, door: Door, caller: Anonymous, name: str) -> Result:
        asking = name == "request_email_verification"
        values = {"login": "nobody"} if asking else {"token": "none"}
        if door == "rest":
            return from_rest(await caller.post(f"/email-verification{'' if asking else '/confirm'}", values))
        field, answer = ("requestEmailVerification", "accepted") if asking else ("verifyEmail", "verified")
        type_ = f"{field[0].upper()}{field[1:]}Input"
        document = f"mutation($i: {type_}!) {{ result: {field}(input: $i) {{ {answer} }} }}"
        return from_graphql(await caller.gql(document, {"i": values}))

    async def _unsubscribe(self, door: Door, caller: Anonymous, _name: str) -> Result:
        if door == "rest":
            return from_rest(await caller.post("/notifications/preferences/unsubscribe/none"))
        document = "mutation($i: UnsubscribeInput!) { result: unsubscribe(input: $i) { ended } }"
        return from_graphql(await caller.gql(document, {"i": {"token": "none"}}))

    async def _with_refresh_token(self, door: Door, caller: Anonymous, name: str) -> Result:
        tokens = (await log_in("rest", self.callers["nobody"], self.stranger.username, PASSWORD)).body
        value, what = tokens["refresh_token"], name.removesuffix("_token")
        if door == "rest":
            return from_rest(await caller.post(f"/token/{what}", {"refresh_token": value}))
        answer = "tokenType" if what == "refresh" else "revoked"
        document = f"mutation($i: RefreshTokenInput!) {{ result: {what}Token(input: $i) {{ {answer} }} }}"
        return from_graphql(await caller.gql(document, {"i": {"refreshToken": value}}))

    async def _follow(self, door: Door, caller: Anonymous, name: str) -> Result:
        return await (followed(door, caller) if name == "follow_changes" else listed_live(door, caller))

    async def _follow_notifications(self, door: Door, caller: Anonymous, _name: str) -> Result:
        person = caller if isinstance(caller, Person) else self.owner
        told = await notification(self.owner.client, person.id)
        before = told["id"] - 1
        return await notified(door, caller, before)

    async def _by_ref(self, door: Door, caller: Anonymous, _name: str) -> Result:
        ref = (await self.task())["ref"]
        if door == "rest":
            return from_rest(await caller.get(f"/tasks/by-ref/{ref}"))
        return _found(await caller.gql("query($r: String!) { result: taskByRef(ref: $r) { id } }", {"r": ref}))

    async def _member(self, door: Door, caller: Anonymous, _name: str) -> Result:
        members = (await self.owner.get(f"/projects/{self.project['id']}/members")).json()
        if door == "rest":
            return from_rest(await caller.get(f"/projects/{self.project['id']}/members/{self.owner.id}"))
        [member] = [each for each in members if each["user"]["id"] == self.owner.id]
        return _found(await caller.gql("query($id: ID!) { result: node(id: $id) { id } }", {"id": member["node_id"]}))

    async def _in_project(self, door: Door, caller: Anonymous, _name: str) -> Result:
        task = await self.task()
        if door == "rest":
            return from_rest(
                await caller.put(f"/projects/{self.project['id']}/tasks/{task['id']}", {"title": "Renamed"})
            )
        return await run(door, "update_task", caller, {"title": "Renamed"}, task_id=task["id"])

    async def _put_comment(self, door: Door, caller: Anonymous, _name: str) -> Result:
        body, ids = await self.target("update_comment")
        if door == "rest":
            path = f"/tasks/{ids['task_id']}/comments/{ids['comment_id']}"
            return from_rest(await caller.put(path, body))
        return await run(door, "update_comment", caller, body, **ids)


def _found(answer: Any) -> Result:
    return _or_missing(from_graphql(answer))


def _or_missing(result: Result) -> Result:
    """On GraphQL, a lookup that finds nothing answers null."""
    if result.code is None and result.body is None and result.status == 200:
        return Result(404, "NOT_FOUND", "null", [], None, result.headers)
    return result


class TestTable:
    def test_every_row_has_a_cell_for_each_caller(self) -> None:
        assert all(len(row) == len(CALLERS) and set(row) <= CODES.keys() for row in TABLE.values())

    @on_both_doors
    async def test_every_cell(self, people: People, database: Database, door: Door) -> None:
        world = await World.make(people, database)
        mismatches = []
        for number, (name, row) in enumerate(TABLE.items()):
            if database.dialect == "postgresql" and not WHOLE and door != DOORS[number % 2]:
                continue  # the rules are the same ones, and so are the doors: in turn, as what ``one_rule`` marks
            for kind, cell in zip(CALLERS, row, strict=True):
                code = (await world.ask(door, name, world.callers[kind])).code
                if code == "BAD_USER_INPUT" and name in (
                    "change_password",
                    "delete_me",
                    "reset_password",
                    "unsubscribe",
                ):
                    code = None  # allowed, but for a wrong password or token: a right one might end the sessions
                if code == "FORBIDDEN" and name in ("request_email_verification", "verify_email"):
                    code = None  # allowed, but for the setting: this server verifies no addresses
                if code != CODES[cell]:
                    mismatches.append(f"{name} as {kind}: {code}, not {CODES[cell]}")

        assert not mismatches, "\n".join(mismatches)


_WITH_SECRETS = ("change_password", "delete_me", "reset_password", "unsubscribe")
NODES = {
    "get_project": "Project",
    "get_task": "Task",
    "get_comment": "Comment",
    "get_tag": "Tag",
    "get_relation": "Relation",
    "get_saved_view": "SavedView",
    "get_member": "Member",
    "list_task_history": "Event",
}
NODE = "query($id: ID!) { result: node(id: $id) { id } }"
BELOW = """{ projects(first: 5) { edges { node {
    id members { edges { node { id user { id email } } } } tags { id }
    tasks(first: 5) { edges { node {
        id comments { edges { node { id } } } relations { edges { node { id source { id } target { id } } } }
        history(first: 3) { edges { node { id } } } subtasks { edges { node { id } } }
        assignees { email } createdBy { email }
    } } }
} } } savedViews { edges { node { id } } } tasks { edges { node { id } } } }"""


class TestOtherWays:
    async def _ids(self, world: World) -> dict[str, str]:
        """The global ids of one of each in the project."""
        owner, task, other = world.owner, await world.task(tags=["bug"]), await world.task()
        related = await owner.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other["id"]})
        view = await owner.post("/saved-views", {"name": "Mine"})
        [tag] = (await owner.get(f"/projects/{world.project['id']}/tags")).json()
        members = (await owner.get(f"/projects/{world.project['id']}/members")).json()
        history = (await owner.get(f"/tasks/{task['id']}/history?limit=3")).json()
        return {
            "get_project": world.project["node_id"],
            "get_task": task["node_id"],
            "get_comment": (await owner.comment(task["id"]))["node_id"],
            "get_tag": tag["node_id"],
            "get_relation": related.json()["node_id"],
            "get_saved_view": view.json()["node_id"],
            "get_member": members[0]["node_id"],
            "list_task_history": history[0]["node_id"],
        }

    @pytest.mark.parametrize("kind", CALLERS)
    async def test_node_and_nested_fields_say_what_the_table_says(
        self, people: People, database: Database, kind: str
    ) -> None:
        world = await World.make(people, database)
        caller, ids = world.callers[kind], await self._ids(world)
        assert {name for name in NODES if name in TABLE} == ids.keys()
        everything = await caller.gql(BELOW)
        assert kind in ("nobody", "disabled") or "errors" not in everything.body, everything.body
        for name, node_id in ids.items():
            cell = TABLE[name][CALLERS.index(kind)]
            assert _found(await caller.gql(NODE, {"id": node_id})).code == CODES[cell], name
            shown = node_id in str(everything.body)
            assert shown == (cell == "A"), f"{name} below other things"
        if kind == "outsider":
            assert world.owner.email not in str(everything.body)


@on_both_doors
class TestForeignIds:
    """What may not be read does not differ in anything from what is not there."""

    async def test_everything_of_another_project_is_as_if_it_were_missing(
        self, people: People, database: Database, door: Door
    ) -> None:
        world = await World.make(people, database)
        outsider = world.callers["outsider"]
        targets = {
            name: await world.target("get_task" if name == "get_task_with_relations" else name)
            for name in OPERATIONS
            if name != "count_tasks"
        }
        async with unchanged(database):
            for name, (body, ids) in targets.items():
                if not ids:
                    continue
                missing = {part: MAX_DATABASE_ID if part in REFERENCES else value for part, value in ids.items()}
                nowhere = body | {"project_id": MAX_DATABASE_ID} if body and "project_id" in body else body
                there = await run(door, name, outsider, body, **ids)
                absent = await run(door, name, outsider, nowhere, **missing)
                assert (there.code, there.pointers, there.message) == (absent.code, absent.pointers, absent.message)
                assert there.code == "NOT_FOUND", name

    @pytest.mark.parametrize("field", ["assignee_ids", "parent_id", "project_id"])
    async def test_foreign_references_in_a_task(
        self, people: People, database: Database, door: Door, field: str
    ) -> None:
        world = await World.make(people, database)
        outsider = world.callers["outsider"]
        assert isinstance(outsider, Person)
        mine, project = await outsider.task(), await outsider.project()
        hidden = {
            "assignee_ids": [world.owner.id],
            "parent_id": (await world.task())["id"],
            "project_id": world.project["id"],
        }
        absent = {"assignee_ids": [MAX_DATABASE_ID], "parent_id": MAX_DATABASE_ID, "project_id": MAX_DATABASE_ID}
        answers = []
        async with unchanged(database):
            for given in (hidden, absent):
                body = {"title": "x", "project_id": project["id"]} | {field: given[field]}
                answers.append([await run(door, "create_task", outsider, body)])
                if field != "project_id":
                    changes = {field: given[field]}
                    answers[-1].append(await run(door, "update_task", outsider, changes, task_id=mine["id"]))
                    bulk = {"tasks": [{"id": mine["id"], **changes}]}
                    answers[-1].append(await run(door, "update_tasks", outsider, bulk))
        said = [[(answer.code, answer.pointers) for answer in row] for row in answers]
        assert said[0] == said[1]
        assert all(code is not None for code, _ in said[0])

    async def test_foreign_task_in_a_relation(self, people: People, database: Database, door: Door) -> None:
        world = await World.make(people, database)
        outsider = world.callers["outsider"]
        assert isinstance(outsider, Person)
        mine, hidden = await outsider.task(), await world.task()
        async with unchanged(database):
            answers = [
                await run(
                    door, "create_relation", outsider, {"kind": "blocks", "target_id": target}, task_id=mine["id"]
                )
                for target in (hidden["id"], MAX_DATABASE_ID)
            ]
        assert answers[0].refusal == answers[1].refusal == ("NOT_FOUND", ["/target_id"])

    async def test_filters_counts_and_search_find_nothing(self, people: People, database: Database, door: Door) -> None:
        world = await World.make(people, database)
        outsider = world.callers["outsider"]
        hidden = await world.task(title="Quixotic", tags=["zeugma"], assignee_ids=[world.owner.id])
        await world.owner.comment(hidden["id"], "Quixotic, too")
        conditions = [
            {"search": "quixotic"},
            {"tags": {"any": ["zeugma"]}},
            {"number": {"eq": hidden["number"]}},
            {"not": {"overdue": True}},
        ]
        for condition in conditions:
            found = await run(door, "list_tasks", outsider, filter=condition)
            assert found.body == []
            changed = await run(
                door, "update_matching_tasks", outsider, {"filter": condition, "changes": {"priority": 5}}
            )
            assert changed.body["succeeded"] == 0
        for grouping in ("status", "tag", "assignee", "project"):
            assert (await run(door, "count_tasks", outsider, group_by=grouping)).body == []
        assert encode("Task", hidden["id"]) not in str((await run(door, "list_projects", outsider)).body)
