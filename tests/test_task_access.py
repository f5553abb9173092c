"""Who may read and write tasks: the same on both doors, and nothing is written where the answer is no."""

from typing import Any

import pytest

from db.driver.database import Database
from services.shared.node_ids import encode
from tests.actors import Anonymous, Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import unchanged

ROLES = ("viewer", "member", "admin", "owner")


class Shared:
    """A project of one person with a task, a deleted task, a comment and a tag, and every call on them."""

    def __init__(self, door: Door, project: Any, task: Any, trashed: Any, comment: Any) -> None:
        self._door, self.project, self.task, self.trashed, self.comment = door, project, task, trashed, comment

    @classmethod
    async def make(cls, door: Door, ada: Person) -> "Shared":
        project = await ada.project()
        task = await ada.task(project_id=project["id"], tags=["bug"])
        trashed = await ada.task(project_id=project["id"])
        await ada.delete(f"/tasks/{trashed['id']}")
        return cls(door, project, task, trashed, await ada.comment(task["id"]))

    async def read(self, caller: Anonymous) -> list[Any]:
        """The codes of every way to read."""
        task_id = self.task["id"]
        answers = [
            await run(self._door, "get_task", caller, task_id=task_id),
            await run(self._door, "get_project", caller, project_id=self.project["id"]),
            await run(self._door, "list_members", caller, project_id=self.project["id"]),
            await run(self._door, "list_tags", caller, project_id=self.project["id"]),
            await run(self._door, "list_comments", caller, task_id=task_id),
            await run(self._door, "get_comment", caller, task_id=task_id, comment_id=self.comment["id"]),
            await run(self._door, "list_task_history", caller, task_id=task_id),
        ]
        return [answer.code for answer in answers]

    async def write(self, caller: Anonymous) -> list[Any]:
        """The codes of every way to write a task."""
        task_id = self.task["id"]
        answers = [
            await run(self._door, "create_task", caller, {"title": "x", "project_id": self.project["id"]}),
            await run(self._door, "update_task", caller, {"title": "New"}, task_id=task_id),
            await run(self._door, "create_comment", caller, {"body": "x"}, task_id=task_id),
            await run(self._door, "create_tag", caller, {"name": "new"}, project_id=self.project["id"]),
            await run(self._door, "delete_task", caller, task_id=task_id),
            await run(self._door, "restore_task", caller, task_id=self.trashed["id"]),
        ]
        return [answer.code for answer in answers]


