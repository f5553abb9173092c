"""Data as trackers have it after years: most tasks are done, projects differ in size, and people are members of one
project or of a thousand. ``python -m benchmarks.skew URL`` fills an empty, migrated database with it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from benchmarks import bulk, data, rows
from benchmarks.rows import CALLER_ID, EPOCH, OTHER_USERS, Row
from db.models import (
    Comment,
    CommentText,
    LoginSession,
    Membership,
    Project,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
    TaskText,
    User,
)

CANCELLED = 0.03
"""The share of what is not open."""
RARE_WORD, COMMON_WORD = "zeppelin", "invoice"
"""Words in the titles of twenty tasks, and of every tenth."""
FIRST_READER = CALLER_ID + OTHER_USERS + 1


class Place(StrEnum):
    """Where the open tasks lie in the order in which tasks were created."""

    NEWEST = "newest"
    OLDEST = "oldest"
    MIDDLE = "middle"
    SPREAD = "spread"
    MIXED = "mixed"
    """In each project somewhere else."""


@dataclass(frozen=True, slots=True)
class Skew:
    """How the data are to be."""

    tasks: int = 100_000
    """Those that the caller may read; there are a tenth as many besides."""
    open_share: float = 0.005
    projects: int = 100
    exponent: float = 1.0
    """The n-th project has 1 ÷ n to this power of the tasks of the first one: 0 makes all of one size."""
    place: Place = Place.MIXED
    readers: Sequence[int] = ()
    """Beside the caller, who is a member of all projects, people who are members of so many of them."""

    def sizes(self) -> rows.Sizes:
        """How many tasks each project has, by its id; the last one is foreign."""
        weights = [1 / number**self.exponent for number in range(1, self.projects + 1)]
        sizes = [int(self.tasks * weight / sum(weights)) for weight in weights]
        sizes[0] += self.tasks - sum(sizes)
        return dict(enumerate((*sizes, self.tasks // 10), 1))


def make(url: str, skew: Skew) -> data.Dataset:
    """Fill an empty, migrated database. The logins of the readers have the ids 2, 3, … in their order."""
    random_ = random.Random(data.SEED)
    sizes = skew.sizes()
    with data.connect(url) as connection:
        dataset = data.write_people(connection)
        readers = list(enumerate(skew.readers, FIRST_READER))
        data.write(connection, User, (_reader(number) for number, _ in readers))
        moment = datetime.now(UTC)
        session = {"created_at": moment, "last_used_at": moment, "expires_at": moment + timedelta(days=30)}
        logins = [{"id": number, "user_id": user, **session} for number, (user, _) in enumerate(readers, 2)]
        data.write(connection, LoginSession, logins)
        data.write(connection, Project, _projects(sizes))
        data.write(connection, Membership, _memberships(sizes, readers, random_))
        data.write(connection, Tag, rows.tags(random_, sizes))
    with bulk.bulk(url) as write:
        stream, comments = _tasks(random_, skew, sizes), 0
        while tasks := list(islice(stream, bulk.BATCH)):
            attached = []
            for task in tasks:
                attached.append(rows.attached(random_, task, comments + 1))
                comments += len(attached[-1].comments)
            remarks = [comment for each in attached for comment in each.comments]
            write(Task, tasks)
            write(TaskText, list(map(rows.task_text, tasks)))
            write(TaskAssignee, [row for each in attached for row in each.assignees])
            write(TaskTag, [row for each in attached for row in each.tags])
            write(Comment, remarks)
            write(CommentText, list(map(rows.comment_text, remarks)))
    with data.connect(url) as connection:
        data.finish(connection)
    bulk.analyze(url)
    return dataset


def _reader(number: int) -> Row:
    [user] = islice(rows.users(), 1)
    name = f"reader{number}"
    return user | {"id": number, "username": name, "username_folded": name, "email": f"{name}@example.com"}


def _projects(sizes: rows.Sizes) -> Iterator[Row]:
    for number, size in sizes.items():
        yield {
            "id": number,
            "key": f"P{number}",
            "name": f"Project {number}",
            "description": None,
            "inbox_of_id": None,
            "last_number": size,
            "version": 1,
            "created_at": EPOCH - timedelta(days=800, microseconds=number),
            "updated_at": EPOCH - timedelta(days=number, microseconds=number),
        }


def _memberships(sizes: rows.Sizes, readers: Sequence[tuple[int, int]], random_: random.Random) -> Iterator[Row]:
    *own, foreign = sizes
    members = [(project, CALLER_ID) for project in own]
    members += [(project, user) for user in range(2, OTHER_USERS + 2) for project in (*own[user::50], foreign)]
    members += [(project, user) for user, count in readers for project in random_.sample(own, min(count, len(own)))]
    for project, user in members:
        yield {"project_id": project, "user_id": user, "role": "member", "created_at": EPOCH}


def _tasks(random_: random.Random, skew: Skew, sizes: rows.Sizes) -> Iterator[Row]:
    own = 0
    for task in rows.tasks(random_, sizes):
        project = task["project_id"]
        place = skew.place
        if place is Place.MIXED:
            place = (Place.NEWEST, Place.OLDEST, Place.MIDDLE, Place.SPREAD)[project % 4]
        if _is_open(random_, skew.open_share, place, task["number"], sizes[project]):
            status = random_.choice(("pending", "in_progress"))
        else:
            status = "cancelled" if random_.random() < CANCELLED else "completed"
        task |= {"status": status, "completed_at": task["updated_at"] if status == "completed" else None}
        if project <= skew.projects:
            own += 1
            if own % max(1, skew.tasks // 20) == 0:
                task |= {"title": f"{task['title']} {RARE_WORD}", "deleted_at": None}
        yield task


def _is_open(random_: random.Random, share: float, place: Place, number: int, size: int) -> bool:
    if place is Place.SPREAD:
        return random_.random() < share
    first = {Place.NEWEST: 1 - share, Place.OLDEST: 0.0, Place.MIDDLE: (1 - share) / 2}[place] * size
    return first < number <= first + share * size


def main(
    url: Annotated[str, typer.Argument(help="Of an empty database, such as sqlite:///skew.db; it is migrated.")],
    tasks: Annotated[int, typer.Option(help="Tasks of the caller.")] = 100_000,
    open_share: Annotated[float, typer.Option(help="The share of them that is open.")] = 0.005,
    projects: Annotated[int, typer.Option(help="Projects.")] = 100,
    exponent: Annotated[float, typer.Option(help="How their sizes differ: 0 for not at all.")] = 1.0,
    place: Annotated[Place, typer.Option(help="Where the open ones lie.")] = Place.MIXED,
    readers: Annotated[str, typer.Option(help="People who are members of so many projects, by commas.")] = "",
) -> None:
    """Fill a database."""
    data.migrate(url)
    counts = [int(count) for count in readers.split(",") if count]
    make(url, Skew(tasks, open_share, projects, exponent, place, counts))


if __name__ == "__main__":
    typer.run(main)
