"""Random filters in REST's spelling, from the values that a database holds. Reproducible by their seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import func, select

from core.clock import wire_format
from db.driver.database import Database
from db.models import Project, Relation, Tag, Task, User
from services.shared.node_ids import encode


@dataclass
class Vocabulary:
    """What filters may speak of: ids are those of one database, each beside a name that all databases share."""

    users: dict[str, int] = field(default_factory=dict)
    projects: dict[str, int] = field(default_factory=dict)
    parents: dict[str, int] = field(default_factory=dict)
    related: dict[str, int] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Of projects."""
    full_names: list[str] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)

    @classmethod
    async def of(cls, database: Database) -> "Vocabulary":
        async with database.reading() as session:
            users = await session.all(select(User.username, User.id).order_by(User.username).limit(400))
            projects = await session.all(select(Project.key, Project.id).where(Project.inbox_of_id.is_(None)))
            names = await session.scalars(select(Project.name).distinct().order_by(Project.name))
            called = select(User.full_name).where(User.full_name.is_not(None)).distinct()
            full_names = await session.scalars(called.order_by(User.full_name).limit(300))
            ref = Project.key + "-" + func.cast(Task.number, Tag.name.type)
            parents = await session.all(
                select(ref, Task.id)
                .join(Project, Project.id == Task.project_id)
                .where(Task.id.in_(select(Task.parent_id).where(Task.parent_id.is_not(None))))
                .order_by(Project.key, Task.number)
                .limit(300)
            )
            related = await session.all(
                select(ref, Task.id)
                .join(Project, Project.id == Task.project_id)
                .where(Task.id.in_(select(Relation.target_id)))
                .order_by(Project.key, Task.number)
                .limit(300)
            )
            tags = await session.scalars(select(Tag.name_folded).distinct().order_by(Tag.name_folded).limit(300))
            every = select(Task.title, Task.created_at).join(Project, Project.id == Task.project_id)
            sample = await session.all(every.where(Task.number % 37 == 0).order_by(Project.key, Task.number).limit(500))
        words = sorted({word for title, _ in sample for word in title.split() if word.strip("\x00")})
        return cls(
            {row[0]: row[1] for row in users},
            {row[0]: row[1] for row in projects},
            {row[0]: row[1] for row in parents},
            {row[0]: row[1] for row in related},
            list(tags),
            words,
            sorted({title for title, _ in sample}),
            sorted(names),
            sorted(full_names),
            sorted(moment for _, moment in sample),
        )


_FIELDS = (
    *("status", "priority", "number", "title", "search", "project", "parent", "created_by", "assignees", "tags"),
    *("due_at", "due_on", "start_on", "completed_at", "created_at", "updated_at", "start_at", "overdue"),
    *("relations", "blocked", "followed", "reaching_project", "reaching_parent", "reaching_people"),
)
REFERENCES = {"user": "users", "project": "projects", "parent": "parents", "related": "related"}
TYPES = {"user": "User", "project": "Project", "parent": "Task", "related": "Task"}


def to_rest(value: Any, vocabulary: Vocabulary) -> Any:
    """The filter as REST's JSON: names in the place of ids are those of this database."""
    if isinstance(value, tuple):
        kind, name = value
        return getattr(vocabulary, REFERENCES[kind])[name]
    if isinstance(value, dict):
        return {key: to_rest(item, vocabulary) for key, item in value.items()}
    return [to_rest(item, vocabulary) for item in value] if isinstance(value, list) else value


_CAMEL = {
    "created_by": "createdBy",
    "start_at": "startAt",
    "due_at": "dueAt",
    "due_on": "dueOn",
    "not_in": "notIn",
    "starts_with": "startsWith",
    "start_on": "startOn",
    "completed_at": "completedAt",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "full_name": "fullName",
    "is_null": "isNull",
    "is_empty": "isEmpty",
}


