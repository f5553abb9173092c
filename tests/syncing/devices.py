"""A device: the client of examples/offline_copy.py on a file, a line that fails, and a life that ends at any point."""

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import keep_copy
from offline_copy import FIELDS, OfflineCopy

from tests.actors import Person
from tests.syncing.servers import Server

STATUSES = ("pending", "in_progress", "completed", "cancelled")
CENTURY = 100 * 365 * 24 * 3600


class Killed(BaseException):
    """The process ends here: no handler, no clean-up."""


class Steps(sqlite3.Connection):
    """Says before and after each statement that it is there."""

    step: Callable[[], None] = staticmethod(lambda: None)
    """Until somebody counts them."""

    def execute(self, *given: Any) -> sqlite3.Cursor:
        self.step()
        cursor = super().execute(*given)
        self.step()
        return cursor


class Line(httpx.BaseTransport):
    """The way to the server. ``meanwhile`` is called between any two requests; ``late`` are those that come again."""

    def __init__(self, device: "Device") -> None:
        self.device = device

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        device, chance = self.device, self.device.chance
        device.step()
        if not device.faulty:
            return device.server.send(request)
        device.meanwhile()
        if chance.random() < 0.02:
            if request.method != "GET" and chance.random() < 0.5:
                device.late.append(request)  # nobody knows of it yet
            raise httpx.ConnectError("the network is gone")
        answer = device.server.send(request)
        if request.method != "GET" and chance.random() < 0.25:
            chance.choice([device.late.append, device.server.send])(request)
        device.step()
        if chance.random() < (0.02 if request.method == "GET" else 0.25):
            raise httpx.ReadError("the answer is lost")
        return answer


