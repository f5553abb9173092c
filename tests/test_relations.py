"""Relations: one task blocks, duplicates or relates to another; seen from both, and by nobody who may not read both."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from db.driver.database import Database
from services import relations
from services.relations import RelationCreate, RelationKind
from services.shared.errors import TandemError
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.stored import new_events, unchanged

TASKS_OF_PROJECT = """query($f: TaskFilter, $p: ID!) {
    project(id: $p) { tasks(filter: $f, first: 100) { edges { node { databaseId } } } }
}"""
RELATION_PAGE = """query($id: ID!, $a: String) { task(id: $id) {
    relations(first: 2, after: $a) { edges { node { databaseId } } pageInfo { endCursor hasNextPage } }
} }"""
FIRST_RELATIONS = """query($p: ID!) { project(id: $p) { tasks(first: LIMIT) { edges { node {
    relations(first: 2) { totalCount edges { node { target { ref } } } }
} } } } }"""
CREATE = "mutation($i: CreateRelationInput!) { createRelation(input: $i) { relation { id createdAt } } }"


async def relate(
    person: Person, task: dict[str, Any], target: dict[str, Any], kind: str = "blocks", door: Door = "rest"
) -> dict[str, Any]:
    body: dict[str, Any] = await ok(
        door, "create_relation", person, {"kind": kind, "target_id": target["id"]}, task_id=task["id"]
    )
    return body


async def matching(person: Person, condition: dict[str, Any], project: dict[str, Any]) -> list[int]:
    """The ids of the project's tasks that meet a filter; both doors must say the same."""
    given = {"and": [{"project": {"eq": project["id"]}}, condition]}
    listed = await person.get(
        "/tasks", params={"filter": json.dumps(given), "limit": 100, "sort_by": "id", "order": "asc"}
    )
    assert listed.status_code == 200, listed.text
    found = [task["id"] for task in listed.json()]
    spelt = json.loads(json.dumps(condition).replace("is_empty", "isEmpty"))
    document = TASKS_OF_PROJECT
    answer = await person.gql(document, {"f": spelt, "p": project["node_id"]})
    edges = answer.data["project"]["tasks"]["edges"]
    assert sorted(edge["node"]["databaseId"] for edge in edges) == found
    return found


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("kind", ["blocks", "relates_to", "duplicates"])
    async def test_relation_is_seen_from_both_tasks(
        self, ada: Person, database: Database, door: Door, kind: str
    ) -> None:
        task, other = await ada.task(), await ada.task()
        async with new_events(database) as events:
            made = await relate(ada, task, other, kind, door)

        expected = {"kind": kind, "source_id": task["id"], "target_id": other["id"], "created_by_id": ada.id}
        assert made == made | expected
        for end in (task, other):
            assert await ok(door, "list_relations", ada, task_id=end["id"]) == [made]
            assert await ok(door, "get_relation", ada, task_id=end["id"], relation_id=made["id"]) == made
            assert (await ok(door, "get_task", ada, task_id=end["id"]))["version"] == 1  # no change of the task
        stored = {"kind": [None, kind], "source_id": [None, task["id"]], "target_id": [None, other["id"]]}
        assert [(event.kind, event.entity_id, event.task_id, event.changes) for event in events] == [
            ("relation.created", made["id"], end["id"], stored) for end in (task, other)
        ]

    async def test_relates_to_has_no_direction(self, ada: Person, database: Database, door: Door) -> None:
        first, second = await ada.task(), await ada.task()
        made = await relate(ada, second, first, "relates_to", door)

        assert (made["source_id"], made["target_id"]) == (first["id"], second["id"])
        async with unchanged(database):
            for task, other in ((first, second), (second, first)):
                body = {"kind": "relates_to", "target_id": other["id"]}
                refused = await run(door, "create_relation", ada, body, task_id=task["id"])
                assert refused.refusal == ("CONFLICT", ["/target_id"])

    async def test_relation_ends_from_either_task(self, ada: Person, database: Database, door: Door) -> None:
        task, other = await ada.task(), await ada.task()
        for end in (task, other):
            made = await relate(ada, task, other, "blocks", door)
            async with new_events(database) as events:
                await ok(door, "delete_relation", ada, task_id=end["id"], relation_id=made["id"])

            assert [(event.kind, event.task_id, event.changes["kind"]) for event in events] == [
                ("relation.deleted", task["id"], ["blocks", None]),
                ("relation.deleted", other["id"], ["blocks", None]),
            ]
            assert await ok(door, "list_relations", ada, task_id=task["id"]) == []
            async with unchanged(database):
                gone = await run(door, "delete_relation", ada, task_id=end["id"], relation_id=made["id"])
            assert gone.refusal == ("NOT_FOUND", [])

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"kind": "eats", "target_id": 1}, "/kind"),
            ({"kind": None, "target_id": 1}, "/kind"),
            ({"kind": "blocks", "target_id": None}, "/target_id"),
            ({"kind": "blocks", "target_id": "x"}, "/target_id"),
            ({"kind": "blocks"}, "/target_id"),
            ({"target_id": 1}, "/kind"),
            ({"kind": "blocks", "target_id": 1, "source_id": 2}, "/source_id"),
        ],
    )
    async def test_careless_input_is_refused(
        self, ada: Person, database: Database, door: Door, body: dict[str, Any], pointer: str
    ) -> None:
        task = await ada.task()
        async with unchanged(database):
            refused = await run(door, "create_relation", ada, body, task_id=task["id"])

        assert refused.refusal == ("BAD_USER_INPUT", [pointer])

    async def test_task_and_itself(self, ada: Person, database: Database, door: Door) -> None:
        task = await ada.task()
        async with unchanged(database):
            refused = await run(
                door, "create_relation", ada, {"kind": "relates_to", "target_id": task["id"]}, task_id=task["id"]
            )

        assert refused.refusal == ("BAD_USER_INPUT", ["/target_id"])

    @pytest.mark.parametrize("kind", ["blocks", "duplicates"])
    async def test_circle_is_refused_however_long(self, ada: Person, database: Database, door: Door, kind: str) -> None:
        tasks = [await ada.task() for _ in range(4)]
        for task, following in pairwise(tasks):
            await relate(ada, task, following, kind, door)
        await ada.delete(f"/tasks/{tasks[1]['id']}")  # what is in the trash may come back

        for last in tasks[2:]:
            async with unchanged(database):
                body = {"kind": kind, "target_id": tasks[0]["id"]}
                refused = await run(door, "create_relation", ada, body, task_id=last["id"])
            assert refused.refusal == ("CONFLICT", ["/target_id"])
            assert "circle" in refused.message
        other = {"blocks": "duplicates", "duplicates": "blocks"}[kind]
        await relate(ada, tasks[3], tasks[0], other, door)  # each kind for itself
        await relate(ada, tasks[0], tasks[3], kind, door)

    async def test_number_is_limited(
        self, ada: Person, database: Database, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relations, "MAX_RELATIONS", 2)
        hub, *others = [await ada.task() for _ in range(4)]
        for other in others[:2]:
            await relate(ada, hub, other, door=door)
        async with unchanged(database):
            body = {"kind": "blocks", "target_id": hub["id"]}
            refused = await run(door, "create_relation", ada, body, task_id=others[2]["id"])
        assert refused.refusal == ("CONFLICT", [])

    async def test_repeat_with_a_key_answers_the_same(self, ada: Person, door: Door) -> None:
        task, other = await ada.task(), await ada.task()
        bodies = []
        for _ in range(2):
            if door == "rest":
                answer = await ada.post(
                    f"/tasks/{task['id']}/relations",
                    {"kind": "blocks", "target_id": other["id"]},
                    headers={"Idempotency-Key": "relate"},
                )
                assert answer.status_code == 201
                bodies.append(answer.json())
            else:
                document = CREATE
                given = {"kind": "BLOCKS", "taskId": task["node_id"], "targetId": other["node_id"]}
                bodies.append((await ada.gql(document, {"i": given | {"idempotencyKey": "relate"}})).data)
        assert bodies[0] == bodies[1]

    async def test_relation_hides_while_a_task_is_in_the_trash(self, ada: Person, door: Door) -> None:
        task, other = await ada.task(), await ada.task()
        made = await relate(ada, task, other, door=door)
        await ada.delete(f"/tasks/{other['id']}")

        assert await ok(door, "list_relations", ada, task_id=task["id"]) == []
        assert (await run(door, "get_relation", ada, task_id=task["id"], relation_id=made["id"])).code == "NOT_FOUND"
        await ada.post(f"/tasks/{other['id']}/restore")
        assert await ok(door, "list_relations", ada, task_id=task["id"]) == [made]


