"""What a reader may hand over, whatever its source: records with everything that a task has."""

from datetime import UTC, datetime, timedelta

import pytest

from db.driver.database import Database
from services.recurrences.models import Recurrence
from services.relations import RelationKind
from services.tasks.models import TaskStatus
from services.transfers import links
from services.transfers.known import WriterOptions
from services.transfers.records import (
    ImportedComment,
    ImportedProject,
    ImportedRelation,
    ImportedTask,
    ImportedUser,
)
from services.transfers.summary import Summary
from services.transfers.writer import Writer
from tests.actors import Person
from tests.importing import comments, relations, task
from tests.jira_archives import Tracker

WRITTEN = datetime(2020, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def tracker() -> Tracker:
    """A key and external ids of our own."""
    return Tracker()


def user(tracker: Tracker, name: str) -> ImportedUser:
    return ImportedUser(f"{name}.{tracker.token}", f"{name}.{tracker.token}", name.title(), "UTC")


def record(tracker: Tracker, number: int, **fields: object) -> ImportedTask:
    values: dict[str, object] = {
        "external_id": f"{tracker.token}{number}",
        "project": ImportedProject(tracker.key, "Neutral"),
        "ref": f"{tracker.key}-{number}",
        "number": number,
        "title": f"Record {number}",
        "created_at": WRITTEN,
        "updated_at": WRITTEN,
    }
    return ImportedTask(**values | fields)  # type: ignore[arg-type]  # fields by their names


async def write(database: Database, ada: Person, tracker: Tracker, *tasks: ImportedTask) -> Summary:
    await Writer(database, WriterOptions(tracker.source, ada.id)).write(tasks)
    summary = Summary()
    await links.link(database, tracker.source, summary)
    return summary


class TestService:
    async def test_a_record_becomes_a_task_with_everything_it_has(
        self, database: Database, ada: Person, tracker: Tracker
    ) -> None:
        mia, tom, eve = (user(tracker, name) for name in ("mia", "tom", "eve"))
        first = record(tracker, 1)
        second = record(
            tracker,
            2,
            description="All of it.",
            status=TaskStatus.COMPLETED,
            priority=5,
            start_at=WRITTEN + timedelta(days=1),
            due_at=WRITTEN + timedelta(days=2),
            completed_at=WRITTEN + timedelta(days=3),
            updated_at=WRITTEN + timedelta(days=4),
            created_by=eve,
            assignees=(tom, mia, tom),
            tags=("Red", "red", "blue"),
            parent_external_id=first.external_id,
            comments=(ImportedComment(f"c{tracker.token}", mia, "Seen.", WRITTEN, None),),
            relations=(ImportedRelation(RelationKind.BLOCKS, f"{tracker.token}2", first.external_id),),
        )

        summary = await write(database, ada, tracker, first, second)

        made, parent = await task(ada, tracker, 2), await task(ada, tracker, 1)
        assert {name: made[name] for name in ("title", "description", "status", "priority", "parent_id")} == {
            "title": "Record 2",
            "description": "All of it.",
            "status": "completed",
            "priority": 5,
            "parent_id": parent["id"],
        }
        assert [made[f"{name}_at"] for name in ("created", "start", "due", "completed", "updated")] == [
            f"2020-02-0{day}T04:05:00Z" for day in (3, 4, 5, 6, 7)
        ]
        assert made["created_by"]["full_name"] == "Eve"
        assert sorted(person["full_name"] for person in made["assignees"]) == ["Mia", "Tom"]
        assert [tag["name"] for tag in made["tags"]] == ["blue", "Red"]
        assert [each["author"]["fullName"] for each in await comments(ada, tracker, 2)] == ["Mia"]
        assert summary.links == 1
        assert await relations(database, tracker) == [(2, "blocks", 1)]

    async def test_what_is_completed_has_a_time_of_it_and_nothing_else_has(
        self, database: Database, ada: Person, tracker: Tracker
    ) -> None:
        later = WRITTEN + timedelta(days=1)
        tasks = [
            record(tracker, 1, status=TaskStatus.COMPLETED, updated_at=later),
            record(tracker, 2, status=TaskStatus.CANCELLED, completed_at=later),
        ]

        await write(database, ada, tracker, *tasks)

        found = [(await task(ada, tracker, number))["completed_at"] for number in (1, 2)]
        assert found == ["2020-02-04T04:05:00Z", None]

    async def test_records_go_on_to_recur_and_what_is_done_makes_nothing(
        self, database: Database, ada: Person, tracker: Tracker
    ) -> None:
        daily = {"recurrence": Recurrence(rule="FREQ=DAILY", timezone="Asia/Tokyo"), "due_at": WRITTEN}
        done = {"status": TaskStatus.COMPLETED, "completed_at": WRITTEN}
        tasks = [
            record(tracker, 1, **daily),
            record(tracker, 2, **daily, **done),
            record(tracker, 3, recurrence=daily["recurrence"]),
            record(tracker, 4, **daily | {"recurrence": Recurrence(rule="FREQ=DAILY;COUNT=1")}),
            record(tracker, 5),
        ]
        written = await Writer(database, WriterOptions(tracker.source, ada.id)).write(tasks)

        assert written.counts.recurrences_left_out == 2
        found = [await task(ada, tracker, number) for number in range(1, 6)]
        shown = [(await ada.get(f"/tasks/{each['id']}?expand=recurrence")).json()["recurrence"] for each in found]
        assert [each and each["occurrence"] for each in shown] == ["2020-02-03T13:05:00"] * 2 + [None] * 3
        assert len((await ada.get("/tasks", params={"project_id": found[0]["project_id"]})).json()) == 5

    async def test_a_record_with_the_least_has_what_a_new_task_has(
        self, database: Database, ada: Person, tracker: Tracker
    ) -> None:
        await write(database, ada, tracker, record(tracker, 1))

        made = await task(ada, tracker, 1)
        assert (made["status"], made["priority"], made["version"]) == ("pending", 1, 1)
        assert (made["assignees"], made["tags"], made["created_by"]) == ([], [], None)
