"""Webhooks as their owners see them: on both doors, and what they are told."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from db.driver.database import Database
from db.models import IdempotencyKey, Job, User, Webhook, WebhookDelivery
from services.jobs.queue import SCHEDULED
from services.shared.node_ids import encode
from services.webhooks import sending
from services.webhooks.commands import create
from services.webhooks.delivering import DELAYS as REAL_DELAYS
from services.webhooks.models import MAX_PAYLOAD, MAX_WEBHOOKS, WebhookCreate
from tests.actors import PASSWORD, Person
from tests.conftest import People
from tests.databases import on_postgresql
from tests.doors import Door, on_both_doors
from tests.hooks import HANG, Hooks, hooks_on
from tests.operations import ok, run
from tests.waiting import until

URL = "https://hooks.example.com/tandem"


@pytest.fixture
async def hooks(backend: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks_on(backend, tmp_path) as made:
        yield made


def signed(secret: str, message: Any) -> bool:
    """Whether a message bears a signature by a secret, as Standard Webhooks has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = message.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message.body
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split(" ")


@on_postgresql
async def test_workers_of_other_processes_are_told_that_there_is_somebody_to_tell(
    ada: Person, database: Database
) -> None:
    other, heard = Database(database.url.render_as_string(hide_password=False)), asyncio.Event()
    other.listen(SCHEDULED, heard.set)
    try:
        async with other.hearing(SCHEDULED), asyncio.timeout(10):
            await heard.wait()  # as soon as it hears
            heard.clear()
            assert (await ada.post("/webhooks", {"name": "CI", "url": URL})).status_code == 201
            await heard.wait()
    finally:
        await other.dispose()


async def test_a_repeat_shows_the_secret_again_by_either_door_and_it_is_kept_nowhere(
    ada: Person, database: Database
) -> None:
    values = {"name": "CI", "url": URL}
    made = await ada.post("/webhooks", values, headers={"Idempotency-Key": "make-it"})
    path = f"/webhooks/{made.json()['id']}/rotate"
    rotated = await ada.post(path, {"grace_seconds": 0}, headers={"Idempotency-Key": "another"})
    secrets = [made.json()["secret"], rotated.json()["secret"]]
    ids = {"id": encode("Webhook", made.json()["id"])}

    again = await ada.post("/webhooks", values, headers={"Idempotency-Key": "make-it"})
    assert (again.status_code, again.json()) == (201, made.json())
    assert again.headers["Location"] == made.headers["Location"]
    document = "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { secret webhook { id } } }"
    create = (await ada.gql(document, {"input": values | {"idempotencyKey": "make-it"}})).data["createWebhook"]
    assert create == {"secret": secrets[0], "webhook": ids}
    document = "mutation($input: RotateWebhookSecretInput!) { rotateWebhookSecret(input: $input) { secret } }"
    given = {"input": ids | {"graceSeconds": 0, "idempotencyKey": "another"}}
    assert (await ada.gql(document, given)).data["rotateWebhookSecret"] == {"secret": secrets[1]}

    assert len((await ada.get("/webhooks")).json()) == 1
    assert len({*secrets}) == 2
    async with database.reading() as session:
        mine = select(IdempotencyKey.answer).where(IdempotencyKey.caller == ada.actor.identity)
        kept = await session.scalars(mine)
    assert len(kept) == 2
    assert not [answer for answer in kept if any(secret[6:] in (answer or "") for secret in secrets)]


