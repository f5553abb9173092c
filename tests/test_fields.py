"""``fields`` on REST: only the members asked for."""

import pytest

from tests.actors import Person


async def test_a_list_has_only_the_members_asked_for(ada: Person) -> None:
    task = await ada.task(title="Short")

    for query in ("fields=id,title", "fields=id&fields=title", "fields=id, title"):
        answer = await ada.get(f"/tasks?{query}")

        assert answer.json() == [{"id": task["id"], "title": "Short"}]
        assert 'rel="first"' in answer.headers["Link"]


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
