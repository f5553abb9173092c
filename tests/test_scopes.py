"""The table of what a key may do: every operation of the product, by the scopes of the key that asks."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import GraphQLObjectType

from db.driver.database import Database
from graphql_schema.execution.guests import PUBLIC
from graphql_schema.schema import schema
from services.features import OPERATIONS as FEATURES_OPERATIONS
from services.shared.actors import Scope
from services.shared.features import Who
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import Door, Result, nothing_written, on_both_doors
from tests.examples import example
from tests.operations import ACCOUNTS, OPERATIONS, run


def _taking(scope: Scope | None) -> set[str]:
    """The operations that take a scope; None for those that no key may carry out."""
    taken = {each.rest for each in FEATURES_OPERATIONS.values() if each.scope is scope}
    return {name for name in [*ACCOUNTS, *OPERATIONS] if name.removesuffix("_with_relations") in taken}


READ, WRITE = _taking(Scope.TASKS_READ), _taking(Scope.TASKS_WRITE)
PROJECTS, ADMIN = _taking(Scope.PROJECTS_ADMIN), _taking(Scope.ADMIN)
ALLOWED: dict[tuple[str, ...], set[str]] = {
    ("tasks:read",): READ,
    ("tasks:write",): READ | WRITE,
    ("projects:admin",): READ | PROJECTS,
    ("tasks:write", "projects:admin"): READ | WRITE | PROJECTS,
    ("admin",): READ | WRITE | PROJECTS | ADMIN,
}
"""What takes a login is in none: who holds a key must not be able to make another, or to lock the owner out."""


@dataclass
class World:
    """Something for every operation to work on, of one person; only the scopes can stand in its way."""

    ada: Person
    bob: Person
    cid: Person
    project: int
    spare_project: int
    task: int
    spare_task: int
    comment: int
    relation: int
    view: int
    others: dict[str, tuple[Any, dict[str, Any]]]
    """The bodies and ids of all other operations, each with things of its own."""

    @classmethod
    async def make(cls, people: People) -> "World":
        ada, bob, cid = await people(is_admin=True), await people(), await people()
        project, spare = await ada.project(), await ada.project(name="Spare")
        await ada.invite(project, bob)
        task, spare_task = await ada.task(project_id=project["id"], tags=["bug"]), await ada.task()
        comment = await ada.comment(task["id"])
        related = await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": spare_task["id"]})
        view = await ada.post("/saved-views", {"name": "Mine"})
        world = cls(
            *(ada, bob, cid, project["id"], spare["id"], task["id"], spare_task["id"]),
            *(comment["id"], related.json()["id"], view.json()["id"], {}),
        )
        known = {"project_id": project["id"], "task_id": task["id"]}
        for name in OPERATIONS.keys() - world._ids().keys() - {"list_tasks", "query_tasks"}:
            world.others[name] = await example(ada, name, **known)
        return world

    async def ask(self, door: Door, caller: Anonymous, name: str) -> Result:
        if name in ACCOUNTS:
            values, id = self._arguments(door).get(name, (None, 0))
            return await ACCOUNTS[name].on(door, caller, values, id=id)
        body, ids = (self._ids() | self.others).get(name, (None, {}))
        return await run(door, name, caller, body, **ids)

    def _arguments(self, door: Door) -> dict[str, tuple[Any, int]]:
        passwords = {"current_password": "x", "new_password": "long enough", "confirm_password": "long enough"}
        scope = "tasks:read" if door == "rest" else Scope.TASKS_READ.name
        return {
            "get_user": (None, self.bob.id),
            "update_me": ({"full_name": "Not written"}, 0),
            "update_notification_preferences": ({"muted_kinds": []}, 0),
            "change_password": (passwords, 0),
            "delete_me": ({"password": "x"}, 0),
            "end_session": (None, self.ada.actor.session_id or 0),
            "create_api_key": ({"name": "another", "scopes": [scope]}, 0),
            "update_api_key": ({"name": "renamed"}, 1),
            "rotate_api_key": ({}, 1),
            "delete_api_key": (None, 1),
            "update_user": ({"disabled": False}, self.bob.id),
        }

    def _ids(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        task, project = {"task_id": self.task}, {"project_id": self.project}
        comment, member = task | {"comment_id": self.comment}, project | {"user_id": self.bob.id}
        view = {"saved_view_id": self.view}
        relation, text = task | {"relation_id": self.relation}, {"body": "x"}
        return {
            **dict.fromkeys(("get_task", "get_task_with_relations"), (None, task)),
            **dict.fromkeys(("get_saved_view", "delete_saved_view"), (None, view)),
            "update_saved_view": ({"name": "Renamed"}, view),
            "get_relation": (None, relation),
            "create_relation": ({"kind": "relates_to", "target_id": self.spare_task}, task),
            "delete_relation": (None, relation),
            "get_comment": (None, comment),
            "create_task": ({"title": "x", "project_id": self.project}, {}),
            **dict.fromkeys(("update_task", "put_task"), ({"title": "New"}, task)),
            **dict.fromkeys(("delete_task", "restore_task"), (None, {"task_id": self.spare_task})),
            "duplicate_task": ({}, task),
            "move_task": ({"project_id": self.project}, task),
            "duplicate_project": ({"tasks": False}, project),
            "count_tasks": (None, {"group_by": "status"}),
            "create_tasks": ({"tasks": [{"title": "x", "project_id": self.project}]}, {}),
            "update_tasks": ({"tasks": [{"id": self.task, "title": "Changed"}]}, {}),
            "delete_tasks": ({"tasks": [{"id": self.spare_task}], "dry_run": True}, {}),
            "update_matching_tasks": ({"filter": {}, "changes": {"priority": 2}}, {}),
            "update_comment": (text, comment),
            "delete_comment": (None, comment),
            "delete_project": (None, {"project_id": self.spare_project}),
            "add_member": ({"username": self.cid.username}, project),
            "update_member": ({"role": "viewer"}, member),
            "remove_member": (None, member),
        }


def operations() -> list[str]:
    """Every operation, those last that take away what others need."""
    last = [
        "delete_saved_view",
        "delete_relation",
        "remove_member",
        "delete_comment",
        "delete_task",
        "restore_task",
        "clear_tasks",
    ]
    return [name for name in [*ACCOUNTS, *OPERATIONS] if name not in last] + last


class TestTable:
    @on_both_doors
    @pytest.mark.parametrize("scopes", ALLOWED, ids=" ".join)
    async def test_key_may_do_what_its_scopes_say_and_nothing_else(
        self, people: People, database: Database, door: Door, scopes: tuple[str, ...]
    ) -> None:
        world = await World.make(people)
        key = await world.ada.api_key(*scopes)
        await key.get("/users/me")  # notes the key's use, which is a write

        async with nothing_written(database):
            outcomes = {
                name: (await world.ask(door, key, name)).code for name in operations() if name not in ALLOWED[scopes]
            }
        for name in operations():
            if name in ALLOWED[scopes]:
                outcomes[name] = (await world.ask(door, key, name)).code

        assert outcomes == {name: None if name in ALLOWED[scopes] else "FORBIDDEN" for name in operations()}

    @on_both_doors
    async def test_nobody_may_do_anything(
        self, people: People, anonymous: Anonymous, database: Database, door: Door
    ) -> None:
        world = await World.make(people)

        async with nothing_written(database):
            outcomes = {name: (await world.ask(door, anonymous, name)).code for name in operations()}

        expected = dict.fromkeys(operations(), "UNAUTHENTICATED")
        assert outcomes == expected | {"clear_tasks": "FORBIDDEN"}  # the guide's answer to a missing key

    @on_both_doors
    async def test_project_with_tasks_takes_the_scope_for_tasks_too(
        self, ada: Person, database: Database, door: Door
    ) -> None:
        body = {"name": "Website", "tasks": [{"title": "Write the docs"}]}
        projects = await ada.api_key("projects:admin")
        await projects.get("/users/me")

        async with nothing_written(database):
            assert (await run(door, "create_project", projects, body)).code == "FORBIDDEN"

        both = await ada.api_key("projects:admin", "tasks:write")
        assert (await run(door, "create_project", both, body)).code is None


class TestCompleteness:
    def test_every_operation_takes_a_scope_or_a_login(self) -> None:
        by_login = {
            name for name in operations() if FEATURES_OPERATIONS[name.removesuffix("_with_relations")].scope is None
        }

        assert by_login | READ | WRITE | PROJECTS | ADMIN == set(operations())
        assert all(FEATURES_OPERATIONS[name].who is Who.LOGIN for name in by_login)

    def test_every_mutation_is_in_the_table_or_open_to_all(self) -> None:
        documents = [call.graphql for call in ACCOUNTS.values()] + [each.graphql for each in OPERATIONS.values()]
        asked = {found[1] for document in documents if (found := re.search(r"result: (\w+)", document))}
        mutations = schema._schema.type_map["Mutation"]
        assert isinstance(mutations, GraphQLObjectType)

        assert set(mutations.fields) - asked == PUBLIC
