"""A small world in which something of every kind hangs together, and the ways in which each thing may come to light."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select
from strawberry.utils.str_converters import to_snake_case

from db.driver.database import Database
from db.models import Event, LoginSession, Membership
from services.features import NODES
from services.shared.node_ids import encode
from tests.actors import PASSWORD, Person
from tests.conftest import People
from tests.examples import new


class Id(NamedTuple):
    """A thing's ids: REST's paths take the one, GraphQL's arguments the other."""

    database: int | str
    node: str


@dataclass(slots=True)
class World:
    """Ada's two projects: Carl writes in one; Bob, who may read both, is the reader; Eve is in neither."""

    ada: Person
    bob: Person
    carl: Person
    eve: Person
    ids: dict[str, Id] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.ids[name].database

    def keep(self, name: str, thing: dict[str, Any]) -> dict[str, Any]:
        self.ids[name] = Id(thing["id"], thing["node_id"])
        return thing

    def filled(self, path: str) -> str:
        """A path with the ids of the things that it names: ``<task>``."""
        return re.sub("<([a-z_]+)>", lambda match: str(self.ids[match[1]].database), path)

    def variables(self, document: str) -> tuple[str, dict[str, str]]:
        """A document with a variable for each thing that it names, ``"<task>"``, and their ids.

        So it is the same in every world, and parsed, validated and compiled once.
        """
        names = sorted(set(re.findall('"<([a-z_]+)>"', document)))
        if not names:
            return document, {}
        declared = ", ".join(f"${name}: {'String' if name == 'ref' else 'ID'}!" for name in names)
        values = {str(name): self.ids[name].node for name in names}
        return f"query({declared}) " + re.sub('"<([a-z_]+)>"', r"$\1", document), values


async def make_world(people: People, database: Database) -> World:
    world = World(await people(), await people(), await people(), await people())
    ada, bob, carl = world.ada, world.bob, world.carl
    shared, other = world.keep("project", await ada.project()), world.keep("other", await ada.project())
    for project in (shared, other):
        await ada.invite(project, bob, "viewer")
    await ada.invite(shared, carl)
    parent = world.keep("parent", await ada.task(project_id=shared["id"]))
    task = await carl.task(
        project_id=shared["id"],
        title="zebra",
        tags=["bug"],
        assignee_ids=[carl.id],
        parent_id=parent["id"],
        due_at="2099-01-31T17:00:00Z",
        recurrence={"rule": "FREQ=DAILY", "timezone": "UTC"},
    )
    world.keep("task", task)
    world.ids["ref"] = Id(task["ref"], task["ref"])
    world.keep("subtask", await ada.task(project_id=shared["id"], parent_id=task["id"]))
    far = world.keep("far", await ada.task(project_id=other["id"]))
    world.keep("comment", await carl.comment(task["id"], "quokka"))
    path = f"/tasks/{task['id']}/relations"
    world.keep("relation", (await ada.post(path, {"kind": "blocks", "target_id": far["id"]})).json())
    gone = world.keep("gone_relation", (await ada.post(path, {"kind": "relates_to", "target_id": far["id"]})).json())
    assert (await ada.delete(f"{path}/{gone['id']}")).status_code == 204
    world.keep("tag", (await ada.get(f"/projects/{shared['id']}/tags")).json()[0])
    world.keep("key", (await ada.post("/users/me/api-keys", {"name": "k", "scopes": ["tasks:read"]})).json())
    world.keep("saved_view", (await ada.post("/saved-views", {"name": "v", "filter": {}})).json())
    hook = {"name": "h", "url": "https://hooks.example.com/"}
    world.keep("webhook", (await ada.post("/webhooks", hook)).json())
    world.keep("webhook_delivery", (await ada.post(f"/webhooks/{world['webhook']}/test")).json())
    login = await ada.rest("POST", "/token", data={"username": ada.username, "password": PASSWORD})
    assert login.status_code == 200
    world.ids |= {"carl": Id(carl.id, carl.node_id), "ada": Id(ada.id, ada.node_id)}
    async with database.reading() as session:
        member = select(Membership.id).where(Membership.project_id == shared["id"], Membership.user_id == carl.id)
        world.ids["member"] = _id("Member", await session.scalar(member))
        logins = select(LoginSession.id).where(LoginSession.user_id == ada.id).order_by(LoginSession.id.desc())
        world.ids["session"] = _id("Session", await session.scalar(logins))  # not the one that calls
        for name, kind, thing, place in (
            ("task_event", "task.created", "task", "task"),
            ("comment_event", "comment.created", "comment", "task"),
            ("relation_event", "relation.created", "relation", "task"),
            ("far_event", "relation.created", "relation", "far"),
            ("gone_event", "relation.deleted", "gone_relation", "task"),
        ):
            event = select(Event.id).where(
                Event.kind == kind, Event.entity_id == world[thing], Event.task_id == world[place]
            )
            world.ids[name] = _id("Event", await session.scalar(event))
    for name in NODES:
        if (thing := NAMES.get(name, to_snake_case(name))) not in world.ids:
            world.keep(thing, await new(ada, name, project_id=shared["id"], task_id=task["id"]))
    return world


NAMES = {"User": "ada", "ApiKey": "key", "Event": "relation_event"}
"""What the world calls something of a type, where that is not the type's own name."""


def _id(type_name: str, database_id: int) -> Id:
    return Id(database_id, encode(type_name, database_id))


Happening = Callable[[World], Awaitable[None]]


async def _nothing(_world: World) -> None:
    pass


def _removed(project: str) -> Happening:
    async def remove(world: World) -> None:
        assert (await world.ada.delete(f"/projects/{world[project]}/members/{world.bob.id}")).status_code == 204

    return remove


def _trashed(task: str) -> Happening:
    async def trash(world: World) -> None:
        assert (await world.ada.delete(f"/tasks/{world[task]}")).status_code == 204

    return trash


async def _archived(world: World) -> None:
    for project in ("project", "other"):
        changed = await world.ada.patch(f"/projects/{world[project]}", {"archived": True})
        assert changed.status_code == 200


async def _deleted(world: World) -> None:
    for thing in (
        "projects/<project>",
        "saved-views/<saved_view>",
        "webhooks/<webhook>",
        "users/me/api-keys/<key>",
        "users/me/sessions/<session>",
    ):
        assert (await world.ada.delete(world.filled(f"/{thing}"))).status_code == 204


STATES: dict[str, tuple[str, Happening]] = {
    "member": ("bob", _nothing),
    "owner": ("ada", _nothing),
    "archived": ("bob", _archived),
    "trashed": ("bob", _trashed("task")),
    "other task trashed": ("bob", _trashed("far")),
    "left": ("bob", _removed("project")),
    "left the other project": ("bob", _removed("other")),
    "outsider": ("eve", _nothing),
    "deleted": ("ada", _deleted),
}
"""Who reads, and what happened before."""