@on_both_doors
class TestBothDoors:
    async def test_a_webhook_is_made_changed_paused_resumed_and_deleted(self, ada: Person, door: Door) -> None:
        project = await ada.project()
        made = await ok(door, "create_webhook", ada, {"name": "CI", "url": URL, "project_id": project["id"]})
        ids = {"webhook_id": made["id"]}
        assert (made["state"], made["content"], made["kinds"], made["version"]) == ("active", "thin", None, 1)

        changed = await ok(door, "update_webhook", ada, {"kinds": ["task.created"], "name": "Build"}, **ids)
        assert (changed["kinds"], changed["name"], changed["url"]) == (["task.created"], "Build", URL)
        assert (await ok(door, "pause_webhook", ada, **ids))["state"] == "paused"
        again = await ok(door, "pause_webhook", ada, **ids)
        assert (again["state"], again["version"]) == ("paused", 3)
        assert (await ok(door, "resume_webhook", ada, **ids))["state"] == "active"
        assert await ok(door, "get_webhook", ada, **ids) == (await ok(door, "list_webhooks", ada))[0]
        await ok(door, "delete_webhook", ada, **ids)
        assert (await run(door, "get_webhook", ada, **ids)).code == "NOT_FOUND"

    async def test_a_stale_version_changes_nothing(self, ada: Person, door: Door) -> None:
        made = await ok(door, "create_webhook", ada, {"name": "CI", "url": URL})
        ids = {"webhook_id": made["id"]}
        await ok(door, "update_webhook", ada, {"name": "One"}, expected=1, **ids)

        assert (await run(door, "update_webhook", ada, {"name": "Two"}, expected=1, **ids)).code == "VERSION_CONFLICT"
        assert (await ok(door, "get_webhook", ada, **ids))["name"] == "One"

    @pytest.mark.parametrize(
        ("fields", "pointer"),
        [
            ({"url": "http://127.0.0.1/"}, "/url"),
            ({"url": "http://169.254.169.254/latest"}, "/url"),
            ({"url": "ftp://example.com/"}, "/url"),
            ({"url": "x" * 20_000}, "/url"),
            ({"name": ""}, "/name"),
            ({"kinds": []}, "/kinds"),
            ({"kinds": ["task.created", "session.created"]}, "/kinds/1"),
            ({"kinds": ["no.kind"]}, "/kinds/0"),
            ({"project_id": 999_999_999}, "/project_id"),
        ],
    )
    async def test_what_does_not_hold_is_refused_where_it_is(
        self, ada: Person, door: Door, fields: dict[str, Any], pointer: str
    ) -> None:
        result = await run(door, "create_webhook", ada, {"name": "CI", "url": URL} | fields)

        assert result.refusal == ("NOT_FOUND" if pointer == "/project_id" else "BAD_USER_INPUT", [pointer])
        assert await ok(door, "list_webhooks", ada) == []

    async def test_another_address_is_checked_as_the_first(self, ada: Person, door: Door) -> None:
        made = await ok(door, "create_webhook", ada, {"name": "CI", "url": URL})

        refused = await run(door, "update_webhook", ada, {"url": "http://[::1]/"}, webhook_id=made["id"])
        assert refused.refusal == ("BAD_USER_INPUT", ["/url"])

    async def test_a_project_of_others_is_not_there(self, ada: Person, bob: Person, door: Door) -> None:
        project = await bob.project()

        result = await run(door, "create_webhook", ada, {"name": "x", "url": URL, "project_id": project["id"]})
        assert result.refusal == ("NOT_FOUND", ["/project_id"])

    async def test_redelivery_refuses_a_choice_that_is_none(self, ada: Person, bob: Person, door: Door) -> None:
        made, other = [await ok(door, "create_webhook", who, {"name": "x", "url": URL}) for who in (ada, bob)]
        theirs = await ok(door, "test_webhook", bob, webhook_id=other["id"])
        choices: list[tuple[dict[str, Any], tuple[str, list[str]]]] = [
            ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, ("BAD_USER_INPUT", ["/until"])),
            ({"delivery_ids": [theirs["id"]], "state": "failed"}, ("BAD_USER_INPUT", ["/delivery_ids"])),
            ({"delivery_ids": [theirs["id"]]}, ("NOT_FOUND", ["/delivery_ids"])),
        ]
        for body, refusal in choices:
            if door == "graphql" and "delivery_ids" in body:
                body["delivery_ids"] = [theirs["node_id"]]
            assert (await run(door, "redeliver_webhook", ada, body, webhook_id=made["id"])).refusal == refusal


async def test_there_are_so_many_of_a_person_and_no_more(ada: Person) -> None:
    for number in range(MAX_WEBHOOKS):
        assert (await ada.post("/webhooks", {"name": f"{number}", "url": URL})).status_code == 201

    refused = await ada.post("/webhooks", {"name": "more", "url": URL})
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")


async def test_the_secret_is_shown_once_and_stored_nowhere(ada: Person, hooks: Hooks) -> None:
    made = await hooks.hook("/once")
    shown = await hooks.ada.get(f"/webhooks/{made['id']}")
    async with hooks.state.database.reading() as session:
        stored = await session.one(select(Webhook.__table__).where(Webhook.id == made["id"]))

    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert made["secret"] not in shown.text
    assert made["secret"].removeprefix("whsec_") not in str(stored)


