"""Answers end at ``MAX_ANSWER_BYTES``, on both doors in the same words, before the memory for more is spent."""

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest

from core.json_texts import AnswerTooLarge, encode, encode_in_pieces, is_heavy
from db.driver.database import Database
from graphql_schema.execution import outcomes
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import another_instance, bearer, calling
from tests.stored import unchanged

MOST = 1024 * 1024
WORDS = f"The answer would be larger than {MOST:,} bytes: ask for less at a time"
TASKS, LENGTH = 30, 60_000


@pytest.fixture
async def ada(database: Database, ada: Person) -> AsyncIterator[Anonymous]:
    """A person with 1.8 MB of descriptions, on a server that answers 1 MiB."""
    tasks = [{"title": f"t{n}", "description": "é\x01"[n % 2] * (LENGTH // 4)} for n in range(TASKS)]
    assert (await ada.rest("POST", "/tasks/bulk/create", json={"tasks": tasks})).status_code == 200
    async with another_instance(database, max_answer_bytes=MOST) as app, calling(app) as anonymous:
        yield bearer(anonymous, ada.access_token)


class TestRest:
    async def test_list_that_is_too_large_is_refused(self, ada: Anonymous) -> None:
        for query in ("limit=100", "limit=100&expand=comments", "limit=100&fields=description"):
            answer = await ada.rest("GET", f"/tasks?{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, "TOO_EXPENSIVE")
            assert answer.json()["detail"] == WORDS

    async def test_what_fits_is_answered(self, ada: Anonymous) -> None:
        assert len((await ada.rest("GET", "/tasks?limit=10")).content) < MOST
        assert len((await ada.rest("GET", "/tasks?limit=100&fields=id,title")).json()) == TASKS

    async def test_change_whose_answer_would_be_too_large_is_not_made(self, ada: Anonymous, database: Database) -> None:
        ids = [task["id"] for task in (await ada.rest("GET", "/tasks?limit=100&fields=id")).json()]
        changes = {"tasks": [{"id": task_id, "priority": 4} for task_id in ids]}
        async with unchanged(database):
            answer = await ada.rest("POST", "/tasks/bulk/update", json=changes)
            assert (answer.status_code, answer.json()["detail"]) == (400, WORDS)


class TestGraphQL:
    @pytest.mark.parametrize(
        "fields",
        [
            "description",
            "project { name } description",
            " ".join(f"a{n}: description" for n in range(20)),
            "history(first: 1) { edges { node { changes { after } } } }",
        ],
    )
    @pytest.mark.parametrize("times", [1, 2])
    async def test_data_that_is_too_large_is_not_answered(self, ada: Anonymous, fields: str, times: int) -> None:
        query = f"{{ tasks(first: 100) {{ edges {{ node {{ {fields} }} }} }} }}"
        for _ in range(times):
            answer = await ada.gql(query)
            assert (answer.code, answer.errors[0]["message"]) == ("TOO_EXPENSIVE", WORDS)
            assert answer.body["data"] is None

    async def test_what_fits_is_answered(self, ada: Anonymous) -> None:
        answer = await ada.gql("{ tasks(first: 10) { edges { node { description } } } }")
        assert len(answer.data["tasks"]["edges"]) == 10

    async def test_thing_that_many_refer_to_counts_each_time(self, ada: Anonymous) -> None:
        body = {"name": "x", "description": "d" * 60_000, "key": f"L{uuid4().hex[:7].upper()}"}
        project = (await ada.rest("POST", "/projects", json=body)).json()
        tasks = [{"title": "x", "project_id": project["id"]} for _ in range(TASKS)]
        await ada.rest("POST", "/tasks/bulk/create", json={"tasks": tasks})
        query = (
            "query($id: ID!) { project(id: $id) { tasks(first: 100) { edges { node { project { description } } } } } }"
        )
        answer = await ada.gql(query, {"id": project["node_id"]})
        assert answer.code == "TOO_EXPENSIVE"


VALUES: list[Any] = [
    {"a": [1, "é", None, {"b": []}, [[], {}]], "c": {}, "d": True},
    [],
    [{"x": [{"y": "\x01"}]}] * 3,
    "text",
    {"é\n": {"deep": [{"deeper": [1.5]}]}},
]


class TestOneGo:
    async def test_things_that_many_tasks_share_count_for_what_they_are(
        self, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hundred tasks with ten tags each are no large answer: writing it in pieces took three times as long."""

        async def written(*_: Any) -> bytes:
            raise AssertionError("written in pieces")

        bob = await people()
        tags = [f"tag {number}" for number in range(10)]
        tasks = [{"title": f"t{number}", "tags": tags} for number in range(100)]
        assert (await bob.rest("POST", "/tasks/bulk/create", json={"tasks": tasks})).status_code == 200
        monkeypatch.setattr(outcomes, "encode_in_pieces", written)

        node = "id title status project { id name key } assignees { id username } tags { id name color }"
        answer = await bob.gql(f"{{ tasks(first: 100) {{ edges {{ node {{ {node} }} }} }} }}")

        assert len(answer.body["data"]["tasks"]["edges"]) == 100


class TestPieces:
    @pytest.mark.parametrize("value", VALUES, ids=str)
    async def test_are_the_same_bytes(self, value: Any) -> None:
        assert await encode_in_pieces(value, 10_000) == encode(value)
        assert orjson.loads(await encode_in_pieces(value, 10_000)) == value

    async def test_end_where_it_is_too_large(self) -> None:
        value = [{"text": "x" * 10_000}] * 100_000
        tracemalloc.start()
        with pytest.raises(AnswerTooLarge):
            await encode_in_pieces(value, MOST)
        assert tracemalloc.get_traced_memory()[1] < 64 * MOST, "a gigabyte was made first"
        tracemalloc.stop()

    def test_one_that_is_not_heavy_fits_whatever_stands_in_it(self) -> None:
        assert not is_heavy(MOST // 8, MOST)
        assert len(encode("\x01" * (MOST // 8))) < MOST
        assert is_heavy(MOST // 6, MOST)
