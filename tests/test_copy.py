"""The example that keeps a copy is right at any time, whatever people do and whoever may see what."""

import asyncio
import importlib.util
import json
import random
import sqlite3
from typing import Any

import httpx
import pytest

from db.driver.database import Database
from services.events.numbering import number_all
from tests.actors import Person
from tests.conftest import ROOT, People
from tests.deeds import World
from tests.live import LiveServer
from tests.sockets import PATIENCE

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
