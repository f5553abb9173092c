"""Webhooks that are told of some tasks alone: what their filters take, and what they are told by them."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from db.driver.database import Database
from db.models import Event, Webhook, WebhookDelivery, WebhookTask
from services.events.catalogue import CATALOGUE, TASKS_CLEARED
from services.events.consumers import catch_up
from services.events.happenings import COLUMNS, Happening
from services.events.numbering import number_all
from services.webhooks import fan_out, filters
from services.webhooks.fan_out import CONSUMER
from services.webhooks.models import OF_TASKS, TOLD
from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.operations import ok, run
from tests.statements import StatementCounter
from tests.test_admin import server

URL = "https://hooks.example.com/tandem"
URGENT = {"priority": {"gte": 4}}


class Told:
    """What webhooks are to be told, in an application that tells them nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, webhook: dict[str, Any]) -> list[tuple[str, bool | None]]:
        """What a webhook is to be told of all that has happened: the kinds, and whether the task matches."""
        await number_all(self._database)
        await catch_up(self._database, CONSUMER)
        rows = select(WebhookDelivery.kind, WebhookDelivery.matches).where(WebhookDelivery.webhook_id == webhook["id"])
        async with self._database.reading() as session:
            return [tuple(row) for row in await session.all(rows.order_by(WebhookDelivery.id))]


@pytest.fixture
def told(database: Database) -> Told:
    return Told(database)


async def hook(person: Person, **fields: Any) -> dict[str, Any]:
    made = await person.post("/webhooks", {"name": "x", "url": URL, **fields})
    assert made.status_code == 201, made.text
    webhook: dict[str, Any] = made.json()
    return webhook


class TestDays:
    async def test_a_day_is_the_owner_s(self, ada: Person, bob: Person, told: Told) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "member")
        assert (await bob.patch("/users/me", {"timezone": "Pacific/Auckland"})).status_code == 200
        # by then the day is over in Auckland, and not in UTC
        filter_ = {"due_at": {"lt": "2026-12-24T12:00:00Z"}}
        hers, his = [await hook(each, filter=filter_, project_id=project["id"]) for each in (ada, bob)]
        await ada.task(project_id=project["id"], due_on="2026-12-24")
        assert (await told.of(hers), await told.of(his)) == ([], [("task.created", True)])