class TestTelling:
    async def test_a_change_is_told_signed_and_in_time(self, hooks: Hooks) -> None:
        made = await hooks.hook("/thin")
        async with hooks.working():
            task = await hooks.ada.task(title="Tell me")
            [message] = await hooks.receiver.until("/thin", 1)
            await hooks.until_states(made, "delivered")

        assert message.headers["content-type"] == "application/json"
        assert signed(made["secret"], message)
        told = message.json
        assert told["type"] == "task.created"
        assert told["data"]["entity_id"] == task["id"]
        assert told["data"]["event_id"] == message.id
        assert "Tell me" not in message.body.decode()
        [delivery] = await hooks.deliveries(made)
        [attempt] = delivery["attempts"]
        assert (attempt["status"], attempt["address"], attempt["answer"]) == (200, "127.0.0.1", "ok")
        assert delivery["payload"] == message.body.decode()

    async def test_a_full_message_has_the_values_and_the_thing(self, hooks: Hooks) -> None:
        await hooks.hook("/full", content="full", kinds=["task.updated"])
        async with hooks.working():
            task = await hooks.ada.task(title="Before")
            await hooks.ada.patch(f"/tasks/{task['id']}", {"title": "After"})
            [message] = await hooks.receiver.until("/full", 1)

        data = message.json["data"]
        assert data["changes"] == [{"field": "title", "before": "Before", "after": "After"}]
        assert data["entity"] == (await hooks.ada.get(f"/tasks/{task['id']}")).json()

    async def test_a_message_has_a_bound(self, hooks: Hooks) -> None:
        await hooks.hook("/big", content="full")
        async with hooks.working():
            await hooks.ada.task(description="x" * 65_000)
            [message] = await hooks.receiver.until("/big", 1)

        assert len(message.body) <= MAX_PAYLOAD
        assert message.json["data"]["left_out"] == ["changes", "entity"]

    async def test_kinds_and_the_project_narrow_what_is_told(self, hooks: Hooks) -> None:
        one, two = await hooks.ada.project(), await hooks.ada.project()
        await hooks.hook("/narrow", project_id=one["id"], kinds=["task.created"])
        await hooks.hook("/all")
        async with hooks.working():
            task = await hooks.ada.task(project_id=one["id"])
            await hooks.ada.task(project_id=two["id"])
            await hooks.ada.comment(task["id"])
            await hooks.receiver.until("/all", 3)
            await until(lambda: len(hooks.receiver.of("/narrow")) == 1)

        assert {m.json["data"]["kind"] for m in hooks.receiver.of("/all")} == {"task.created", "comment.created"}
        assert [m.json["data"]["entity_id"] for m in hooks.receiver.of("/narrow")] == [task["id"]]

    async def test_others_are_told_nothing_and_who_leaves_is_told_nothing_more(self, hooks: Hooks) -> None:
        bob, eve, project = await hooks.people(), await hooks.people(), await hooks.ada.project()
        await hooks.ada.invite(project, bob)
        await hooks.hook("/eve", eve, kinds=["task.created"])
        mine = await hooks.hook("/bob", bob, kinds=["task.created", "task.updated"])
        hooks.receiver.statuses["/bob"] = [200, 500, 500, 200]
        async with hooks.working():
            task = await hooks.ada.task(project_id=project["id"])
            await hooks.receiver.until("/bob", 1)
            await hooks.ada.patch(f"/tasks/{task['id']}", {"title": "Fails at first"})
            await hooks.receiver.until("/bob", 2)  # its first attempt failed
            await hooks.ada.delete(f"/projects/{project['id']}/members/{bob.id}")
            tried = len(hooks.receiver.of("/bob"))
            await hooks.ada.task(project_id=project["id"])
            async with hooks.state.database.reading() as session:
                await until_none_waits(session)
        states = [delivery["state"] for delivery in await hooks.deliveries(mine, bob)]
        assert states == ["delivered", "withheld"]
        assert len(hooks.receiver.of("/bob")) <= tried + 1  # an attempt may have been under way
        assert hooks.receiver.of("/eve") == []

    async def test_a_disabled_owner_is_told_nothing(self, hooks: Hooks) -> None:
        bob, project = await hooks.people(), await hooks.ada.project()
        await hooks.ada.invite(project, bob)
        await hooks.hook("/gone", bob)
        await hooks.hook("/here")
        async with hooks.state.database.writing() as session:
            await session.execute(update(User).where(User.id == bob.id).values(disabled=True))
        async with hooks.working():
            await hooks.ada.task(project_id=project["id"])
            await hooks.receiver.until("/here", 1)

        assert hooks.receiver.of("/gone") == []

    async def test_both_secrets_sign_until_the_former_one_ends(self, hooks: Hooks) -> None:
        made = await hooks.hook("/rotated")
        rotated = (await hooks.ada.post(f"/webhooks/{made['id']}/rotate", {"grace_seconds": 3600})).json()
        async with hooks.working():
            await hooks.ada.task()
            [both] = await hooks.receiver.until("/rotated", 1)
            await hooks.ada.post(f"/webhooks/{made['id']}/rotate", {"grace_seconds": 0})
            await hooks.ada.task()
            [_, neither] = await hooks.receiver.until("/rotated", 2)

        assert signed(made["secret"], both)
        assert signed(rotated["secret"], both)
        assert not signed(made["secret"], neither)
        assert not signed(rotated["secret"], neither)


