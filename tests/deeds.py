"""People who do things at random: what a project may come through, and who may see it."""

import random
from typing import Any

from tests.actors import Person


class World:
    """People who do things at random. What is refused changes nothing, and is as good as anything else."""

    def __init__(self, people: list[Person], chance: random.Random) -> None:
        self.people, self.chance = people, chance
        self._deeds = [name for name in dir(self) if not name.startswith("_") and name not in _NO_DEEDS]

    async def _pick(self, person: Person, path: str) -> Any:
        answer = await person.get(path)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return self.chance.choice(found) if found else None

    async def step(self) -> None:
        person, other = self.chance.sample(self.people, 2)
        project, task = await self._pick(person, "/projects?limit=100"), await self._pick(person, "/tasks?limit=100")
        await getattr(self, self.chance.choice(self._deeds))(person, other, project, task)

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

    async def follow(self, person: Person, _other: Person, project: Any, task: Any) -> None:
        things = [f"/projects/{project['id']}", *([f"/tasks/{task['id']}"] if task else [])]
        await person.rest(self.chance.choice(["PUT", "DELETE"]), f"{self.chance.choice(things)}/follow")

    async def introduce(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        await person.patch("/users/me", {"full_name": f"Name {self.chance.random()}"})


_NO_DEEDS = frozenset({"step", "people", "chance"})
