"""Where an answer ends: the largest calls, counts, and what is gone by the time that it is read."""

from collections import Counter
from typing import Any

import pytest
from graphql import GraphQLObjectType

from api.state import State
from db.driver.sessions import ReadingSession
from graphql_schema.schema import schema
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import run

TASKS = 1_000


@on_both_doors
async def test_largest_bulk_call_is_taken(ada: Person, door: Door) -> None:
    project = await ada.project()
    tags = [f"tag {number}" for number in range(18)]
    given = {"project_id": project["id"], "tags": tags, "assignee_ids": [ada.id], "priority": 2, "description": "x"}
    body = {"tasks": [given | {"title": f"Task {number}"} for number in range(TASKS)]}
    made = await run(door, "create_tasks", ada, body | {"dry_run": True})

    assert (made.code, made.body["succeeded"]) == (None, TASKS)


async def test_relations_of_all_its_results_are_answered(ada: Person) -> None:
    query = """mutation($input: CreateTasksInput!) { createTasks(input: $input) { results {
        error { code errors { pointer } }
        task { project { key } parent { ref } createdBy { username } assignees { username } tags { name } }
    } } }"""
    task = {"title": "x", "tags": ["bug"], "assigneeIds": [ada.node_id]}
    results = (await ada.gql(query, {"input": {"tasks": [task] * TASKS}})).data["createTasks"]["results"]

    expected = {"project": {"key": "INBOX"}, "parent": None, "createdBy": {"username": ada.username},
                "assignees": [{"username": ada.username}], "tags": [{"name": "bug"}]}  # fmt: skip
    assert results == [{"error": None, "task": expected}] * TASKS


@on_both_doors
async def test_list_that_is_far_too_long_is_refused_in_the_same_words(ada: Person, door: Door) -> None:
    for body in (
        {"tasks": [{"title": "x"}] * 1_600},
        {"tasks": [{"title": "x", "tags": ["a"] * 160}] * 1_000},
        {"tasks": [{"title": "x", "tags": ["a"] * 2_000}]},
    ):
        refused = await run(door, "create_tasks", ada, body)
        pointer, count = ("/tasks", 1_600) if "tags" not in body["tasks"][0] else ("/tasks/0/tags", None)
        assert refused.code == "BAD_USER_INPUT"
        assert refused.pointers[0] == pointer
        assert count is None or refused.message == f"{pointer}: must have at most 1,000 entries, and has {count:,}"


def test_every_list_that_can_grow_is_counted() -> None:
    for type_ in schema._schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and type_.name.endswith("Connection"):
            assert str(type_.fields["totalCount"].type) == "Int!", type_.name


NESTED = {
    "{ tasks { edges { node { title project { key } } } } }": ["tasks", "edges", 0, "node", "project"],
    "{ tasks(first: 1) { totalCount edges { node { again: project { id } } } } }": [
        "tasks",
        "edges",
        0,
        "node",
        "again",
    ],
    "query($id: ID!) { node(id: $id) { ... on Task { id project { key } } } }": ["node", "project"],
    "query($id: ID!) { task(id: $id) { id tags { project { id } } } }": ["task", "tags", 0, "project"],
}


@pytest.mark.parametrize("query", NESTED)
async def test_thing_that_must_be_there_and_is_not_is_not_found(
    ada: Person, state: State, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await ada.task(tags=["bug"])
    variables = {"id": task["node_id"]}

    true_all = ReadingSession.all

    async def all_(self: ReadingSession, statement: Any, rows: Any = None) -> Any:
        """As if the caller lost the project between the reading of the task and this."""
        of_projects = self._compiler.command(statement).sql.lstrip().startswith("SELECT projects.")
        return [] if of_projects else await true_all(self, statement, rows)

    monkeypatch.setattr(ReadingSession, "all", all_)
    before = Counter(state.executor.executed)
    answers = [(await ada.gql(query, variables)).body for _ in range(3)]

    for answer in answers:
        [error] = answer["errors"]
        assert (error["message"], error["path"]) == ("Project not found", NESTED[query])
        assert error["extensions"]["code"] == "NOT_FOUND"
    assert [answer["data"] for answer in answers] == [answers[0]["data"]] * 3
    assert (state.executor.executed - before)["both"] >= 2
