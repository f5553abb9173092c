"""What somebody does not want to be told of: kinds and projects, on both doors."""

from typing import Any

from db.driver.database import Database
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.shared.node_ids import encode
from tests.actors import Person
from tests.doors import Call, Door, another_instance, bearer, calling, on_both_doors

GET = Call(
    "GET /notifications/preferences",
    "{ result: notificationPreferences { mutedKinds mutedProjectIds version } }",
)
UPDATE = Call(
    "PATCH /notifications/preferences",
    """mutation($input: UpdateNotificationPreferencesInput!) { result: updateNotificationPreferences(input: $input) {
        notificationPreferences { mutedKinds mutedProjectIds version } } }""",
)


def spelled(door: Door, kinds: list[str], projects: list[int]) -> tuple[list[Any], list[Any]]:
    """Kinds and projects as a door has them."""
    if door == "rest":
        return kinds, projects
    return [kind.upper() for kind in kinds], [encode("Project", project) for project in projects]


async def mute(door: Door, person: Person, kinds: list[str], projects: list[int]) -> Any:
    muted_kinds, muted_project_ids = spelled(door, kinds, projects)
    return await UPDATE.on(door, person, {"muted_kinds": muted_kinds, "muted_project_ids": muted_project_ids})


async def told(person: Person, database: Database) -> list[str]:
    await number_all(database)
    await catch_up(database, CONSUMER)
    return [item["kind"] for item in reversed((await person.get("/notifications")).json())]


@on_both_doors
class TestBothDoors:
    async def test_what_is_muted_is_not_told_from_then_on(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        loud, quiet = [await ada.project() for _ in range(2)]
        for project in (loud, quiet):
            await ada.invite(project, bob)
        assert await told(bob, database) == ["added", "added"]
        assert (await mute(door, bob, ["mentioned", "status_changed"], [quiet["id"]])).code is None
        # for the next reason, where the first one is muted
        fields = {"assignee_ids": [bob.id], "description": f"Ask @{bob.username}"}
        tasks = [await ada.task(project_id=project["id"], **fields) for project in (loud, quiet)]
        for task in tasks:
            await ada.patch(f"/tasks/{task['id']}", {"status": "in_progress"})
        assert await told(bob, database) == ["added", "added", "assigned"]

        assert (await mute(door, bob, [], [])).code is None
        await ada.patch(f"/tasks/{tasks[1]['id']}", {"status": "completed"})
        assert await told(bob, database) == ["added", "added", "assigned", "status_changed"]

    async def test_it_is_read_and_changed_in_part_by_its_version(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        assert (await GET.on(door, ada)).body["version"] == 1
        await mute(door, ada, ["removed", "added", "added"], [project["id"]])
        kinds, projects = spelled(door, ["added", "removed"], [project["id"]])
        read = (await GET.on(door, ada)).body
        assert [read["muted_kinds"], read["muted_project_ids"], read["version"]] == [kinds, projects, 2]
        assert (await UPDATE.on(door, ada, {"muted_kinds": []})).code is None
        read = (await GET.on(door, ada)).body
        assert [read["muted_kinds"], read["muted_project_ids"], read["version"]] == [[], projects, 3]

    async def test_what_does_not_hold_is_refused(self, ada: Person, bob: Person, door: Door) -> None:
        hers = await ada.project()
        assert (await mute(door, bob, [], [hers["id"]])).code == "NOT_FOUND"
        assert (await UPDATE.on(door, bob, {"muted_kinds": ["everything"]})).code == "BAD_USER_INPUT"
        assert (await GET.on(door, bob)).body["version"] == 1

    async def test_what_a_server_does_not_send_is_refused(self, ada: Person, database: Database, door: Door) -> None:
        async with another_instance(database, mailer="off") as app, calling(app) as stranger:
            there = bearer(stranger, ada.access_token)
            daily, kind = ("daily", "assigned") if door == "rest" else ("DAILY", "ASSIGNED")
            for wanted, pointer in (({"digest": daily}, "/digest"), ({"mailed_kinds": [kind]}, "/mailed_kinds")):
                refused = await UPDATE.on(door, there, wanted)
                assert (refused.code, refused.pointers) == ("BAD_USER_INPUT", [pointer])
                assert "sends no mail" in refused.message
            off: dict[str, Any] = {"mailed_kinds": [], "digest": "off" if door == "rest" else "OFF"}
            assert (await UPDATE.on(door, there, off)).code is None


async def test_a_version_that_is_not_the_last_is_refused(ada: Person) -> None:
    path, headers = "/notifications/preferences", {"If-Match": '"1"'}
    assert (await ada.rest("PATCH", path, json={"muted_kinds": ["added"]}, headers=headers)).status_code == 200
    assert (await ada.rest("PATCH", path, json={"muted_kinds": []}, headers=headers)).status_code == 412
    tag = (await ada.get(path)).headers["etag"]
    assert (await ada.get(path, headers={"If-None-Match": tag})).status_code == 304
