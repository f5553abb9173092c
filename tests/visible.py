"""A small world in which something of every kind hangs together, and the ways in which each thing may come to light."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select

from db.engine import Database
from db.models import Event, LoginSession, Membership
from services.node_ids import encode
from tests.actors import PASSWORD, Person
from tests.conftest import People


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

    def filled(self, text: str) -> str:
        """A path or a document, with the ids of the things that it names: ``<task>``."""
        rest = text.startswith("/")
        return re.sub("<([a-z_]+)>", lambda match: str(self.ids[match[1]][0 if rest else 1]), text)


async def make_world(people: People, database: Database) -> World:
    world = World(await people(), await people(), await people(), await people())
    ada, bob, carl = world.ada, world.bob, world.carl
    shared, other = world.keep("project", await ada.project()), world.keep("other", await ada.project())
    for project in (shared, other):
        await ada.invite(project, bob, "viewer")
    await ada.invite(shared, carl)
    parent = world.keep("parent", await ada.task(project_id=shared["id"]))
    task = await carl.task(
        project_id=shared["id"], title="zebra", tags=["bug"], assignee_ids=[carl.id], parent_id=parent["id"]
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
    world.keep("view", (await ada.post("/saved-views", {"name": "v", "filter": {}})).json())
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
    return world


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
    for thing in ("projects/<project>", "saved-views/<view>", "users/me/api-keys/<key>", "users/me/sessions/<session>"):
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
