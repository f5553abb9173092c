"""``fields`` on REST: only the members asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.tasks.listing.index_scan import DERIVED, OPTIONAL
from services.tasks.models import TaskOut, TaskRecord
from tests.actors import Person

SORTS = ("created_at", "updated_at", "due_at", "priority", "number", "title")


async def test_a_list_has_only_the_members_asked_for(ada: Person) -> None:
    task = await ada.task(title="Short")

    for query in ("fields=id,title", "fields=id&fields=title", "fields=id, title"):
        answer = await ada.get(f"/tasks?{query}")

        assert answer.json() == [{"id": task["id"], "title": "Short"}]
        assert 'rel="first"' in answer.headers["Link"]


@pytest.mark.parametrize("sort", SORTS)
async def test_each_member_alone_is_what_it_is_among_all(ada: Person, sort: str) -> None:
    """A list reads the columns that the members asked for are made of."""
    for number in range(3):
        await ada.task(title=f"Task {number}", description="At length", due_at=f"2026-03-0{number + 1}T12:00:00Z")
    whole = (await ada.get(f"/tasks?sort_by={sort}")).json()
    for name in TaskOut.model_fields:
        found = await ada.get(f"/tasks?fields={name}&sort_by={sort}")

        assert found.json() == [{name: task[name]} for task in whole]
        # a cursor is made of the column that the tasks are sorted by
        first = await ada.get(f"/tasks?fields={name}&sort_by={sort}&limit=2")
        assert (
            first.headers["Link"].split("limit=2")[-1]
            == (await ada.get(f"/tasks?sort_by={sort}&limit=2")).headers["Link"].split("limit=2")[-1]
        )


def test_what_a_member_is_made_of_is_known() -> None:
    """A property of a record that reads optional columns has to be in ``DERIVED``."""
    numbers: Any = TaskRecord(*range(len(TaskRecord._fields)))
    days = dict.fromkeys(("start_at", "due_at"), datetime(2026, 3, 1, tzinfo=UTC))
    complete = numbers._replace(**days)
    for field_name, field in TaskOut.model_fields.items():
        name = str(field.validation_alias or field_name)
        made_of = {*DERIVED.get(name, (name,))}
        narrow = complete._replace(**dict.fromkeys(OPTIONAL - made_of, None))
        assert getattr(narrow, name) == getattr(complete, name), name


async def test_links_keep_the_fields(ada: Person) -> None:
    for _ in range(2):
        await ada.task()

    first = await ada.get("/tasks?fields=ref&limit=1&total=true")
    following = first.headers["Link"].split('rel="first", <')[1].split(">")[0]

    assert first.headers["X-Total-Count"] == "2"
    assert set((await ada.rest("GET", "/" + following)).json()[0]) == {"ref"}


async def test_a_single_task_too_and_what_is_expanded_stays(ada: Person) -> None:
    task = await ada.task(tags=["bug"])

    for path in (f"/tasks/{task['id']}", f"/tasks/by-ref/{task['ref']}"):
        answer = await ada.get(f"{path}?fields=status&expand=tags")

        assert set(answer.json()) == {"status", "tags"}
        assert [tag["name"] for tag in answer.json()["tags"]] == ["bug"]
        assert "ETag" not in answer.headers


async def test_what_is_expanded_is_found_without_the_members_that_name_it(ada: Person) -> None:
    parent = await ada.task()
    task = await ada.task(parent_id=parent["id"])
    expand = "expand=parent&expand=created_by&expand=project&limit=1"

    [few], [all_] = [(await ada.get(f"/tasks?{fields}{expand}")).json() for fields in ("fields=title&", "")]
    graphql = "{ tasks(first: 1) { edges { node { parent { databaseId } createdBy { username } project { key } } } } }"
    nodes = [(await ada.gql(graphql)).data["tasks"]["edges"][0]["node"] for _ in range(3)]

    assert few == {name: all_[name] for name in ("title", "parent", "created_by", "project")}
    assert few["title"] == task["title"]
    assert few["parent"]["id"] == parent["id"]
    for node in nodes:  # compiled from the second one on
        assert node["parent"] == {"databaseId": parent["id"]}
        assert node["createdBy"]["username"] == few["created_by"]["username"]
        assert node["project"]["key"] == few["project"]["key"]


async def test_without_fields_nothing_changes(ada: Person) -> None:
    task = await ada.task()

    answer = await ada.get(f"/tasks/{task['id']}")

    assert answer.json() == task
    assert answer.headers["ETag"] == '"1"'


@pytest.mark.parametrize("query", ["fields=colour", "fields=id,,title", "fields=", "fields=tags"])
async def test_an_unknown_member_is_refused(ada: Person, query: str) -> None:
    task = await ada.task()

    for path in ("/tasks", f"/tasks/{task['id']}"):
        answer = await ada.get(f"{path}?{query}")

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/fields"
