"""A history: people on devices and in browsers, who work at once on the same tasks, with all that goes wrong."""

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.actors import Person
from tests.syncing.devices import STATUSES, Device
from tests.syncing.servers import Server
from tests.syncing.verdicts import judge

PEOPLE = 2
DEVICES = 3
STEPS = 60
SETTLED = 12
"""So often each device comes back at the end, at most, until nobody has anything to say any more."""


class Web:
    """Who works online: one call after another, each with the version that was seen, and nothing goes wrong.

    ``changes`` are those that were answered, each with what was seen before; ``deletions`` and ``restores`` the same.
    """

    def __init__(self, server: Server, person: Person, chance: random.Random) -> None:
        self.person, self.chance = person, chance
        self._send = server.send
        self.changes: list[tuple[int, str, Any, Any]] = []
        self.deletions: list[tuple[int, int]] = []
        self.restores: list[int] = []
        self.removed: set[int] = set()

    def call(self, method: str, path: str, body: Any = None, version: int | None = None) -> httpx.Response:
        headers = self.person.headers | ({} if version is None else {"If-Match": f'"{version}"'})
        url = f"http://test/api/v1{path}"
        return self._send(httpx.Request(method, url, headers=headers, json=body))

    def act(self, others: list[Person]) -> None:
        """Do something that comes to mind, if it is allowed."""
        deeds = {"change": 8, "delete": 2, "restore": 2, "move": 1, "share": 1, "archive": 0.5, "found": 0.3}
        [deed] = self.chance.choices(list(deeds), list(deeds.values()))
        getattr(self, deed)(self.chance.choice(others))

    def _any(self, path: str) -> Any:
        found = self.call("GET", path).json()
        return self.chance.choice(found) if found else None

    def change(self, _other: Person) -> None:
        if (task := self._any("/tasks?limit=100")) is None:
            return
        values: dict[str, Any] = {"title": f"w{self.chance.getrandbits(60):x}", "status": self.chance.choice(STATUSES)}
        values["priority"] = self.chance.randint(1, 5)
        field = self.chance.choice(list(values))
        if self.call("PATCH", f"/tasks/{task['id']}", {field: values[field]}, task["version"]).status_code == 200:
            self.changes.append((task["id"], field, task[field], values[field]))

    def delete(self, _other: Person) -> None:
        if (task := self._any("/tasks?limit=100")) is not None and (
            self.call("DELETE", f"/tasks/{task['id']}", version=task["version"]).status_code == 204
        ):
            self.deletions.append((task["id"], task["version"] + 1))

    def restore(self, _other: Person) -> None:
        if (task := self._any("/tasks?trashed=true&limit=100")) is not None and (
            self.call("POST", f"/tasks/{task['id']}/restore").status_code == 200
        ):
            self.restores.append(task["id"])

    def move(self, _other: Person) -> None:
        task, project = self._any("/tasks?limit=100"), self._any("/projects")
        if task is not None:
            self.call("POST", f"/tasks/{task['id']}/move", {"project_id": project["id"]})

    def share(self, other: Person) -> None:
        """Somebody joins, leaves, or may do more or less."""
        project = self._any("/projects")
        members = f"/projects/{project['id']}/members"
        role = {"role": self.chance.choice(["viewer", "member", "member", "admin"])}
        if self.chance.random() < 0.4 and self.call("DELETE", f"{members}/{other.id}").status_code == 204:
            self.removed.add(other.id)
        elif self.call("POST", members, {"username": other.username} | role).status_code == 409:
            self.call("PATCH", f"{members}/{other.id}", role)

    def archive(self, _other: Person) -> None:
        project = self._any("/projects")
        self.call("PATCH", f"/projects/{project['id']}", {"archived": self.chance.random() < 0.3})

    def found(self, other: Person) -> None:
        drafts = [{"title": f"f{self.chance.getrandbits(60):x}"} for _ in range(3)]
        project = self.call("POST", "/projects", {"name": "P", "tasks": drafts}).json()
        self.call("POST", f"/projects/{project['id']}/members", {"username": other.username, "role": "member"})


class History:
    """One history, from a seed: the same deeds and the same faults again, as far as the server's pace allows."""

    def __init__(self, server: Server, seed: str, folder: Path) -> None:
        self.server, self.chance = server, random.Random(seed)
        self.happened: Counter[str] = Counter()
        people = [server.person() for _ in range(PEOPLE)]
        self.webs = [Web(server, person, self.chance) for person in people]
        for web, other in zip(self.webs, reversed(people), strict=True):
            web.found(other)
        self.people = people
        self._nested = False
        with ExitStack() as stack:
            self.devices = []
            for number in range(DEVICES):
                file = folder / f"{seed}-{number}.db"
                stack.callback(file.unlink, missing_ok=True)
                device = Device(server, people[number % PEOPLE], file, self.chance)
                stack.callback(device.close)
                device.meanwhile = self._meanwhile
                self.devices.append(device)
            self._run()
            self._settle()
            judge(server, self.devices, self.webs)
        self.happened["kills"] = sum(device.kills for device in self.devices)
        self.happened["put aside"] = sum(len(device.aside) for device in self.devices)
        self.happened["changes here"] = sum(len(device.ledger) for device in self.devices)
        self.happened["changes there"] = sum(len(web.changes) for web in self.webs)

    def _run(self) -> None:
        for _ in range(STEPS):
            deed = self.chance.choices(["work", "sync", "web", "late", "day"], [20, 14, 8, 4, 0.5])[0]
            device = self.chance.choice(self.devices)
            if deed == "work":
                device.work()
            elif deed == "sync":
                self.happened["syncs that failed"] += not device.sync()
            elif deed == "web":
                self._online()
            elif deed == "late":
                self._deliver(device)
            else:
                for device in self.devices:
                    device.late.clear()  # no network keeps anything for a day
                self.server.pass_a_day(month=self.chance.random() < 0.3)
                self.happened["days"] += 1

    def _online(self) -> None:
        web = self.chance.choice(self.webs)
        web.act([person for person in self.people if person is not web.person])

    def _meanwhile(self) -> None:
        """Between two requests of a device."""
        if self._nested or self.chance.random() > 0.12:
            return
        self._nested = True
        try:
            self._online()
        finally:
            self._nested = False

    def _deliver(self, device: Device) -> None:
        """What the network kept comes once more."""
        for request in device.late:
            self.server.send(request)
            self.happened["came late"] += 1
        device.late.clear()

    def _settle(self) -> None:
        """The network is well, nobody works any more, and everybody comes back."""
        for device in self.devices:
            device.faulty = False
            self._deliver(device)
        before: Any = None
        for _ in range(SETTLED):
            self.server.number()
            for device in self.devices:
                assert device.sync()
            now = [
                (device.contents(), [*map(tuple, device.rows("SELECT value FROM state"))]) for device in self.devices
            ]
            if now == before:
                return
            before = now
        raise AssertionError("the devices do not come to rest")