@on_both_doors
class TestBothDoors:
    async def test_a_filter_is_given_changed_and_taken_away(self, ada: Person, door: Door) -> None:
        given = {"or": [URGENT, {"tags": {"any": ["bug"]}}], "status": {"in": ["pending", "in_progress"]}}
        made = await ok(door, "create_webhook", ada, {"name": "x", "url": URL, "filter": given})
        ids = {"webhook_id": made["id"]}
        assert made["filter"] == given

        assert (await ok(door, "update_webhook", ada, {"name": "y"}, **ids))["filter"] == given
        assert (await ok(door, "update_webhook", ada, {"filter": URGENT}, **ids))["filter"] == URGENT
        assert (await ok(door, "update_webhook", ada, {"filter": URGENT}, **ids))["version"] == 3
        assert (await ok(door, "update_webhook", ada, {"filter": None}, **ids))["filter"] is None

    @pytest.mark.one_rule
    @pytest.mark.parametrize(
        ("fields", "pointer", "words"),
        [
            ({"filter": {"due_at": {"lt": "today"}}}, "/filter", "relative to the present"),
            ({"filter": {"not": {"overdue": True}}}, "/filter", "overdue"),
            ({"filter": {"search": "WEB-12"}}, "/filter", "no ref"),
            ({"filter": {"priority": {"gte": "high"}}}, "/filter/priority/gte", ""),
            ({"filter": URGENT, "kinds": ["task.created", "project.updated"]}, "/kinds", "project.updated is of none"),
            ({"filter": URGENT, "kinds": ["member.added"]}, "/kinds", "member.added is of none"),
        ],
    )
    async def test_what_cannot_be_asked_is_refused_by_name(
        self, ada: Person, door: Door, fields: dict[str, Any], pointer: str, words: str
    ) -> None:
        made = await ok(door, "create_webhook", ada, {"name": "x", "url": URL})
        for name, body, ids in (
            ("create_webhook", {"name": "x", "url": URL} | fields, {}),
            ("update_webhook", fields, {"webhook_id": made["id"]}),
        ):
            result = await run(door, name, ada, body, **ids)
            assert result.refusal == ("BAD_USER_INPUT", [pointer]), name
            assert words in str(result.body), name
        assert await ok(door, "list_webhooks", ada) == [made]

    async def test_a_filter_and_kinds_have_to_fit_whichever_is_changed(self, ada: Person, door: Door) -> None:
        made = await ok(door, "create_webhook", ada, {"name": "x", "url": URL, "kinds": ["project.updated"]})
        ids = {"webhook_id": made["id"]}

        assert (await run(door, "update_webhook", ada, {"filter": URGENT}, **ids)).refusal == (
            *("BAD_USER_INPUT", ["/kinds"]),
        )
        changed = await ok(door, "update_webhook", ada, {"filter": URGENT, "kinds": None}, **ids)
        assert (changed["kinds"], changed["filter"]) == (None, URGENT)
        assert (await run(door, "update_webhook", ada, {"kinds": ["tag.created"]}, **ids)).refusal == (
            *("BAD_USER_INPUT", ["/kinds"]),
        )

    async def test_a_filter_that_no_list_could_show_is_too_expensive(self, ada: Person, door: Door) -> None:
        dear = {"or": [{"title": {"contains": f"{number}"}} for number in range(20)]}

        assert (await run(door, "create_webhook", ada, {"name": "x", "url": URL, "filter": dear})).code == (
            "TOO_EXPENSIVE"
        )

    async def test_more_tasks_than_can_be_known_are_refused(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filters, "MAX_MATCHED", 2)
        for _ in range(3):
            await ada.task(priority=5)
        values = {"name": "x", "url": URL}

        assert (await run(door, "create_webhook", ada, values | {"filter": URGENT})).refusal == (
            *("BAD_USER_INPUT", ["/filter"]),
        )
        made = await ok(door, "create_webhook", ada, values | {"filter": {"priority": {"lt": 5}}})
        assert (await run(door, "update_webhook", ada, {"filter": URGENT}, webhook_id=made["id"])).code == (
            "BAD_USER_INPUT"
        )


