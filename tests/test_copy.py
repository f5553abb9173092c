"""The example that keeps a copy is right at any time, whatever people do and whoever may see what."""

import asyncio
import importlib.util
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from db.driver.database import Database
from services.events.numbering import number_all
from tests.actors import Person
from tests.conftest import ROOT, People
from tests.live import LiveServer
from tests.sockets import PATIENCE, Servers

STEPS = 60
EVERY = 6
"""After so many steps, somebody comes back and looks."""


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("examples_keep_copy", ROOT / "examples" / "keep_copy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


copy = _example()


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.fixture
def server(servers: Servers, backend: str) -> LiveServer:
    return servers(backend)


class Device:
    """Somebody's copy."""

    def __init__(self, server: LiveServer, person: Person) -> None:
        self.client = httpx.Client(base_url=f"{server.base_url}/api/v1", headers=person.headers, timeout=PATIENCE)
        self.copy = copy.Copy(self.client, sqlite3.connect(":memory:", check_same_thread=False))

    def contents(self) -> dict[str, dict[int, Any]]:
        rows = {name: self.copy.database.execute(f"SELECT id, body FROM {name}") for name in ("projects", "tasks")}  # noqa: S608
        return {name: {id_: json.loads(body) for id_, body in found} for name, found in rows.items()}

    def truth(self) -> dict[str, dict[int, Any]]:
        """What the server says now."""
        read = {"projects": self.copy._pages("/projects"), "tasks": self.copy._pages("/tasks", copy.EXPANDED)}
        return {name: {item["id"]: item for item in items} for name, items in read.items()}


class World:
    """People who do things at random."""

    def __init__(self, people: list[Person], chance: random.Random) -> None:
        self.people, self.chance = people, chance

    async def _pick(self, person: Person, path: str) -> Any:
        answer = await person.get(path)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return self.chance.choice(found) if found else None

    async def step(self) -> None:
        person, other = self.chance.sample(self.people, 2)
        project, task = await self._pick(person, "/projects?limit=100"), await self._pick(person, "/tasks?limit=100")
        deed = self.chance.choice(list(DEEDS))
        await DEEDS[deed](self, person, other, project, task)

    async def create(self, person: Person, _other: Person, project: Any, task: Any) -> None:
        parent = {"parent_id": task["id"]} if task and self.chance.random() < 0.3 else {"project_id": project["id"]}
        await person.post("/tasks", {"title": f"t{self.chance.random()}", "tags": [self.chance.choice("abc")]} | parent)

    async def change(self, person: Person, other: Person, _project: Any, task: Any) -> None:
        if task:
            change: dict[str, Any] = self.chance.choice(
                [{"title": "new"}, {"status": "completed"}, {"tags": ["c"]}, {"assignee_ids": [other.id]}]
            )
            await person.patch(f"/tasks/{task['id']}", change)

    async def move(self, person: Person, _other: Person, project: Any, task: Any) -> None:
        if task:
            await person.post(f"/tasks/{task['id']}/move", {"project_id": project["id"]})

    async def trash(self, person: Person, _other: Person, _project: Any, task: Any) -> None:
        if task:
            await person.delete(f"/tasks/{task['id']}")

    async def restore(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        trashed = await self._pick(person, "/tasks?trashed=true")
        if trashed:
            await person.post(f"/tasks/{trashed['id']}/restore")

    async def comment(self, person: Person, _other: Person, _project: Any, task: Any) -> None:
        if task:
            await person.post(f"/tasks/{task['id']}/comments", {"body": "well"})

    async def found(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        await person.post("/projects", {"name": "P", "tasks": [{"title": "first", "tags": ["a"]}]})

    async def invite(self, person: Person, other: Person, project: Any, _task: Any) -> None:
        role = self.chance.choice(["viewer", "member", "admin"])
        await person.post(f"/projects/{project['id']}/members", {"username": other.username, "role": role})

    async def promote(self, person: Person, other: Person, project: Any, _task: Any) -> None:
        role = self.chance.choice(["viewer", "member"])
        await person.patch(f"/projects/{project['id']}/members/{other.id}", {"role": role})

    async def remove(self, person: Person, other: Person, project: Any, _task: Any) -> None:
        gone = self.chance.choice([person, other])
        await person.delete(f"/projects/{project['id']}/members/{gone.id}")

    async def archive(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        await person.patch(f"/projects/{project['id']}", {"archived": self.chance.random() < 0.5})

    async def rename(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        await person.patch(f"/projects/{project['id']}", {"name": f"N{self.chance.random()}"})

    async def drop_tag(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        tag = await self._pick(person, f"/projects/{project['id']}/tags")
        if tag:
            await person.delete(f"/projects/{project['id']}/tags/{tag['id']}")

    async def rename_tag(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        tag = await self._pick(person, f"/projects/{project['id']}/tags")
        if tag:
            await person.patch(f"/projects/{project['id']}/tags/{tag['id']}", {"name": f"z{self.chance.random()}"})

    async def delete(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        if self.chance.random() < 0.4:
            await person.delete(f"/projects/{project['id']}")

    async def introduce(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        await person.patch("/users/me", {"full_name": f"Name {self.chance.random()}"})


DEEDS: dict[str, Any] = {
    name: method for name, method in vars(World).items() if not name.startswith("_") and name != "step"
}


@pytest.mark.parametrize("seed", [1, 2])
async def test_copies_are_right_at_any_time(server: LiveServer, people: People, database: Database, seed: int) -> None:
    chance = random.Random(seed)
    three = [await people() for _ in range(3)]
    world = World(three, chance)
    devices = [await asyncio.to_thread(Device, server, person) for person in three]
    for device in devices:
        await asyncio.to_thread(device.copy.update)
    compared = 0
    for step in range(STEPS):
        await world.step()
        if step % EVERY == EVERY - 1:
            await number_all(database)
            device = chance.choice(devices)
            await asyncio.to_thread(device.copy.update)
            truth = await asyncio.to_thread(device.truth)
            assert await asyncio.to_thread(device.contents) == truth, step
            compared += len(truth["tasks"])
    await number_all(database)
    for device in devices:
        await asyncio.to_thread(device.copy.update)
        assert await asyncio.to_thread(device.contents) == await asyncio.to_thread(device.truth)
        device.client.close()
        device.copy.database.close()

    assert compared