@on_both_doors
class TestBothDoors:
    async def test_outsider_finds_nothing(self, ada: Person, bob: Person, door: Door, database: Database) -> None:
        shared = await Shared.make(door, ada)
        async with unchanged(database):
            assert set(await shared.read(bob)) == set(await shared.write(bob)) == {"NOT_FOUND"}

    @pytest.mark.parametrize("role", ROLES)
    async def test_members_read_and_all_but_viewers_write(
        self, ada: Person, bob: Person, door: Door, database: Database, role: str
    ) -> None:
        shared = await Shared.make(door, ada)
        await ada.invite(shared.project, bob, role)

        assert set(await shared.read(bob)) == {None}
        if role == "viewer":
            async with unchanged(database):
                assert set(await shared.write(bob)) == {"FORBIDDEN"}
        else:
            assert set(await shared.write(bob)) == {None}

    async def test_who_was_removed_finds_nothing_any_more(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        shared = await Shared.make(door, ada)
        await ada.invite(shared.project, bob)
        await ada.delete(f"/projects/{shared.project['id']}/members/{bob.id}")
        async with unchanged(database):
            assert set(await shared.read(bob)) == set(await shared.write(bob)) == {"NOT_FOUND"}

    async def test_archived_project_is_read_only(self, ada: Person, door: Door, database: Database) -> None:
        shared = await Shared.make(door, ada)
        await ok(door, "update_project", ada, {"archived": True}, project_id=shared.project["id"])

        assert set(await shared.read(ada)) == {None}
        async with unchanged(database):
            assert set(await shared.write(ada)) == {"CONFLICT"}
        await ok(door, "update_project", ada, {"archived": False}, project_id=shared.project["id"])
        assert set(await shared.write(ada)) == {None}

    async def test_anonymous_caller_is_asked_to_log_in(
        self, ada: Person, anonymous: Anonymous, door: Door, database: Database
    ) -> None:
        shared = await Shared.make(door, ada)
        async with unchanged(database):
            assert set(await shared.read(anonymous)) == set(await shared.write(anonymous)) == {"UNAUTHENTICATED"}
            refused = await run(door, "create_task", anonymous, {"title": "x"})
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")

    @pytest.mark.parametrize("credentials", [{"Authorization": "Bearer nonsense"}, {"X-API-Key": "nonsense"}])
    async def test_bad_credentials_come_before_a_bad_body(
        self, anonymous: Anonymous, door: Door, database: Database, credentials: dict[str, str]
    ) -> None:
        anonymous.headers |= credentials
        async with unchanged(database):
            refused = await run(door, "create_task", anonymous, {"title": ""})

        assert refused.refusal == ("UNAUTHENTICATED" if "Authorization" in credentials else "FORBIDDEN", [])

    @pytest.mark.parametrize(
        ("scope", "writes"), [("tasks:read", "FORBIDDEN"), ("tasks:write", None), ("projects:admin", "FORBIDDEN")]
    )
    async def test_key_does_what_its_scope_says(
        self, ada: Person, door: Door, database: Database, scope: str, writes: str | None
    ) -> None:
        shared = await Shared.make(door, ada)
        key = await ada.api_key(scope)

        assert set(await shared.read(key)) == {None}
        if writes:
            async with unchanged(database):
                assert set(await shared.write(key)) == {writes}
        else:
            assert set(await shared.write(key)) == {None}

    async def test_key_is_no_way_round_its_owners_role(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        shared = await Shared.make(door, ada)
        await ada.invite(shared.project, bob, "viewer")
        key = await bob.api_key("tasks:write")
        async with unchanged(database):
            assert set(await shared.write(key)) == {"FORBIDDEN"}

    async def test_lists_hold_only_what_may_be_read(self, ada: Person, bob: Person, door: Door) -> None:
        shared = await Shared.make(door, ada)
        mine = await bob.task(title="Mine", tags=["bug"])
        if door == "rest":
            answers = [await bob.get("/tasks?total=true"), await bob.get("/tasks?tag=bug&total=true")]
            seen = [([task["id"] for task in answer.json()], answer.headers["x-total-count"]) for answer in answers]
            assert (await bob.get(f"/tasks?project_id={shared.project['id']}")).json() == []
            assert (await bob.get(f"/tasks?assignee={ada.id}")).json() == []
        else:
            fields = "{ totalCount edges { node { databaseId } } }"
            data = (
                await bob.gql(f'{{ all: tasks {fields} bugs: tasks(filter: {{tags: {{any: ["bug"]}}}}) {fields} }}')
            ).data
            seen = [
                ([edge["node"]["databaseId"] for edge in data[name]["edges"]], str(data[name]["totalCount"]))
                for name in ("all", "bugs")
            ]

        assert seen == [([mine["id"]], "1")] * 2


NO_REFS = [
    *("INBOX-99", "INBOX-0", "INBOX-01", "INBOX", "INBOX-", "-1", "1", "INBOX-9999999999", "INBOX-1 "),
    "\u0131nbox-1",  # whose upper case is INBOX-1
]


class TestByRef:
    @on_both_doors
    async def test_ref_is_found_in_any_case(self, ada: Person, door: Door) -> None:
        project = await ada.project(name="Website")
        task = await ada.task(project_id=project["id"])
        for ref in (task["ref"], task["ref"].lower(), task["ref"].title()):
            assert await by_ref(door, ada, ref) == task["id"]

    @on_both_doors
    async def test_inbox_of_a_ref_is_ones_own(self, ada: Person, bob: Person, door: Door) -> None:
        mine, theirs = await ada.task(), await bob.task()

        assert mine["ref"] == theirs["ref"] == "INBOX-1"
        assert (await by_ref(door, ada, "INBOX-1"), await by_ref(door, bob, "INBOX-1")) == (mine["id"], theirs["id"])

    @on_both_doors
    async def test_what_is_no_ref_is_not_found(self, ada: Person, door: Door) -> None:
        await ada.task()
        for ref in NO_REFS:
            assert await by_ref(door, ada, ref) is None, ref

    @on_both_doors
    async def test_foreign_and_trashed_tasks_are_not_found(self, ada: Person, bob: Person, door: Door) -> None:
        foreign = await ada.task(project_id=(await ada.project())["id"])
        trashed = await bob.task()
        await bob.delete(f"/tasks/{trashed['id']}")

        assert await by_ref(door, bob, foreign["ref"]) is None
        assert await by_ref(door, bob, trashed["ref"]) is None


async def by_ref(door: Door, caller: Person, ref: str) -> int | None:
    """The id of the task with the ref; None where there is none."""
    if door == "rest":
        answer = await caller.get(f"/tasks/by-ref/{ref}")
        assert answer.status_code in {200, 404}
        found_id: int | None = answer.json().get("id")
        return found_id
    found = (await caller.gql("query($ref: String!) { taskByRef(ref: $ref) { databaseId } }", {"ref": ref})).data
    return found["taskByRef"] and int(found["taskByRef"]["databaseId"])


class TestNodes:
    async def test_clients_change_doors_with_the_ids_they_have(self, ada: Person) -> None:
        task = await ada.task(tags=["bug"], assignee_ids=[ada.id])
        comment = await ada.comment(task["id"])
        project = (await ada.get(f"/projects/{task['project_id']}")).json()
        [tag] = (await ada.get(f"/projects/{project['id']}/tags")).json()
        [member] = (await ada.get(f"/projects/{project['id']}/members")).json()
        event = (await ada.get(f"/tasks/{task['id']}/history")).json()[0]
        things = {"Task": task, "Comment": comment, "Project": project, "Tag": tag, "Member": member, "Event": event}
        spread = " ".join(f"... on {name} {{ databaseId }}" for name in things)
        for name, thing in things.items():
            answer = await ada.gql(
                f"query($id: ID!) {{ node(id: $id) {{ __typename id {spread} }} }}", {"id": thing["node_id"]}
            )
            assert answer.data["node"] == {"__typename": name, "id": thing["node_id"], "databaseId": thing["id"]}

    async def test_foreign_missing_and_trashed_things_are_null(self, ada: Person, bob: Person) -> None:
        task = await ada.task(tags=["bug"])
        comment, trashed = await ada.comment(task["id"]), await bob.task()
        await bob.delete(f"/tasks/{trashed['id']}")
        [tag] = (await ada.get(f"/projects/{task['project_id']}/tags")).json()
        event = (await ada.get(f"/tasks/{task['id']}/history")).json()[0]
        ids = [
            *(thing["node_id"] for thing in (task, comment, tag, event, trashed)),
            encode("Project", task["project_id"]),
            encode("User", ada.id),
            encode("Task", 2**31 - 1),
        ]
        answer = await bob.gql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})
        assert answer.data["nodes"] == [None] * len(ids)
        for node_id in ids:
            assert (await bob.gql("query($id: ID!) { node(id: $id) { id } }", {"id": node_id})).data == {"node": None}

    async def test_nodes_answer_in_the_order_asked(self, ada: Person, bob: Person) -> None:
        tasks = [await ada.task() for _ in range(3)]
        foreign = await bob.task()
        ids = [tasks[2]["node_id"], foreign["node_id"], ada.node_id, tasks[0]["node_id"], tasks[2]["node_id"]]
        answer = await ada.gql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})

        assert [node and node["id"] for node in answer.data["nodes"]] == [ids[0], None, *ids[2:]]

    async def test_at_most_a_hundred_at_once(self, ada: Person) -> None:
        ids = [encode("Task", number) for number in range(1, 102)]
        answer = await ada.gql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})

        assert (answer.code, answer.pointers) == ("BAD_USER_INPUT", ["/ids"])

    @pytest.mark.parametrize("node_id", ["", "abc", "VGFzazox=", encode("Nothing", 1), encode("Task", 0)])
    async def test_what_is_no_global_id_is_refused(self, ada: Person, node_id: str) -> None:
        one = await ada.gql("query($id: ID!) { node(id: $id) { id } }", {"id": node_id})
        several = await ada.gql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [ada.node_id, node_id]})

        assert (one.code, one.pointers, one.body["data"]) == ("BAD_USER_INPUT", ["/id"], {"node": None})
        assert (several.code, several.pointers) == ("BAD_USER_INPUT", ["/ids/1"])

    async def test_nested_fields_reveal_nothing_of_other_projects(self, ada: Person, bob: Person) -> None:
        shared, secret = await ada.project(), await ada.project(name="Secret")
        await ada.invite(shared, bob, "viewer")
        task = await ada.task(project_id=shared["id"], assignee_ids=[bob.id])
        await ada.task(project_id=secret["id"], assignee_ids=[ada.id])
        answer = await bob.gql(
            "query($id: ID!) { task(id: $id) { createdBy { username email } project { name members { edges { node "
            "{ user { username email } } } } tasks { totalCount } } } projects { edges { node { name } } } }",
            {"id": task["node_id"]},
        )

        assert answer.data["task"]["createdBy"] == {"username": ada.username, "email": None}
        members = [edge["node"]["user"] for edge in answer.data["task"]["project"]["members"]["edges"]]
        assert members == [{"username": ada.username, "email": None}, {"username": bob.username, "email": bob.email}]
        assert answer.data["task"]["project"]["tasks"] == {"totalCount": 1}
        assert [edge["node"]["name"] for edge in answer.data["projects"]["edges"]] == ["Inbox", "Website"]