def to_graphql(value: Any, vocabulary: Vocabulary, *, field: str = "") -> Any:
    """The same filter as GraphQL's input."""
    if isinstance(value, tuple):
        kind, name = value
        return encode(TYPES[kind], getattr(vocabulary, REFERENCES[kind])[name])
    if isinstance(value, dict):
        return {
            _CAMEL.get(key, key): to_graphql(
                item, vocabulary, field=key if key not in ("eq", "ne", "in", "not_in") else field
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [to_graphql(item, vocabulary, field=field) for item in value]
    return value.upper() if field == "status" and isinstance(value, str) else value


class Generator:
    """Makes filters, one after the other."""

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        self._known, self._random = vocabulary, Random(seed)

    def filter(self, depth: int = 3) -> dict[str, Any]:
        """A condition; most are nested."""
        random = self._random
        choice = random.random()
        if depth and choice < 0.25:
            return {"and": [self.filter(depth - 1) for _ in range(random.randint(1, 3))]}
        if depth and choice < 0.5:
            return {"or": [self.filter(depth - 1) for _ in range(random.randint(1, 3))]}
        if depth and choice < 0.65:
            return {"not": self.filter(depth - 1)}
        made: dict[str, Any] = {}
        for _ in range(random.choice([1, 1, 1, 2])):
            made |= self._leaf()
        return made

    def _leaf(self) -> dict[str, Any]:
        random = self._random
        name = random.choice(_FIELDS)
        if name.startswith("reaching"):
            return self._reaching(name)
        make = getattr(self, f"_{name}", None)
        if make is not None:
            return {name: make()}
        return {name: self._moments()}

    def _reaching(self, name: str) -> dict[str, Any]:
        random, known = self._random, self._known
        if name == "reaching_project":
            keys = self._several(sorted(known.projects))
            projects: list[dict[str, Any]] = [
                *({"key": {"in": keys}}, {"key": {"ne": keys[0]}}, {"archived": random.random() < 0.5}),
                *({"key": self._part(keys)}, {"name": self._part(known.names)}),
            ]
            return {"project": random.choice(projects) | random.choice(projects)}
        if name == "reaching_people":
            people = sorted(known.users)
            usernames = random.choice([{"in": self._several(people)}, {"ne": "x"}, self._part(people)])
            asked: list[dict[str, Any]] = [{"username": usernames}, {"full_name": self._part(known.full_names)}]
            return {"assignees": random.choice([*asked, asked[0] | asked[1]])}
        parents: list[dict[str, Any]] = [
            *({"status": self._status()}, {"priority": self._priority()}, {"created_at": self._moments()}),
            {"title": self._part(known.titles)},
        ]
        return {"parent": random.choice(parents) | random.choice(parents)}

    def _part(self, texts: Sequence[str]) -> dict[str, str]:
        """A part of one of some texts, in another case perhaps."""
        random = self._random
        text = random.choice(texts or ["x"])[:100]
        start = random.randrange(len(text)) if random.random() < 0.5 else 0
        part = text[start : start + random.randint(1, 8)]
        part = part if part.strip() else text
        part = random.choice([part, part.upper(), part.lower()])
        return {random.choice(["contains", "starts_with"]): part}

    def _several(self, values: list[Any]) -> list[Any]:
        return self._random.sample(values, k=min(len(values), self._random.randint(1, 4)))

    def _status(self) -> Any:
        known = ["pending", "in_progress", "completed", "cancelled"]
        one, several = self._random.choice(["eq", "ne"]), self._random.choice(["in", "not_in"])
        return self._random.choice([{one: self._random.choice(known)}, {several: self._several(known)}])

    def _numbers(self, top: int) -> dict[str, Any]:
        random = self._random
        if random.random() < 0.2:
            return {"in": [random.randint(0, top) for _ in range(random.randint(1, 5))]}
        operators = random.sample(["eq", "gt", "gte", "lt", "lte"], k=random.choice([1, 1, 2]))
        return {operator: random.randint(-1, top) for operator in operators}

    def _priority(self) -> Any:
        return self._numbers(6)

    def _number(self) -> Any:
        return self._numbers(9_000)

    def _title(self) -> Any:
        return self._random.choice([{"eq": self._random.choice(self._known.words)}, self._part(self._known.titles)])

    def _search(self) -> str:
        word: str = self._random.choice(self._known.words)
        start = self._random.randrange(len(word))
        return (word if self._random.random() < 0.5 else word[start : start + self._random.randint(1, 8)])[:100]

    def _reference(self, kind: str, names: dict[str, int], *, nullable: bool) -> Any:
        if nullable and self._random.random() < 0.4:
            return {"is_null": self._random.random() < 0.5}
        chosen: list[Any] = [(kind, name) for name in self._several(sorted(names))]
        return {"in": chosen} if len(chosen) > 1 else {"eq": chosen[0]}

    def _project(self) -> Any:
        return self._reference("project", self._known.projects, nullable=False)

    def _parent(self) -> Any:
        if not self._known.parents:
            return {"is_null": self._random.random() < 0.5}
        return self._reference("parent", self._known.parents, nullable=True)

    def _created_by(self) -> Any:
        return self._reference("user", self._known.users, nullable=True)

    def _assignees(self) -> Any:
        random = self._random
        people: list[Any] = [("user", name) for name in self._several(sorted(self._known.users))]
        return random.choice(
            [
                *({"any": people}, {"none": people}, {"all": people[:1]}),
                *({"me": True}, {"me": False}, {"is_empty": True}, {"is_empty": False}),
            ]
        )

    def _tags(self) -> Any:
        names = self._several(self._known.tags)
        return self._random.choice(
            [{"any": names}, {"none": names}, {"all": names[:2]}, {"is_empty": True}, {"is_empty": False}]
        )

    def _relations(self) -> Any:
        chosen: list[Any] = [("related", ref) for ref in self._several(sorted(self._known.related))]
        named = [{"any": chosen}, {"none": chosen}] if chosen else []
        return self._random.choice([*named, {"is_empty": True}, {"is_empty": False}])

    def _blocked(self) -> bool:
        return self._random.random() < 0.5

    def _followed(self) -> bool:
        return self._random.random() < 0.5

    def _overdue(self) -> bool:
        return self._random.random() < 0.5

    def _due_on(self) -> dict[str, Any]:
        random = self._random
        if random.random() < 0.25:
            return {"is_null": random.random() < 0.5}
        start = random.choice(self._known.moments).date()
        if random.random() < 0.5:
            return {random.choice(["eq", "ne", "gt", "gte", "lt", "lte"]): start.isoformat()}
        if random.random() < 0.25:
            others = [moment.date().isoformat() for moment in self._several(self._known.moments)]
            return {random.choice(["in", "not_in"]): [start.isoformat(), *others]}
        return {"gte": start.isoformat(), "lt": (start + timedelta(days=random.randint(0, 400))).isoformat()}

    _start_on = _due_on

    def _moments(self) -> dict[str, Any]:
        random = self._random
        if random.random() < 0.25:
            return {"is_null": random.random() < 0.5}
        start = random.choice(self._known.moments)
        if random.random() < 0.3:
            years = datetime.now(UTC).year - start.year
            relative = f"{random.choice(['today', 'start_of_year'])}-{years}y+{random.randint(0, 11)}m"
            return {random.choice(["gt", "gte", "lt", "lte"]): relative}
        if random.random() < 0.5:
            return {random.choice(["gt", "gte", "lt", "lte"]): wire_format(start)}
        return {"gte": wire_format(start), "lt": wire_format(start + timedelta(days=random.randint(0, 400)))}