async def until_none_waits(session: Any) -> None:
    waiting = select(WebhookDelivery.id).where(WebhookDelivery.state == "waiting")
    for _ in range(300):
        if not await session.all(waiting):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("deliveries wait")


class TestRetries:
    def test_they_take_three_days(self) -> None:
        assert len(REAL_DELAYS) >= 8
        assert sum(REAL_DELAYS) >= timedelta(days=3).total_seconds()

    async def test_order_of_a_task_holds_over_failures_and_others_go_on(self, hooks: Hooks) -> None:
        task, other = await hooks.ada.task(), await hooks.ada.task()
        made = await hooks.hook("/order")
        hooks.receiver.statuses["/order"] = [500, 500, 200]
        async with hooks.working():
            for number in range(3):
                await hooks.ada.patch(f"/tasks/{task['id']}", {"title": f"{number}"})
            await hooks.ada.patch(f"/tasks/{other['id']}", {"title": "other"})
            await hooks.until_states(made, *["delivered"] * 4)

        accepted = [m.json["data"]["entity_version"] for m in hooks.receiver.of("/order")[2:]]
        mine = [m for m in hooks.receiver.of("/order")[2:] if m.json["data"]["entity_id"] == task["id"]]
        assert [m.json["data"]["entity_version"] for m in mine] == [2, 3, 4], accepted
        first = [m for m in hooks.receiver.of("/order") if m.id == mine[0].id]
        assert len({m.body for m in first}) == 1

    async def test_exhaustion_disables_and_tells_the_owner_and_nothing_is_lost(self, hooks: Hooks) -> None:
        made = await hooks.hook("/dead")
        hooks.receiver.statuses["/dead"] = [500, 500, 500, 200]
        async with hooks.working():
            await hooks.ada.task()
            await hooks.until_states(made, "failed")
            assert len(hooks.receiver.of("/dead")) == 3
            await hooks.ada.task()
            await hooks.until_states(made, "failed", "waiting")
            shown = (await hooks.ada.get(f"/webhooks/{made['id']}")).json()
            assert (shown["state"], shown["disabled_reason"]) == ("disabled", "exhausted")
            events = (await hooks.ada.get("/users/me/security-events")).json()
            assert events[0]["kind"] == "webhook.disabled"
            assert len(hooks.receiver.of("/dead")) == 3

            await hooks.ada.post(f"/webhooks/{made['id']}/resume")
            await hooks.until_states(made, "failed", "delivered")
            answer = await hooks.ada.post(f"/webhooks/{made['id']}/redeliver", {})
            assert answer.json() == {"redelivered": 1}
            await hooks.until_states(made, "delivered", "delivered")

    async def test_410_disables_at_once(self, hooks: Hooks) -> None:
        made = await hooks.hook("/410")
        hooks.receiver.statuses["/410"] = [410]
        async with hooks.working():
            await hooks.ada.task()
            await hooks.until_states(made, "failed")

        shown = (await hooks.ada.get(f"/webhooks/{made['id']}")).json()
        assert (shown["state"], shown["disabled_reason"]) == ("disabled", "gone")

    async def test_what_happens_during_a_pause_waits(self, hooks: Hooks) -> None:
        made = await hooks.hook("/paused")
        await hooks.ada.post(f"/webhooks/{made['id']}/pause")
        async with hooks.working():
            tasks = [await hooks.ada.task() for _ in range(3)]
            await hooks.until_states(made, *["waiting"] * 3)
            tested = await hooks.ada.post(f"/webhooks/{made['id']}/test")
            assert tested.status_code == 202
            [test] = await hooks.receiver.until("/paused", 1)
            assert test.json["type"] == "webhook.test"
            await hooks.ada.post(f"/webhooks/{made['id']}/resume")
            messages = await hooks.receiver.until("/paused", 4)

        assert [m.json["data"]["entity_id"] for m in messages[1:]] == [task["id"] for task in tasks]

    async def test_retry_after_is_heeded(self, hooks: Hooks) -> None:
        await hooks.hook("/later")
        hooks.receiver.statuses["/later"] = [429, 200]
        hooks.receiver.headers["Retry-After"] = "2"
        async with hooks.working():
            await hooks.ada.task()
            first, second = await hooks.receiver.until("/later", 2)

        assert second.at - first.at >= 1.9

    @pytest.mark.parametrize(
        "value",
        ["Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "9999999999", "Fri, 31 Dec 9999 0:0:0 -0000", "\x00", ""],
    )
    def test_no_retry_after_breaks_an_attempt(self, value: str) -> None:
        assert sending._retry_after(503, [(b"Retry-After", value.encode())]) in (None, 24 * 60 * 60)

    async def test_those_that_hang_delay_nobody_else(self, hooks: Hooks) -> None:
        for number in range(6):
            await hooks.hook(f"/hangs{number}")
            hooks.receiver.statuses[f"/hangs{number}"] = [HANG]
        await hooks.hook("/well")
        async with hooks.working():
            for number in range(10):
                await hooks.ada.task()
                await hooks.receiver.until("/well", number + 1, seconds=0.9)  # less than an attempt may take

    async def test_a_range_and_one_are_told_again(self, hooks: Hooks) -> None:
        made = await hooks.hook("/again")
        async with hooks.working():
            for _ in range(3):
                await hooks.ada.task()
            await hooks.until_states(made, *["delivered"] * 3)
            one, two, three = await hooks.deliveries(made)
            path = f"/webhooks/{made['id']}/redeliver"
            assert (await hooks.ada.post(path, {})).json() == {"redelivered": 0}
            assert (await hooks.ada.post(path, {"delivery_ids": [two["id"]]})).json() == {"redelivered": 1}
            await hooks.receiver.until("/again", 4)
            await hooks.until_states(made, *["delivered"] * 3)
            times = {"since": one["created_at"], "until": now().isoformat(), "state": "delivered"}
            assert (await hooks.ada.post(path, times)).json() == {"redelivered": 3}
            messages = await hooks.receiver.until("/again", 7)

        ids = [one["event_id"], two["event_id"], three["event_id"]]
        assert [m.id for m in messages[:4]] == [*ids, two["event_id"]]
        assert sorted(m.id for m in messages[4:]) == sorted(ids)


async def test_a_deleted_webhook_leaves_nothing(hooks: Hooks) -> None:
    made = await hooks.hook("/deleted")
    hooks.receiver.statuses["/deleted"] = [500]
    async with hooks.working():
        await hooks.ada.task()
        await hooks.receiver.until("/deleted", 1)
        assert (await hooks.ada.delete(f"/webhooks/{made['id']}")).status_code == 204
        tried = len(hooks.receiver.of("/deleted"))
        await hooks.ada.task()
        async with hooks.state.database.reading() as session:

            async def jobs() -> Any:
                return await session.all(select(Job.id).where(Job.kind == "webhook"))

            for _ in range(100):
                if not await jobs():
                    break
                await asyncio.sleep(0.05)
            assert not await jobs()
            assert not await session.all(select(WebhookDelivery.id))
    assert len(hooks.receiver.of("/deleted")) <= tried + 1


async def test_an_account_that_is_deleted_takes_its_webhooks_along(people: People, state: Any) -> None:
    bob = await people()
    async with state.database.writing() as session:
        await create(session, bob.actor, WebhookCreate(name="x", url=URL), outlet=state.outlet)
    assert (await bob.post("/users/me/delete", {"password": PASSWORD})).status_code in (200, 204)
    async with state.database.reading() as session:
        assert not await session.all(select(Webhook.id).where(Webhook.owner_id == bob.id))


@on_both_doors
async def test_a_key_for_chosen_projects_has_no_webhooks(ada: Person, door: Door) -> None:
    made = await ok(door, "create_webhook", ada, {"name": "CI", "url": URL})
    told = await ok(door, "test_webhook", ada, webhook_id=made["id"])
    key = await ada.api_key("projects:admin", project_ids=[(await ada.project())["id"]])

    assert (await run(door, "create_webhook", key, {"name": "Out", "url": URL})).code == "FORBIDDEN"
    assert await ok(door, "list_webhooks", key) == []
    for name in ("get_webhook", "pause_webhook", "test_webhook", "rotate_webhook_secret", "delete_webhook"):
        body: dict[str, Any] | None = {} if name == "rotate_webhook_secret" else None
        assert (await run(door, name, key, body, webhook_id=made["id"])).code == "NOT_FOUND", name
    assert (await run(door, "get_webhook_delivery", key, webhook_delivery_id=told["id"])).code == "NOT_FOUND"
