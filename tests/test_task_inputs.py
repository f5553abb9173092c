"""What is refused as a task, on both doors and both databases alike, with nothing written."""

import json
from typing import Any

import pytest

from db.driver.database import Database
from services.shared.node_ids import encode
from tests.actors import GRAPHQL_JSON, Anonymous, Answer, Person
from tests.doors import Door, Result, from_graphql, from_rest, on_both_doors
from tests.operations import OPERATIONS, ok, run
from tests.stored import unchanged

LONG_TITLE, LONG_DESCRIPTION = "ß" * 200, "☃" * 65_536

# what the service refuses: with the same pointer on both doors
REFUSED: list[tuple[str, Any, str]] = [
    ("title", "", ""),
    ("title", " \t\n", ""),
    ("title", LONG_TITLE + "x", ""),
    ("title", "NUL \x00 within", ""),
    ("description", LONG_DESCRIPTION + "x", ""),
    ("description", "\x00", ""),
    ("priority", 0, ""),
    ("priority", 6, ""),
    ("priority", -(2**31), ""),
    ("due_at", "2026-01-31T12:00:00", ""),
    ("due_at", "2026-01-31", ""),
    ("due_at", "tomorrow", ""),
    ("due_at", "", ""),
    ("due_at", "2026-02-30T00:00:00Z", ""),
    ("due_at", "2026-01-31T24:30:00Z", ""),
    ("due_at", "2026-01-31T12:00:00+24:00", ""),
    ("due_at", "٢٠٢٦-01-31T12:00:00Z", ""),
    ("start_at", "0001-01-01T00:00:00+00:01", ""),
    ("start_at", "9999-12-31T23:59:59-00:01", ""),
    ("assignee_ids", [0], "/0"),
    ("assignee_ids", [1, 2**31], "/1"),
    ("assignee_ids", [2**63], "/0"),
    ("assignee_ids", ["1"], "/0"),
    ("assignee_ids", [encode("Task", 1)], "/0"),
    ("assignee_ids", [1] * 51, ""),
    ("tags", ["bug", " "], "/1"),
    ("tags", ["x" * 51], "/0"),
    ("tags", ["\x00"], "/0"),
    ("tags", ["bug"] * 51, ""),
    ("parent_id", -1, ""),
    ("parent_id", 2**31, ""),
    ("parent_id", 2**63, ""),
    ("parent_id", encode("Project", 1), ""),
    ("project_id", 0, ""),
    ("project_id", 10**30, ""),
    ("project_id", "INBOX", ""),
]
# what GraphQL's own types refuse before the service is asked
OF_ANOTHER_TYPE: list[tuple[str, Any, str]] = [
    ("title", None, ""),
    ("title", 3, ""),
    ("title", True, ""),
    ("title", ["x"], ""),
    ("title", {"en": "x"}, ""),
    ("description", 7, ""),
    ("status", "done", ""),
    ("status", 1, ""),
    ("status", None, ""),
    ("priority", "3", ""),
    ("priority", True, ""),
    ("priority", 1.5, ""),
    ("priority", None, ""),
    ("priority", 2**31, ""),
    ("priority", 2**63, ""),
    ("priority", 10**30, ""),
    ("due_at", 1_767_225_600, ""),
    ("due_at", True, ""),
    ("assignee_ids", [None], "/0"),
    ("assignee_ids", [True], "/0"),
    ("assignee_ids", [1.5], "/0"),
    ("tags", [3], "/0"),
    ("tags", None, ""),
    ("parent_id", True, ""),
    ("project_id", [1], ""),
]
INSTANTS = {
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00-05:00": "0001-01-01T05:00:00Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59+14:00": "9999-12-31T09:59:59Z",
    "2024-02-29t12:00:00z": "2024-02-29T12:00:00Z",
    "2026-01-31 12:00:00.1+00:00": "2026-01-31T12:00:00.100000Z",
    "2026-01-31T12:00:00.123456789Z": "2026-01-31T12:00:00.123456Z",
}
READ_ONLY = [
    "id",
    "node_id",
    "ref",
    "number",
    "created_by_id",
    "created_at",
    "updated_at",
    "completed_at",
    "deleted_at",
    "colour",
]


async def refusals(door: Door, ada: Person, task: dict[str, Any], field: str, value: Any) -> list[Result]:
    """The answers to creating a task, and to changing one, with the value in the field."""
    answers = [await run(door, "create_task", ada, {"title": "x", field: value})]
    # a task stays in its project, and GraphQL's id says which task
    if field != "project_id" and (door, field) != ("graphql", "id"):
        answers.append(await run(door, "update_task", ada, {field: value}, task_id=task["id"]))
    return answers


