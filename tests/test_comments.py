"""Comments: members write them, authors change them, authors and admins delete them."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from db.driver.database import Database
from services import comments
from services.comments import CommentUpdate
from tests.actors import Anonymous, Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.stored import kinds, new_events, unchanged

LONG = "☃" * 65_536


def place(comment: dict[str, Any]) -> dict[str, int]:
    return {"task_id": comment["task_id"], "comment_id": comment["id"]}


class TestService:
    async def test_change_and_its_event_are_one_transaction(self, ada: Person, database: Database) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with unchanged(database):
            with suppress(ZeroDivisionError):
                async with database.writing() as session:
                    await comments.update(session, ada.actor, comment["id"], CommentUpdate(body="New"))
                    raise ZeroDivisionError


@on_both_doors
class TestBothDoors:
    @pytest.mark.parametrize("body", ["Looks good to me.", LONG, " two\n\nlines ", "<b>&amp;</b>"])
    async def test_comment_is_kept_to_the_letter(self, ada: Person, door: Door, database: Database, body: str) -> None:
        task = await ada.task()
        async with new_events(database) as events:
            comment = await ok(door, "create_comment", ada, {"body": body}, task_id=task["id"])

        expected = {"body": body, "task_id": task["id"], "author_id": ada.id, "version": 1, "edited_at": None}
        assert comment == comment | expected
        assert await ok(door, "get_comment", ada, **place(comment)) == comment
        assert [(event.kind, event.entity_id, event.task_id, event.changes) for event in events] == [
            ("comment.created", comment["id"], task["id"], {"body": [None, body]})
        ]
        # a comment is no change of the task
        assert (await ok(door, "get_task", ada, task_id=task["id"]))["version"] == 1

    async def test_changed_comment_says_when(self, ada: Person, door: Door, database: Database) -> None:
        comment = await ada.comment((await ada.task())["id"], "Before")
        async with new_events(database) as events:
            after = await ok(door, "update_comment", ada, {"body": "After"}, **place(comment))

        assert after == comment | {"body": "After", "version": 2, "edited_at": after["edited_at"]}
        assert after["edited_at"] > comment["created_at"]
        assert [(event.kind, event.entity_version, event.changes) for event in events] == [
            ("comment.updated", 2, {"body": ["Before", "After"]})
        ]

    async def test_same_text_again_writes_nothing(self, ada: Person, door: Door, database: Database) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with unchanged(database):
            assert await ok(door, "update_comment", ada, {"body": comment["body"]}, **place(comment)) == comment

    async def test_deleted_comment_is_gone_but_for_the_history(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        task = await ada.task()
        comment, other = await ada.comment(task["id"], "Gone"), await ada.comment(task["id"])
        async with new_events(database) as events:
            await ok(door, "delete_comment", ada, **place(comment))

        assert await ok(door, "list_comments", ada, task_id=task["id"]) == [other]
        assert [(event.kind, event.changes) for event in events] == [("comment.deleted", {"body": ["Gone", None]})]
        async with unchanged(database):
            answers = [
                await run(door, "get_comment", ada, **place(comment)),
                await run(door, "update_comment", ada, {"body": "x"}, **place(comment)),
                await run(door, "delete_comment", ada, **place(comment)),
            ]
        assert [answer.refusal for answer in answers] == [("NOT_FOUND", [])] * 3

    @pytest.mark.parametrize("value", ["", LONG + "x", "\x00", None])
    async def test_text_outside_the_rules_is_refused(
        self, ada: Person, door: Door, database: Database, value: str | None
    ) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_comment", ada, {"body": value}, task_id=comment["task_id"]),
                await run(door, "update_comment", ada, {"body": value}, **place(comment)),
            ]

        assert [answer.refusal for answer in answers] == [("BAD_USER_INPUT", ["/body"])] * 2

    async def test_author_and_task_are_not_chosen(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        task = await ada.task()
        for name in ("author_id", "created_at", "edited_at", "version"):
            async with unchanged(database):
                refused = await run(door, "create_comment", ada, {"body": "x", name: bob.id}, task_id=task["id"])
            assert refused.refusal == ("BAD_USER_INPUT", [f"/{name}"])

    @pytest.mark.parametrize("role", ["viewer", "member", "admin", "owner"])
    async def test_others_comments_are_nobodys_to_change_and_admins_to_delete(
        self, ada: Person, bob: Person, door: Door, database: Database, role: str
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, role)
        comment = await ada.comment((await ada.task(project_id=project["id"]))["id"])
        async with unchanged(database):
            refused = await run(door, "update_comment", bob, {"body": "Not mine"}, **place(comment))
        assert refused.refusal == ("FORBIDDEN", [])

        if role in {"admin", "owner"}:
            await ok(door, "delete_comment", bob, **place(comment))
        else:
            async with unchanged(database):
                assert (await run(door, "delete_comment", bob, **place(comment))).refusal == ("FORBIDDEN", [])

    async def test_viewer_does_not_write_not_even_its_own_old_comments(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "member")
        comment = await bob.comment((await ada.task(project_id=project["id"]))["id"])
        await ada.patch(f"/projects/{project['id']}/members/{bob.id}", {"role": "viewer"})
        async with unchanged(database):
            answers = [
                await run(door, "create_comment", bob, {"body": "x"}, task_id=comment["task_id"]),
                await run(door, "update_comment", bob, {"body": "x"}, **place(comment)),
                await run(door, "delete_comment", bob, **place(comment)),
            ]

        assert [answer.refusal for answer in answers] == [("FORBIDDEN", [])] * 3
        assert await ok(door, "get_comment", bob, **place(comment)) == comment

    async def test_version_that_is_not_current_writes_nothing(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with unchanged(database):
            answers = [
                await run(door, "update_comment", ada, {"body": "x"}, **place(comment), expected=2),
                await run(door, "delete_comment", ada, **place(comment), expected=2),
            ]

        assert [answer.refusal for answer in answers] == [("VERSION_CONFLICT", [])] * 2
        await ok(door, "update_comment", ada, {"body": "x"}, **place(comment), expected=1)
        await ok(door, "delete_comment", ada, **place(comment), expected=2)

    async def test_who_may_not_change_it_is_not_told_the_version(
        self, ada: Person, bob: Person, door: Door, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "member")
        comment = await ada.comment((await ada.task(project_id=project["id"]))["id"])
        async with unchanged(database):
            answers = [
                await run(door, "update_comment", bob, {"body": "x"}, **place(comment), expected=2),
                await run(door, "delete_comment", bob, **place(comment), expected=2),
            ]

        assert [answer.refusal for answer in answers] == [("FORBIDDEN", [])] * 2

    async def test_one_of_many_writers_with_the_same_version_wins(
        self, ada: Person, door: Door, database: Database
    ) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with new_events(database) as events:
            answers = await asyncio.gather(
                *(run(door, "update_comment", ada, {"body": f"{n}"}, **place(comment), expected=1) for n in range(6))
            )

        assert sorted(str(answer.code) for answer in answers) == ["None", *["VERSION_CONFLICT"] * 5]
        [winner] = [answer.body for answer in answers if answer.code is None]
        assert await ok(door, "get_comment", ada, **place(comment)) == winner
        assert kinds(events) == ["comment.updated"]

    async def test_anonymous_caller_is_asked_to_log_in(
        self, ada: Person, anonymous: Anonymous, door: Door, database: Database
    ) -> None:
        comment = await ada.comment((await ada.task())["id"])
        async with unchanged(database):
            answers = [
                await run(door, "create_comment", anonymous, {"body": "x"}, task_id=comment["task_id"]),
                await run(door, "update_comment", anonymous, {"body": "x"}, **place(comment)),
                await run(door, "delete_comment", anonymous, **place(comment)),
            ]

        assert [answer.code for answer in answers] == ["UNAUTHENTICATED"] * 3


class TestRest:
    async def test_comment_lives_under_its_task(self, ada: Person, database: Database) -> None:
        task, other = await ada.task(), await ada.task()
        made = await ada.post(f"/tasks/{task['id']}/comments", {"body": "x"})
        path = f"/tasks/{task['id']}/comments/{made.json()['id']}"
        elsewhere = f"/tasks/{other['id']}/comments/{made.json()['id']}"

        assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"/api/v1{path}", '"1"')
        async with unchanged(database):
            answers = [await ada.get(elsewhere), await ada.put(elsewhere, {"body": "y"}), await ada.delete(elsewhere)]
        assert [answer.status_code for answer in answers] == [404] * 3
        changed = await ada.put(path, {"body": "y"})
        assert (changed.json()["body"], changed.headers["etag"]) == ("y", '"2"')
        assert (await ada.get(path, headers={"If-None-Match": '"2"'})).status_code == 304
        stale = await ada.put(path, {"body": "z"}, headers={"If-Match": '"1"'})
        assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
        assert (await ada.delete(path)).status_code == 204

    async def test_comments_are_listed_oldest_first_in_pages(self, ada: Person) -> None:
        task = await ada.task()
        made = [await ada.comment(task["id"], f"{n}") for n in range(5)]
        path = f"/tasks/{task['id']}/comments"
        first = await ada.get(f"{path}?limit=3")
        following = first.headers["link"].partition('>; rel="next"')[0].rpartition("<")[2]

        assert first.json() == made[:3]
        assert (await ada.client.get(following, headers=ada.headers)).json() == made[3:]
        assert (await ada.get(f"{path}?skip=4")).json() == made[4:]


class TestGraphQL:
    async def test_comments_lead_to_author_and_task(self, ada: Person, bob: Person, people: People) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"])
        made = [await person.comment(task["id"], f"By {person.id}") for person in (ada, bob, ada)]
        query = (
            "query($id: ID!, $after: String) { task(id: $id) { commentCount comments(first: 2, after: $after) "
            "{ totalCount pageInfo { hasNextPage endCursor } "
            "edges { node { body author { databaseId } task { ref } } } } } }"
        )
        first = (await ada.gql(query, {"id": task["node_id"]})).data["task"]
        variables = {"id": task["node_id"], "after": first["comments"]["pageInfo"]["endCursor"]}
        rest = (await ada.gql(query, variables)).data["task"]

        assert first["commentCount"] == first["comments"]["totalCount"] == 3
        nodes = [edge["node"] for edge in (*first["comments"]["edges"], *rest["comments"]["edges"])]
        assert nodes == [
            {"body": comment["body"], "author": {"databaseId": comment["author_id"]}, "task": {"ref": task["ref"]}}
            for comment in made
        ]
        assert rest["comments"]["pageInfo"]["hasNextPage"] is False
