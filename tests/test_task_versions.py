"""Versions of tasks: ETag and preconditions on REST, expectedVersion on GraphQL, and writers that meet."""

import asyncio
from typing import Any

import pytest

from db.driver.database import Database
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged

WRITERS = 8


@on_both_doors
class TestBothDoors:
    async def test_every_change_is_one_more_version(self, ada: Person, door: Door) -> None:
        task = await ada.task()
        versions = [
            (await ok(door, "update_task", ada, {"title": "New"}, task_id=task["id"]))["version"],
            (await ok(door, "update_task", ada, {"title": "New"}, task_id=task["id"]))["version"],
            (await ok(door, "update_task", ada, {"tags": ["bug"]}, task_id=task["id"]))["version"],
        ]
        await ok(door, "delete_task", ada, task_id=task["id"])
        versions.append((await ok(door, "restore_task", ada, task_id=task["id"]))["version"])

        assert versions == [2, 2, 3, 5]

    async def test_change_of_the_known_version_is_made(self, ada: Person, door: Door) -> None:
        task = await ada.task()

        changed = await ok(door, "update_task", ada, {"title": "New"}, task_id=task["id"], expected=1)
        assert changed["version"] == 2
        await ok(door, "delete_task", ada, task_id=task["id"], expected=2)

    @pytest.mark.parametrize("expected", [1, 3, 2**31 - 1])
    async def test_change_of_another_version_is_refused(
        self, ada: Person, door: Door, database: Database, expected: int
    ) -> None:
        task = await ada.task()
        await ada.patch(f"/tasks/{task['id']}", {"title": "By somebody else"})
        async with unchanged(database):
            answers = [
                await run(door, "update_task", ada, {"title": "Mine"}, task_id=task["id"], expected=expected),
                await run(door, "delete_task", ada, task_id=task["id"], expected=expected),
            ]

        for answer in answers:
            assert answer.refusal == ("VERSION_CONFLICT", [])
            current = (
                answer.headers["etag"]
                if door == "rest"
                else f'"{answer.body["errors"][0]["extensions"]["currentVersion"]}"'
            )
            assert current == '"2"'

    async def test_precondition_on_what_is_not_there_is_not_found(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        foreign = await bob.task()
        async with unchanged(database):
            answer = await run(door, "update_task", ada, {"title": "Mine"}, task_id=foreign["id"], expected=7)

        assert answer.refusal == ("NOT_FOUND", [])

    async def test_one_of_many_writers_with_the_same_version_wins(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        task = await ada.task()
        async with new_events(database) as events:
            answers = await asyncio.gather(
                *(
                    run(
                        door,
                        "update_task",
                        ada,
                        {"title": f"Writer {n}", "tags": [f"t{n}"]},
                        task_id=task["id"],
                        expected=1,
                    )
                    for n in range(WRITERS)
                )
            )

        [winner] = [answer for answer in answers if answer.code is None]
        assert [answer.code for answer in answers].count("VERSION_CONFLICT") == WRITERS - 1
        number = winner.body["title"].removeprefix("Writer ")
        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert read == winner.body | {"tags": [f"t{number}"], "assignees": []}
        assert kinds(events) == ["tag.created", "task.updated"]

    async def test_changes_of_different_fields_both_survive(self, ada: Person, door: Door, database: Database) -> None:
        task = await ada.task()
        fields: list[dict[str, Any]] = [{"title": "New"}, {"priority": 5}, {"description": "Said"}, {"tags": ["bug"]}]
        async with new_events(database) as events:
            answers = await asyncio.gather(
                *(run(door, "update_task", ada, sent, task_id=task["id"]) for sent in fields)
            )

        assert {answer.code for answer in answers} == {None}
        assert sorted(answer.body["version"] for answer in answers) == [2, 3, 4, 5]
        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert (read["title"], read["priority"], read["description"], read["tags"]) == ("New", 5, "Said", ["bug"])
        assert sorted(event.entity_version for event in events if event.kind == "task.updated") == [2, 3, 4, 5]


class TestRest:
    async def test_single_tasks_carry_the_version_as_a_strong_etag(self, ada: Person) -> None:
        task = await ada.task()
        path, under_project = f"/tasks/{task['id']}", f"/projects/{task['project_id']}/tasks/{task['id']}"
        tags = [
            (await ada.get(path)).headers["etag"],
            (await ada.get(f"/tasks/by-ref/{task['ref']}")).headers["etag"],
            (await ada.patch(path, {"title": "2"})).headers["etag"],
            (await ada.put(path, {"title": "3"})).headers["etag"],
            (await ada.put(under_project, {"title": "4"})).headers["etag"],
        ]
        await ada.delete(path)
        tags.append((await ada.post(f"{path}/restore")).headers["etag"])

        assert tags == ['"1"', '"1"', '"2"', '"3"', '"4"', '"6"']

    @pytest.mark.parametrize("known", ['"1"', 'W/"1"', '"7", "1"', "*"])
    async def test_known_version_is_not_sent_again(self, ada: Person, known: str) -> None:
        task = await ada.task()
        for path in (f"/tasks/{task['id']}", f"/tasks/by-ref/{task['ref']}"):
            answer = await ada.get(path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')

    @pytest.mark.parametrize("known", ['"2"', '"11"', "1", '"x"', ""])
    async def test_other_version_is_sent(self, ada: Person, known: str) -> None:
        task = await ada.task()
        answer = await ada.get(f"/tasks/{task['id']}", headers={"If-None-Match": known})

        assert (answer.status_code, answer.json()) == (200, task)

    async def test_what_is_read_along_has_versions_of_its_own(self, ada: Person) -> None:
        task = await ada.task()
        answer = await ada.get(f"/tasks/{task['id']}?expand=comments", headers={"If-None-Match": '"1"'})

        assert answer.status_code == 200
        assert "etag" not in answer.headers

    @pytest.mark.parametrize(
        "tag", ['"2"', 'W/"1"', "2", '"one"', '""', '"' + "1" * 40 + '"', '"-1"', '"2", "3"', "2, 3"]
    )
    async def test_tag_that_does_not_match_writes_nothing(self, ada: Person, database: Database, tag: str) -> None:
        task = await ada.task()
        path, under_project = f"/tasks/{task['id']}", f"/projects/{task['project_id']}/tasks/{task['id']}"
        async with unchanged(database):
            answers = [
                await ada.patch(path, {"title": "New"}, headers={"If-Match": tag}),
                await ada.put(path, {"title": "New"}, headers={"If-Match": tag}),
                await ada.put(under_project, {"title": "New"}, headers={"If-Match": tag}),
                await ada.delete(path, headers={"If-Match": tag}),
            ]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (412, "VERSION_CONFLICT")
            assert answer.headers["etag"] == '"1"'

    @pytest.mark.parametrize(
        "tag", ["garbage", "1x", '"1', '1"', "'1'", "-1", "1.0", "W/1", "12345678901", "", ",", "*, 1"]
    )
    async def test_what_is_no_tag_is_told_of_the_quotes(self, ada: Person, database: Database, tag: str) -> None:
        task = await ada.task()
        async with unchanged(database):
            answer = await ada.patch(f"/tasks/{task['id']}", {"title": "New"}, headers={"If-Match": tag})

        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert answer.json()["detail"] == 'If-Match takes ETags, in double quotes as they were sent: If-Match: "3"'

    @pytest.mark.parametrize("tag", ['"1"', "*", ' "1" ', "1", "7, 1", 'W/"7","1"', ',"1" ,'])
    async def test_tag_that_matches_lets_the_change_through(self, ada: Person, tag: str) -> None:
        task = await ada.task()
        changed = await ada.patch(f"/tasks/{task['id']}", {"title": "New"}, headers={"If-Match": tag})

        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')


class TestGraphQL:
    @pytest.mark.parametrize(
        ("version", "code"), [(None, None), (1, None), (0, "VERSION_CONFLICT"), (-1, "VERSION_CONFLICT")]
    )
    async def test_expected_version_may_be_null(self, ada: Person, version: int | None, code: str | None) -> None:
        task = await ada.task()
        variables = {"input": {"id": task["node_id"], "title": "New", "expectedVersion": version}}
        answer = await ada.gql(
            "mutation($input: UpdateTaskInput!) { updateTask(input: $input) { task { version } } }", variables
        )

        assert (answer.code if "errors" in answer.body else None) == code
