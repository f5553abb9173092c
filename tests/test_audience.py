"""Who may be told of what is one rule: the database's answer for a reader, and that for many readers at once, are the
same for every kind of event, whoever it is about and whatever has become of the project."""

import itertools
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select

from core import turns
from core.clock import now
from db.driver.database import Database
from db.models import Event
from services import changes
from services.events.audience import MAY_BE_TOLD, look_up
from services.events.catalogue import CATALOGUE
from services.events.happenings import COLUMNS, Happening
from services.events.numbering import number_all
from services.shared.actors import Actor
from tests.actors import Person
from tests.conftest import People

ROLES = ("viewer", "member", "admin", "owner")


class World:
    """Projects that the reader is in, was in, came back to, never was in, or that are archived or gone."""

    def __init__(self, reader: Person, owner: Person, met: Person, stranger: Person) -> None:
        self.reader, self.owner, self.met, self.stranger = reader, owner, met, stranger
        self.projects: dict[str, int | None] = {"none": None}

    async def make(self) -> None:
        for role in ROLES:
            self.projects[role] = await self._joined(role)
        self.projects["left"] = await self._joined("member")
        await self._leave("left")
        self.projects["back"] = await self._joined("member")
        await self._leave("back")
        await self._join(self.projects["back"], "viewer")
        self.projects["never"] = (await self.owner.project())["id"]
        self.projects["archived"] = await self._joined("member")
        assert (await self.owner.patch(f"/projects/{self.projects['archived']}", {"archived": True})).status_code == 200
        self.projects["deleted"] = await self._joined("member")
        assert (await self.owner.delete(f"/projects/{self.projects['deleted']}")).status_code == 204
        await self._join(self.projects["viewer"], "viewer", self.met)

    async def _joined(self, role: str) -> int:
        project: int = (await self.owner.project())["id"]
        await self._join(project, role)
        return project

    async def _join(self, project: int | None, role: str, person: Person | None = None) -> None:
        body = {"username": (person or self.reader).username, "role": role}
        assert (await self.owner.post(f"/projects/{project}/members", body)).status_code == 201

    async def _leave(self, name: str) -> None:
        path = f"/projects/{self.projects[name]}/members/{self.reader.id}"
        assert (await self.owner.delete(path)).status_code == 204

    def events(self) -> list[dict[str, Any]]:
        """Every kind, in every project, about everybody, by everybody, of an account's security or not."""
        people = (self.reader, self.met, self.stranger, self.owner)
        return [
            {
                "event_id": str(uuid.uuid4()),
                "kind": kind.name,
                "entity_type": kind.subject,
                "entity_id": about.id,
                "project_id": project,
                "task_id": None,
                "actor_id": actor,
                "account_id": account,
                "actor_method": "token",
                "occurred_at": now(),
                "notify": True,
                "changes": {},
            }
            for kind, project, about, actor, account in itertools.product(
                CATALOGUE.values(),
                self.projects.values(),
                people,
                (self.reader.id, self.owner.id, None),
                (None, self.reader.id),
            )
        ]


@pytest.fixture
async def world(people: People) -> World:
    reader, owner, met, stranger = [await people() for _ in range(4)]
    made = World(reader, owner, met, stranger)
    await made.make()
    return made


async def told(database: Database, actor: Actor, after: str) -> list[Happening]:
    """What the database tells a reader, page by page."""
    found: list[Happening] = []
    more = True
    while more:
        page = await changes.read(database.reads, actor, after, changes.MAX_LIMIT)
        found += page.changes
        after, more = page.cursor, page.has_more
    return found


async def test_both_ways_of_asking_agree_on_every_case(world: World, database: Database) -> None:
    """Of rights as they are now, whenever an event happened: those of today decide what is told of yesterday."""
    await number_all(database)
    start = await changes.end(database.reads)
    rows = world.events()
    async with database.writing() as session:
        for some in turns.parts(rows, 500):
            await session.execute(insert(Event), list(some))
    await number_all(database)
    position = int(start.partition("-")[0])
    found = select(*COLUMNS).where(Event.position > position).order_by(Event.position)
    ours = {row["event_id"] for row in rows}
    everything = [item for item in map(Happening._make, await database.reads.all(found)) if item.event_id in ours]
    assert len(everything) == len(rows)

    readers = (world.reader, world.met, world.stranger, world.owner)
    facts = await look_up(database.reads, everything, {reader.id for reader in readers})
    for reader in readers:
        by_database = [item.event_id for item in await told(database, reader.actor, start) if item.event_id in ours]
        together = [item.event_id for item in everything if MAY_BE_TOLD.holds(reader.id, item, facts)]
        assert together == by_database, reader.username
        assert 0 < len(together) < len(rows)