@on_both_doors
class TestValues:
    async def test_value_outside_the_rules_is_refused_where_it_is(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        task = await ada.task(description="As it was.")
        async with unchanged(database):
            for field, value, item in REFUSED:
                with subtests.test(field=field, value=str(value)[:40]):
                    for answer in await refusals(door, ada, task, field, value):
                        assert answer.refusal == ("BAD_USER_INPUT", [f"/{field}{item}"])

    async def test_value_of_another_type_is_refused_and_never_converted(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        task = await ada.task(description="As it was.")
        async with unchanged(database):
            for field, value, item in OF_ANOTHER_TYPE:
                with subtests.test(field=field, value=value):
                    for answer in await refusals(door, ada, task, field, value):
                        assert answer.refusal == ("BAD_USER_INPUT", [f"/{field}{item}"])

    async def test_unknown_and_read_only_fields_are_refused_by_name(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        task = await ada.task(description="As it was.")
        async with unchanged(database):
            for name in READ_ONLY:
                with subtests.test(name=name):
                    for answer in await refusals(door, ada, task, name, "2026-01-31T12:00:00Z"):
                        assert answer.refusal == ("BAD_USER_INPUT", [f"/{name}"])

    async def test_field_that_every_task_has_is_missed_by_name(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        async with unchanged(database):
            refused = await run(door, "create_task", ada, {"description": "Of what?"})

        assert refused.refusal == ("BAD_USER_INPUT", ["/title"])

    async def test_everything_wrong_is_named_at_once(self, ada: Person, door: Door, database: Database) -> None:
        async with unchanged(database):
            refused = await run(door, "create_task", ada, {"title": "", "priority": 10, "tags": ["ok", ""]})

        assert refused.refusal == ("BAD_USER_INPUT", ["/title", "/priority", "/tags/1"])

    async def test_longest_texts_are_kept_whole(self, ada: Person, door: Door) -> None:
        longest = {"title": LONG_TITLE, "description": LONG_DESCRIPTION}
        task = await ok(door, "create_task", ada, longest)

        assert task == task | longest
        assert (await ok(door, "update_task", ada, longest, task_id=task["id"])) == task
        assert (await ok(door, "update_task", ada, {"description": ""}, task_id=task["id"]))["description"] == ""

    async def test_whole_calendar_is_kept_in_utc(self, ada: Person, door: Door, subtests: pytest.Subtests) -> None:
        for sent, kept in INSTANTS.items():
            with subtests.test(sent=sent):
                task = await ok(door, "create_task", ada, {"title": "x", "due_at": sent})
                assert task["due_at"] == kept
                assert (await ok(door, "get_task", ada, task_id=task["id"])) == task

    async def test_text_is_kept_to_the_letter(self, ada: Person, door: Door) -> None:
        text = "tab\there\r\nemoji 👩‍👩‍👧 , e\u0301 is not é, \u202eto the left, \x01\x7f\ufeff\U0010ffff 'quotes\" \\"
        line = "emoji 👩‍👩‍👧 , é, \u202eto the left, \U0010ffff 'q\" \\"
        task = await ok(door, "create_task", ada, {"title": line, "description": text, "tags": [line]})

        read = await ok(door, "get_task_with_relations", ada, task_id=task["id"])
        assert (read["title"], read["description"], read["tags"]) == (line, text, [line])


async def send(door: Door, ada: Anonymous, raw: str) -> Result:
    """Create a task with a body that is written out."""
    given = ada.headers | {"Content-Type": "application/json"}
    if door == "rest":
        return from_rest(await ada.client.post("/api/v1/tasks", content=raw.encode(), headers=given))
    query = json.dumps(OPERATIONS["create_task"].graphql)
    content = f'{{"query": {query}, "variables": {{"input": {raw}}}}}'
    response = await ada.client.post("/graphql", content=content.encode(), headers=given | {"Accept": GRAPHQL_JSON})
    return from_graphql(Answer(response.status_code, response.json(), response.headers))


SURROGATES = {
    "/title": r'{"title": "\ud800"}',
    "/description": r'{"title": "x", "description": "a\udfff"}',
    "/tags/0": r'{"title": "x", "tags": ["\ud83d"]}',
    "/due_at": r'{"title": "x", "due_at": "\ud800"}',
}


@on_both_doors
class TestSurrogates:
    async def test_lone_surrogates_are_refused(
        self, ada: Person, door: Door, database: Database, subtests: pytest.Subtests
    ) -> None:
        async with unchanged(database):
            for pointer, raw in SURROGATES.items():
                with subtests.test(pointer=pointer):
                    refused = await send(door, ada, raw)
                    assert refused.refusal == ("BAD_USER_INPUT", [pointer])

    async def test_surrogate_pair_is_one_character(self, ada: Person, door: Door) -> None:
        made = await send(door, ada, r'{"title": "\ud83d\ude00"}')

        assert (made.code, made.body.get("task", made.body)["title"]) == (None, "😀")


NO_PATH_IDS = ["0", "-1", str(2**31), str(2**63), "1" * 40, "abc", "1.5", "%00", "1e3", "٣"]
NO_TASK_IDS = [
    "",
    "1",
    "abc",
    "VGFzazox=",
    "VGFzazox\n",
    encode("Project", 1),
    encode("Task", 0),
    encode("Task", 2**31),
    "\x00",
    "é",
]


class TestIds:
    @pytest.mark.parametrize(
        "path", ["/tasks/{}", "/tasks/{}/comments", "/tasks/{}/history", "/projects/{}", "/tags/{}"]
    )
    async def test_rest_refuses_what_is_no_id_in_a_path(self, ada: Person, path: str) -> None:
        for value in NO_PATH_IDS:
            refused = await ada.get(path.format(value))
            assert (refused.status_code, refused.json()["code"]) == (422, "BAD_USER_INPUT"), value
            assert [problem["location"] for problem in refused.json()["errors"]] == ["path"]

    @pytest.mark.parametrize(
        "query",
        [
            "query($id: ID!) { task(id: $id) { id } }",
            'mutation($id: ID!) { updateTask(input: {id: $id, title: "x"}) { task { id } } }',
            "mutation($id: ID!) { deleteTask(input: {id: $id}) { deletedTaskId } }",
            "mutation($id: ID!) { restoreTask(input: {id: $id}) { task { id } } }",
        ],
    )
    async def test_graphql_refuses_what_is_no_id_of_the_type(self, ada: Person, database: Database, query: str) -> None:
        async with unchanged(database):
            for value in NO_TASK_IDS:
                refused = await ada.gql(query, {"id": value})
                assert (refused.code, refused.pointers) == ("BAD_USER_INPUT", ["/id"]), value