class TestWhatIsTold:
    async def test_that_a_task_enters_changes_and_leaves_and_nothing_else(self, ada: Person, told: Told) -> None:
        made = await hook(ada, filter=URGENT)
        task, other = await ada.task(priority=2), await ada.task(priority=1)
        assert await told.of(made) == []
        for priority in (5, 4, 1, 2):
            await ada.patch(f"/tasks/{task['id']}", {"priority": priority})
            await ada.patch(f"/tasks/{other['id']}", {"title": f"as low as {priority}"})
            await told.of(made)

        assert await told.of(made) == [("task.updated", True), ("task.updated", True), ("task.updated", False)]

    async def test_that_a_task_leaves_that_matched_before_the_webhook_was_made(self, ada: Person, told: Told) -> None:
        task, low = await ada.task(priority=5), await ada.task(priority=1)
        made = await hook(ada, filter=URGENT)
        await ada.patch(f"/tasks/{task['id']}", {"priority": 1})
        await ada.patch(f"/tasks/{low['id']}", {"priority": 2})
        assert await told.of(made) == [("task.updated", False)]

        # with another filter, others are known
        await ada.patch(f"/webhooks/{made['id']}", {"filter": {"priority": {"eq": 2}}})
        await ada.patch(f"/tasks/{low['id']}", {"priority": 3})
        await ada.patch(f"/tasks/{task['id']}", {"title": "Was urgent"})
        assert await told.of(made) == [("task.updated", False)] * 2

    async def test_what_hangs_on_a_task_goes_by_the_task(self, ada: Person, told: Told) -> None:
        urgent, low = await ada.task(priority=5), await ada.task(priority=1)
        made = await hook(ada, filter=URGENT)
        for task in (urgent, low):
            await ada.comment(task["id"])
        await ada.post(f"/tasks/{low['id']}/relations", {"kind": "blocks", "target_id": urgent["id"]})
        await ada.project()

        # of a relation, each of its tasks has an event
        assert await told.of(made) == [("comment.created", True), ("relation.created", True)]

    async def test_the_trash_a_return_from_it_and_a_move_are_leaving_and_entering(
        self, ada: Person, told: Told
    ) -> None:
        one, two = await ada.project(), await ada.project()
        made = await hook(ada, filter=URGENT, project_id=one["id"])
        task = await ada.task(priority=5, project_id=one["id"])
        found = []
        for path, body in (
            ("DELETE", None),
            (f"/tasks/{task['id']}/restore", {}),
            (f"/tasks/{task['id']}/move", {"project_id": two["id"]}),
        ):
            await told.of(made)
            answer = await (ada.delete(f"/tasks/{task['id']}") if path == "DELETE" else ada.post(path, body))
            assert answer.status_code < 300, answer.text
            found.append((await told.of(made))[-1])

        assert found == [("task.deleted", False), ("task.restored", True), ("task.left", False)]

    async def test_that_all_tasks_are_gone(self, ada: Person, told: Told, database: Database) -> None:
        project = await ada.project()
        made = await hook(ada, filter=URGENT, project_id=project["id"])
        await ada.task(priority=5, project_id=project["id"])
        await told.of(made)
        cleared = await server(ada).delete(f"/admin/clear-tasks?project_id={project['id']}")
        assert cleared.status_code == 200, cleared.text

        assert (await told.of(made))[-1] == (TASKS_CLEARED.name, False)
        async with database.reading() as session:
            assert not await session.all(select(WebhookTask.task_id).where(WebhookTask.webhook_id == made["id"]))

    async def test_a_filter_by_what_the_owner_may_read_no_more_matches_nothing_and_hurts_nobody(
        self, ada: Person, bob: Person, told: Told
    ) -> None:
        project, mine = await bob.project(name="Theirs"), await ada.project()
        await bob.invite(project, ada)
        by_project = await hook(ada, filter={"project": {"eq": project["node_id"]}})
        by_name = await hook(ada, filter={"project": {"name": {"eq": project["name"]}}})
        by_part = await hook(ada, filter={"project": {"name": {"contains": "THEIR"}}})
        by_tag = await hook(ada, filter={"tags": {"any": ["theirs"]}})
        theirs = await hook(bob, filter=URGENT)
        await bob.delete(f"/projects/{project['id']}/members/{ada.id}")
        await bob.task(project_id=project["id"], priority=5, tags=["theirs"])
        await ada.task(project_id=mine["id"])

        for each in (by_project, by_name, by_part, by_tag):
            assert await told.of(each) == []
        assert await told.of(theirs) == [("task.created", True)]

    async def test_parts_of_names_mean_to_each_owner_those_of_his_own_projects(
        self, ada: Person, bob: Person, told: Told
    ) -> None:
        await ada.patch("/users/me", {"full_name": "Ada the First"})
        shared, own = await ada.project(name="Straße"), await ada.project(name="STRASSE 2")
        await ada.invite(shared, bob)
        place = {"project_id": shared["id"]}
        before = await ada.task(**place, assignee_ids=[ada.id])
        by_name = {"project": {"name": {"contains": "strasse"}}, "title": {"contains": "x"}}
        by_person = {"or": [{"assignees": {"full_name": {"starts_with": "ADA"}}}, {"parent": {"title": {"eq": "y"}}}]}
        hooks = [await hook(who, filter=each) for each in (by_name, by_person) for who in (ada, bob)]
        await ada.task(title="x", project_id=own["id"])
        await ada.task(title="x", **place, assignee_ids=[ada.id])
        await ada.patch(f"/tasks/{before['id']}", {"assignee_ids": [bob.id]})

        made, left = ("task.created", True), ("task.updated", False)
        assert [await told.of(each) for each in hooks] == [[made, made], [made], [made, left], [made, left]]

    async def test_a_filter_is_its_owners(self, ada: Person, bob: Person, told: Told) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        of_ada, of_bob = [await hook(who, filter={"assignees": {"me": True}}) for who in (ada, bob)]
        await ada.task(project_id=project["id"], assignee_ids=[bob.id])

        assert (await told.of(of_ada), await told.of(of_bob)) == ([], [("task.created", True)])

    async def test_what_is_not_known_in_time_is_told(
        self, ada: Person, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, other = await hook(ada, filter=URGENT), await hook(ada)
        await ada.task(priority=1)
        monkeypatch.setattr(filters, "ASK_SECONDS", 0.0)

        assert await told.of(made) == [("task.created", None)]
        assert await told.of(other) == [("task.created", None)]

    async def test_a_filter_that_this_release_does_not_understand_is_told_of_all(
        self, ada: Person, told: Told, database: Database
    ) -> None:
        made = await hook(ada, filter=URGENT)
        async with database.writing() as session:
            await session.execute(update(Webhook).where(Webhook.id == made["id"]).values(filter={"colour": "red"}))
        await ada.task()

        assert await told.of(made) == [("task.created", None)]


def test_kinds_are_of_tasks_or_of_something_else() -> None:
    subjects = {CATALOGUE[name].subject for name in OF_TASKS}
    others = {CATALOGUE[name].subject for name in TOLD if name not in OF_TASKS}

    assert subjects == {"task", "comment", "relation", "server"}
    assert others == {"tag", "milestone", "project", "member", "user", "saved_view", "follow", "reminder"}


async def test_filters_of_many_are_asked_together(
    ada: Person, bob: Person, told: Told, statements: StatementCounter
) -> None:
    project = await ada.project()
    await ada.invite(project, bob)
    made = [await hook(who, filter={"priority": {"gte": 1 + n % 5}}) for n in range(20) for who in (ada, bob)]
    made += [await hook(ada, filter={"title": {"contains": "x"}, "tags": {"any": [f"{n}"]}}) for n in range(5)]

    async def statements_for(tasks: int) -> int:
        for _ in range(tasks):
            await ada.task(project_id=project["id"], priority=3)
        await number_all(told._database)
        statements.reset()
        await catch_up(told._database, CONSUMER)
        return statements.count

    few = await statements_for(2)
    assert await statements_for(20) <= few + 6  # rows that are written, in parts
    await catch_up(told._database, CONSUMER)
    assert len(await told.of(made[0])) == 22
    assert await told.of(made[-6]) == []


class TestWhomItConcerns:
    async def test_others_webhooks_are_not_read(self, ada: Person, bob: Person, database: Database) -> None:
        project, other = await ada.project(), await ada.project()
        wanted = [
            await hook(ada),
            await hook(ada, project_id=project["id"]),
            await hook(ada, kinds=["task.created", "task.deleted"]),
        ]
        await hook(ada, project_id=other["id"])
        await hook(ada, kinds=["task.deleted"])
        await hook(bob)
        task = await ada.task(project_id=project["id"])
        await number_all(database)

        assert await found(database, task["id"]) == sorted(each["id"] for each in wanted)

    async def test_it_finds_whoever_may_be_told_by_any_rule(
        self, ada: Person, bob: Person, database: Database, told: Told
    ) -> None:
        """Those who join and leave, and who share a project with an account that changes."""
        project = await ada.project()
        theirs = await hook(bob)
        await ada.invite(project, bob)
        await ada.patch("/users/me", {"full_name": "Ada the First"})
        await told.of(theirs)  # who may be told is asked when it is passed on
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await ada.patch("/users/me", {"full_name": "Ada the Second"})

        kinds = [kind for kind, _ in await told.of(theirs)]
        assert kinds == ["member.added", "user.updated", "member.removed"]


async def found(database: Database, task_id: int) -> Sequence[int]:
    """The ids of the webhooks that are looked at for the events of a task."""
    async with database.reading() as session:
        rows = await session.all(select(*COLUMNS).where(Event.task_id == task_id).order_by(Event.position))
        happenings = [Happening._make(row) for row in rows]
        return [each.id for each in await fan_out.concerned(session, happenings)]
