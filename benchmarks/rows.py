"""The rows of the data that servers are measured on, made up the same in every run, in the order of their ids."""

import random
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

EPOCH = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
"""The data's "now": nothing in it is younger."""
CALLER_ID = 1
OTHER_USERS = 50
PROJECTS = (("WEB", "Website"), ("API", "Public interface"), ("OPS", "Operations"), ("DOC", "Handbook"), ("CRM", "CRM"))
FOREIGN = ("SEC", "Of other people")
"""A project that the caller is no member of: its tasks must show up in no answer."""
ROLES = ("member", "owner", "admin", "member", "viewer")
TAGS = (
    "bug",
    "feature",
    "docs",
    "urgent",
    "later",
    "customer",
    "design",
    "backend",
    "frontend",
    "legal",
    "test",
    "idea",
)
VERBS = ("Write", "Fix", "Review", "Plan", "Test", "Document", "Release", "Measure", "Replace", "Discuss", "Translate")
THINGS = (
    "the login page",
    "the nightly export",
    "an index for the search",
    "the invoice of March",
    "the style guide",
    "reminders by e-mail",
    "the “Getting started” chapter",
    "two slow queries",
    "the price list (Zürich)",
    "the backup of the archive",
)
SENTENCES = (
    "It has been asked for twice this month.",
    "The old way stays until everybody has moved.",
    "See the notes of the last meeting, page 3.",
    'Ask the team that said "not now" in spring.',
    "This takes two days at most.",
    "Nothing else depends on it yet.",
    "The figures are in the shared folder: 12 % more than planned.",
    "Naïve approaches have failed before.",
)

Row = dict[str, Any]
Sizes = Mapping[int, int]
"""How many tasks each project has, by its id; the last one is foreign."""


class Shape(NamedTuple):
    """What the data are like, beside their number."""

    projects: int = len(PROJECTS)
    """How many the caller is a member of, beside its Inbox."""
    open_percent: float | None = None
    """How many percent of the tasks are open, all of them pending, over all the years; None for three in five."""


USUAL = Shape()


class Attached(NamedTuple):
    """What hangs on a task."""

    assignees: list[Row]
    tags: list[Row]
    comments: list[Row]


def users() -> Iterator[Row]:
    """The caller and the others."""
    names = ["caller", *(f"user{number:02}" for number in range(1, OTHER_USERS + 1))]
    for number, name in enumerate(names, CALLER_ID):
        yield {
            "id": number,
            "username": name,
            "username_folded": name,
            "email": f"{name}@example.com",
            "full_name": f"{name.capitalize()} of the Benchmark" if number % 3 else None,
            "timezone": "UTC",
            "is_admin": False,
            "disabled": False,
            "created_at": EPOCH,
            "updated_at": EPOCH,
        }