class Device:
    """What somebody works with. All that outlives a kill is the file.

    ``ledger`` has what was changed here, by the number of the change in the outbox, as it was when it was last worked
    on; ``aside`` all that was put aside. Both are the simulation's: the client knows nothing of them.
    """

    def __init__(self, server: Server, person: Person, file: Path, chance: random.Random) -> None:
        self.server, self.person, self.file, self.chance = server, person, file, chance
        self.faulty = True
        self.kill_at: int | None = None
        """The step that is to be the last one; at random where none is named."""
        self.steps = self.kills = 0
        self.late: list[httpx.Request] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.ledger: dict[int, dict[str, Any]] = {}
        self.aside: dict[int, dict[str, Any]] = {}
        self._clock = chance.uniform(-CENTURY, CENTURY)
        self._dead = False
        self._open()

    def step(self) -> None:
        """Any two steps of the client have this between them."""
        self.steps += 1
        at_random = self.kill_at is None and self.faulty and self.chance.random() < 0.004
        if self._dead or at_random or self.steps == self.kill_at:
            self._dead = True
            raise Killed

    def _open(self) -> None:
        database = sqlite3.connect(self.file, factory=Steps, check_same_thread=False)
        client = httpx.Client(transport=Line(self), base_url="http://test/api/v1", headers=self.person.headers)
        self.copy = OfflineCopy(client, database)
        self.database = database
        database.step = self.step

    def _killed(self) -> None:
        self.database.close()
        self.kills, self._dead, self.kill_at = self.kills + 1, False, None
        self._open()

    def _run(self, deed: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """What a deed answers; None where it was the last one of a process."""
        keep_copy.time = SimpleNamespace(time=lambda: self._clock, sleep=lambda _: None)  # type: ignore[assignment, attr-defined]
        try:
            return deed(*given, **named)
        except Killed:
            self._killed()
            return None

    # --- what is done here

    def work(self) -> None:
        """Change something."""
        shown = self.quietly(self.copy.tasks)
        deed = self.chance.choices(["create", "change", "delete", "settle"], [3, 8, 1, 2])[0]
        if deed == "create" and (projects := self.rows("SELECT id FROM projects")):
            fields = {"title": self.title(), "priority": self.chance.randint(1, 5)}
            self._run(self.copy.create, self.chance.choice(projects)["id"], **fields)
        elif deed == "change" and shown:
            name = self.chance.choice(list(shown))
            self.change(name, **self.values())
        elif deed == "delete" and shown:
            self._run(self.copy.delete, self.chance.choice(list(shown)))
        elif deed == "settle" and (aside := self.rows("SELECT number FROM aside")):
            number = self.chance.choice(aside)["number"]
            with suppress(LookupError):  # of a task that is gone
                self._run(self.copy.settle, number, mine=self.chance.random() < 0.5)
        self.note()

    def change(self, name: str, **fields: Any) -> None:
        kills = self.kills
        self._run(self.copy.change, name, **fields)
        if self.kills == kills:
            task = self.quietly(self.copy.task, name)
            assert fields.items() <= task.items(), "what was changed is shown"
        self.note()

    def values(self) -> dict[str, Any]:
        """New values of one or two fields; titles are like no other."""
        fields: dict[str, Any] = {
            "title": self.title(),
            "status": self.chance.choice(STATUSES),
            "priority": self.chance.randint(1, 5),
        }
        return {name: fields[name] for name in self.chance.sample(list(fields), self.chance.randint(1, 2))}

    def title(self) -> str:
        return f"t{self.chance.getrandbits(60):x}"

    def sync(self) -> bool:
        """Whether all went well."""
        kills = self.kills
        try:
            self._run(self.copy.sync)
        except httpx.TransportError:
            return False
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (404, 409):
                raise
            # what was there a moment ago is gone between two requests, or somebody is about it: again later
            return False
        finally:
            self._look()
        return self.kills == kills

    # --- what the simulation looks at

    def note(self) -> None:
        """After each deed of somebody here: what of the ledger was taken back, and what is new."""
        rows = self._outbox()
        for number in [number for number, row in self.ledger.items() if number not in rows and not row["left"]]:
            del self.ledger[number]
        for number, row in rows.items():
            known = self.ledger.setdefault(number, {**row, "fields": {}, "base": {}, "outbox": None, "left": False})
            if known["outbox"] != row["fields"]:
                known["fields"] |= json.loads(row["fields"])
                known["base"] |= json.loads(row["base"])
        self._look()

    def _look(self) -> None:
        """After each deed and each attempt to sync."""
        rows = self._outbox()
        for number, known in self.ledger.items():
            known["left"] = number not in rows
            if not known["left"]:
                known |= {"outbox": rows[number]["fields"], "task": rows[number]["task"]}
        self.aside |= {row["number"]: dict(row) for row in self.rows("SELECT * FROM aside")}

    def _outbox(self) -> dict[int, dict[str, Any]]:
        return {row["number"]: dict(row) for row in self.rows("SELECT * FROM outbox")}

    def rows(self, query: str) -> list[sqlite3.Row]:
        found: list[sqlite3.Row] = self.quietly(lambda: self.database.execute(query).fetchall())
        return found

    def quietly(self, deed: Callable[..., Any], *given: Any) -> Any:
        """Without a step."""
        self.database.step = lambda: None
        try:
            return deed(*given)
        finally:
            self.database.step = self.step

    def contents(self) -> dict[str, Any]:
        return {
            name: {row["id"]: row["body"] for row in self.rows(f"SELECT id, body FROM {name}")}  # noqa: S608
            for name in ("projects", "tasks")
        }

    def truth(self) -> dict[str, Any]:
        """What the server says now."""
        read = {"projects": self.copy._pages("/projects"), "tasks": self.copy._pages("/tasks", keep_copy.EXPANDED)}
        return {name: {item["id"]: keep_copy._text(item) for item in items} for name, items in read.items()}

    def known(self) -> dict[str, str]:
        return {row["local"]: str(row["id"]) for row in self.rows("SELECT * FROM known")}

    def close(self) -> None:
        self.database.close()
        self.copy._client.close()


__all__ = ["FIELDS", "STATUSES", "Device", "Killed"]