@on_both_doors
class TestAccess:
    async def test_member_of_both_projects_only(self, ada: Person, bob: Person, database: Database, door: Door) -> None:
        shared, private = await ada.project(), await ada.project()
        await ada.invite(shared, bob)
        open_task, hidden = await ada.task(project_id=shared["id"]), await ada.task(project_id=private["id"])
        body = {"kind": "blocks", "target_id": hidden["id"]}

        async with unchanged(database):
            unseen = await run(door, "create_relation", bob, body, task_id=open_task["id"])
            assert unseen.refusal == ("NOT_FOUND", ["/target_id"])
        await ada.invite(private, bob, "viewer")
        async with unchanged(database):
            seen = await run(door, "create_relation", bob, body, task_id=open_task["id"])
            assert seen.refusal == ("FORBIDDEN", [])
        made = await relate(ada, open_task, hidden, door=door)
        async with unchanged(database):
            refused = await run(door, "delete_relation", bob, task_id=open_task["id"], relation_id=made["id"])
            assert refused.refusal == ("FORBIDDEN", [])

    async def test_relation_to_what_may_not_be_read_is_not_there(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        shared, private = await ada.project(), await ada.project()
        await ada.invite(shared, bob)
        task, hidden = await ada.task(project_id=shared["id"]), await ada.task(project_id=private["id"], title="Secret")
        made = await relate(ada, hidden, task, door=door)

        assert await ok(door, "list_relations", bob, task_id=task["id"]) == []
        place = {"task_id": task["id"], "relation_id": made["id"]}
        assert (await run(door, "get_relation", bob, **place)).refusal == ("NOT_FOUND", [])
        async with unchanged(database):
            assert (await run(door, "delete_relation", bob, **place)).refusal == ("NOT_FOUND", [])
        assert await matching(bob, {"blocked": True}, shared) == []
        assert await matching(bob, {"relations": {"is_empty": True}}, shared) == [task["id"]]
        assert await matching(bob, {"relations": {"any": [hidden["node_id"]]}}, shared) == []
        assert await matching(ada, {"blocked": True}, shared) == [task["id"]]
        nested = await bob.gql(
            "query($id: ID!) { task(id: $id) { relations { totalCount edges { node { id } } } } }",
            {"id": task["node_id"]},
        )
        assert nested.data["task"]["relations"] == {"totalCount": 0, "edges": []}
        assert (await bob.gql("query($id: ID!) { node(id: $id) { id } }", {"id": made["node_id"]})).data["node"] is None
        history = await ok(door, "list_task_history", bob, task_id=task["id"])
        assert [event["kind"] for event in history] == ["task.created"]

    async def test_archived_project_is_read_only(self, ada: Person, database: Database, door: Door) -> None:
        project = await ada.project()
        task, other = await ada.task(project_id=project["id"]), await ada.task()
        made = await relate(ada, task, other, door=door)
        await ada.patch(f"/projects/{project['id']}", {"archived": True})
        async with unchanged(database):
            for near, far in ((task, other), (other, task)):
                body = {"kind": "duplicates", "target_id": far["id"]}
                refused = await run(door, "create_relation", ada, body, task_id=near["id"])
                assert refused.code == "CONFLICT"
            refused = await run(door, "delete_relation", ada, task_id=other["id"], relation_id=made["id"])
            assert refused.code == "CONFLICT"
        assert await ok(door, "list_relations", ada, task_id=other["id"]) == [made]


class TestFilters:
    async def test_conditions_on_relations(self, ada: Person) -> None:
        project = await ada.project()
        a, b, c, d = [await ada.task(project_id=project["id"]) for _ in range(4)]
        await relate(ada, a, b)
        await relate(ada, b, c, "relates_to")
        ids = [task["id"] for task in (a, b, c, d)]

        assert await matching(ada, {"relations": {"is_empty": True}}, project) == [ids[3]]
        assert await matching(ada, {"relations": {"is_empty": False}}, project) == ids[:3]
        assert await matching(ada, {"relations": {"any": [b["node_id"]]}}, project) == [ids[0], ids[2]]
        assert await matching(ada, {"relations": {"none": [b["node_id"]]}}, project) == [ids[1], ids[3]]
        assert await matching(ada, {"blocked": True}, project) == [ids[1]]
        assert await matching(ada, {"not": {"blocked": True}}, project) == [ids[0], ids[2], ids[3]]
        await ada.patch(f"/tasks/{a['id']}", {"status": "completed"})
        assert await matching(ada, {"blocked": True}, project) == []
        await ada.delete(f"/tasks/{b['id']}")
        assert await matching(ada, {"relations": {"is_empty": True}}, project) == [ids[0], ids[2], ids[3]]


class TestPaths:
    async def test_relation_is_only_below_its_tasks(self, ada: Person) -> None:
        task, other, third = [await ada.task() for _ in range(3)]
        made = await relate(ada, task, other)

        assert (await ada.get(f"/tasks/{third['id']}/relations/{made['id']}")).status_code == 404
        assert (await ada.delete(f"/tasks/{third['id']}/relations/{made['id']}")).status_code == 404


class TestReadAlong:
    async def test_relations_of_a_page_are_one_statement(self, ada: Person, statements: StatementCounter) -> None:
        project = await ada.project()
        hub, *others = [await ada.task(project_id=project["id"]) for _ in range(6)]
        for other in others:
            await relate(ada, hub, other)
        counted: dict[int, list[tuple[int, int]]] = {2: [], 6: []}
        listed, answer = await ada.get("/tasks"), await ada.gql("{ me { id } }")
        # twice, for what is loaded together is parted where a busy machine lets others have their turn meanwhile
        for limit in (2, 6, 2, 6):
            statements.reset()
            listed = await ada.get(f"/tasks?project_id={project['id']}&expand=relations&limit={limit}&order=asc")
            rest = statements.count
            document = FIRST_RELATIONS.replace("LIMIT", str(limit))
            statements.reset()
            answer = await ada.gql(document, {"p": project["node_id"]})
            counted[limit].append((rest, statements.count))

        few, many = ([min(times) for times in zip(*counted[limit], strict=True)] for limit in (2, 6))
        assert few == many
        by_id = {task["id"]: task["relations"] for task in listed.json()}
        assert [relation["target_id"] for relation in by_id[hub["id"]]] == [other["id"] for other in others]
        assert all(len(by_id[other["id"]]) == 1 for other in others)
        edges = answer.data["project"]["tasks"]["edges"]
        assert [edge["node"]["relations"]["totalCount"] for edge in edges] == [1, 1, 1, 1, 1, 5]
        assert len(edges[-1]["node"]["relations"]["edges"]) == 2

    @pytest.mark.parametrize("door", ["rest", "graphql"])
    async def test_pages_follow_each_other(self, ada: Person, door: Door) -> None:
        hub = await ada.task()
        made = [(await relate(ada, hub, await ada.task()))["id"] for _ in range(5)]
        found: list[int] = []
        cursor: str | None = None
        while True:
            if door == "rest":
                params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                page = await ada.get(f"/tasks/{hub['id']}/relations", params=params)
                found += [row["id"] for row in page.json()]
                cursor = page.links.get("next", {}).get("url", "").rpartition("cursor=")[2] or None
            else:
                document = RELATION_PAGE
                listed = (await ada.gql(document, {"id": hub["node_id"], "a": cursor})).data["task"]["relations"]
                found += [edge["node"]["databaseId"] for edge in listed["edges"]]
                cursor = listed["pageInfo"]["endCursor"] if listed["pageInfo"]["hasNextPage"] else None
            if cursor is None:
                break
        assert found == made


class TestTogether:
    async def test_two_at_once_do_not_close_a_circle(self, people: People, database: Database) -> None:
        ada = await people()
        for _ in range(5):
            a, b = await ada.task(), await ada.task()

            async def block(task: dict[str, Any], other: dict[str, Any]) -> bool:
                data = RelationCreate(kind=RelationKind.BLOCKS, target_id=other["id"])
                try:
                    async with database.writing() as session:
                        await relations.create(session, ada.actor, task["id"], data)
                except TandemError:
                    return False
                return True

            assert sorted(await asyncio.gather(block(a, b), block(b, a))) == [False, True]