def sizes(count: int, shape: Shape = USUAL) -> Sizes:
    """``count`` tasks for the caller, a tenth of that for others."""
    own = dict.fromkeys(range(1, shape.projects + 1), count // shape.projects)
    return own | {shape.projects + 1: count // 10}


def is_own(task: Row, sizes: Sizes) -> bool:
    """Whether a task is in a project of the caller's."""
    project: int = task["project_id"]
    return project < len(sizes)


def _names(own: int) -> Iterator[tuple[str, str]]:
    """Keys and names of the caller's projects, then of the foreign one."""
    yield from PROJECTS[:own]
    for number in range(len(PROJECTS) + 1, own + 1):
        yield f"P{number}", f"Project {number}"
    yield FOREIGN


def projects(sizes: Sizes) -> Iterator[Row]:
    """The projects, and the caller's Inbox, which is empty."""
    for (number, size), (key, name) in zip(sizes.items(), _names(len(sizes) - 1), strict=True):
        yield {
            "id": number,
            "key": key,
            "name": name,
            "description": " ".join(SENTENCES[:number]) if number % 2 else None,
            "inbox_of_id": None,
            "last_number": size,
            "version": 1,
            "created_at": EPOCH - timedelta(days=800, microseconds=number),
            "updated_at": EPOCH - timedelta(days=number, microseconds=number),
        }
    yield {
        "id": len(sizes) + 1,
        "key": "INBOX",
        "name": "Inbox",
        "description": None,
        "inbox_of_id": CALLER_ID,
        "last_number": 0,
        "version": 1,
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }


def memberships(sizes: Sizes) -> Iterator[Row]:
    members = [
        *((number, CALLER_ID, ROLES[(number - 1) % len(ROLES)]) for number in range(1, len(sizes))),
        (len(sizes) + 1, CALLER_ID, "owner"),
        *((number, user, "member") for number in sizes for user in range(2, OTHER_USERS + 2)),
    ]
    for project, user, role in members:
        yield {"project_id": project, "user_id": user, "role": role, "created_at": EPOCH}


def tags(random_: random.Random, sizes: Sizes) -> Iterator[Row]:
    for number in sizes:
        for tag_id, name in zip(_tag_ids(number), TAGS, strict=True):
            yield {
                "id": tag_id,
                "project_id": number,
                "name": name.capitalize() if number % 2 else name,
                "name_folded": name,
                "color": f"#{random_.randrange(1 << 24):06x}" if tag_id % 2 else None,
                "created_at": EPOCH,
            }


def _tag_ids(project: int) -> range:
    return range((project - 1) * len(TAGS) + 1, project * len(TAGS) + 1)


def tasks(random_: random.Random, sizes: Sizes, shape: Shape = USUAL) -> Iterator[Row]:
    """Tasks in the order of their making, the projects mixed, all with microseconds."""
    places = [project for project, size in sizes.items() for _ in range(size)]
    random_.shuffle(places)
    step = timedelta(days=700) / len(places)
    numbers = dict.fromkeys(sizes, 0)
    latest: dict[int, int] = {}
    for task_id, project in enumerate(places, 1):
        numbers[project] += 1
        created = EPOCH - timedelta(days=700) + task_id * step + timedelta(microseconds=random_.randrange(1, 10**6))
        updated = created + timedelta(microseconds=random_.randrange(1, 10**10))
        status = _status(random_, shape)
        due = (created + timedelta(days=random_.randint(3, 60))).replace(minute=0, second=0, microsecond=0)
        start = due - timedelta(days=2, microseconds=random_.randrange(10**6))
        yield {
            "id": task_id,
            "project_id": project,
            "number": numbers[project],
            "title": f"{random_.choice(VERBS)} {random_.choice(THINGS)} {task_id}",
            "description": _description(random_) if random_.random() < 0.95 else None,
            "status": status,
            "priority": random_.randint(1, 5),
            "parent_id": latest.get(project) if random_.random() < 0.1 else None,
            "created_by_id": random_.randint(1, OTHER_USERS + 1),
            "version": random_.randint(1, 5),
            "start_at": start if random_.random() < 0.3 else None,
            "due_at": due if random_.random() < 0.7 else None,
            "completed_at": updated if status == "completed" else None,
            "created_at": created,
            "updated_at": updated,
            "deleted_at": updated if random_.random() < 0.01 else None,
        }
        latest[project] = task_id


def _status(random_: random.Random, shape: Shape) -> str:
    if shape.open_percent is None:
        return random_.choice(("pending", "pending", "in_progress", "completed", "cancelled"))
    return "pending" if 100 * random_.random() < shape.open_percent else "completed"


def _description(random_: random.Random) -> str:
    """About 200 characters."""
    return " ".join(random_.sample(SENTENCES, 5))


def attached(random_: random.Random, task: Row, first_comment_id: int) -> Attached:
    """A task's assignees, tags and comments."""
    some = (0, 1, 1, 2, 3)
    people = random_.sample(range(1, OTHER_USERS + 2), random_.choice(some))
    labels = random_.sample(_tag_ids(task["project_id"]), random_.choice(some))
    comments = [
        {
            "id": first_comment_id + offset,
            "task_id": task["id"],
            "author_id": random_.randint(1, OTHER_USERS + 1),
            "created_at": task["updated_at"],
            "version": 1,
            "body": random_.choice(SENTENCES),
        }
        for offset in range(random_.choice((0, 0, 0, 1, 2)))
    ]
    return Attached(
        [{"task_id": task["id"], "user_id": user} for user in people],
        [{"task_id": task["id"], "tag_id": tag} for tag in labels],
        comments,
    )


def task_text(task: Row) -> Row:
    """What search reads of a task."""
    words = _fold(f"{task['title']}\n{task['description'] or ''}")
    return {"task_id": task["id"], "folded": words, "project_id": task["project_id"]}


def comment_text(comment: Row) -> Row:
    """What search reads of a comment."""
    return {"comment_id": comment["id"], "folded": _fold(comment["body"])}


def _fold(words: str) -> str:
    return unicodedata.normalize("NFC", words).casefold()


def event(number: int, task: Row) -> Row:
    """That a task was created."""
    return {
        "id": number,
        "event_id": f"00000000-0000-7000-8000-{number:012x}",
        "position": number,
        "occurred_at": task["created_at"],
        "kind": "task.created",
        "entity_type": "task",
        "entity_id": task["id"],
        "entity_version": 1,
        "project_id": task["project_id"],
        "task_id": task["id"],
        "actor_id": task["created_by_id"],
        "actor_method": "token",
        "notify": True,
        "changes": {name: [None, task[name]] for name in ("number", "title", "status", "priority")},
    }
