"""Retention ends the feed, and not the history."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from db.driver.database import Database
from db.models import Event, Task, WebhookDelivery
from services.events import consumers, retention
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.tasks import effects
from services.upkeep import Upkeep
from tests.hooks import Hooks, hooks_on

OLD = timedelta(days=200)


@pytest.fixture
async def hooks(backend: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks_on(backend, tmp_path) as made:
        yield made


async def age(database: Database, until: int | None = None) -> None:
    """Have what happened until a position have happened long ago."""
    await number_all(database)
    statement = update(Event).values(occurred_at=now() - OLD)
    async with database.writing() as session:
        await session.execute(statement if until is None else statement.where(Event.position <= until))


async def positions(database: Database) -> list[tuple[int, str, int | None]]:
    async with database.reading() as session:
        rows = await session.all(select(Event.position, Event.kind, Event.task_id).order_by(Event.position))
    return [(row.position, row.kind, row.task_id) for row in rows]


def limit() -> datetime:
    return now() - timedelta(days=90)


class TestRetention:
    async def test_a_cursor_from_before_is_told_to_begin_anew_and_one_behind_goes_on(self, hooks: Hooks) -> None:
        database, ada = hooks.state.database, hooks.ada
        await number_all(database)
        old = (await ada.get("/changes")).json()
        project = await ada.project()
        await age(database)
        border = (await ada.get("/changes?after=now")).json()["cursor"]
        await ada.project()
        await number_all(database)
        await retention.purge(database, limit())

        for after in (old["changes"][0]["cursor"], "0"):
            refused = await ada.get(f"/changes?after={after}")
            assert (refused.status_code, refused.json()["code"]) == (410, "RESYNC_REQUIRED")
        assert (await ada.get("/changes")).status_code == 410
        going_on = (await ada.get(f"/changes?after={border}")).json()
        assert [change["kind"] for change in going_on["changes"]] == ["project.created"]
        assert project["id"] not in {change["project_id"] for change in going_on["changes"]}

    async def test_history_and_what_concerns_an_account_stay(self, hooks: Hooks) -> None:
        database, ada = hooks.state.database, hooks.ada
        task, gone = await ada.task(), await ada.task()
        await ada.patch(f"/tasks/{task['id']}", {"title": "Later"})
        await ada.comment(task["id"])
        await ada.post("/users/me/api-keys", {"name": "key", "scopes": ["tasks:read"]})
        history = (await ada.get(f"/tasks/{task['id']}/history")).json()
        security = (await ada.get("/users/me/security-events")).json()

        async with database.writing() as session:
            await effects.purge(session, ada.actor, Task.id == gone["id"])
        await age(database)
        await ada.project()
        await number_all(database)
        assert await retention.purge(database, limit()) > 0

        aged = [{**event, "occurred_at": ""} for event in (await ada.get(f"/tasks/{task['id']}/history")).json()]
        assert aged == [{**event, "occurred_at": ""} for event in history]
        kinds = [event["kind"] for event in (await ada.get("/users/me/security-events")).json()]
        assert kinds == [event["kind"] for event in security]
        assert all(task_id != gone["id"] for *_, task_id in (await positions(database))[:-3])

    async def test_positions_go_on_where_all_was_old(self, hooks: Hooks) -> None:
        database, ada = hooks.state.database, hooks.ada
        await ada.project()
        await age(database)
        cursor = (await ada.get("/changes?after=now")).json()["cursor"]
        [*_, (last, _, _)] = await positions(database)
        await retention.purge(database, limit())
        assert (await ada.get(f"/changes?after={cursor}")).json() == {
            "changes": [],
            "cursor": cursor,
            "has_more": False,
        }
        await ada.project()
        await number_all(database)

        async with database.reading() as session:
            assert await consumers.floor(session) == last
            assert await session.scalar(select(func.max(Event.position))) > last
        assert len((await ada.get(f"/changes?after={cursor}")).json()["changes"]) == 1

    async def test_what_a_consumer_has_still_to_take_stays(self, hooks: Hooks) -> None:
        database, ada = hooks.state.database, hooks.ada
        await number_all(database)
        await consumers.catch_up(database, CONSUMER)
        [*_, (taken, _, _)] = await positions(database)
        await ada.project()
        await age(database)
        await ada.project()
        await number_all(database)
        await retention.purge(database, limit(), [CONSUMER])
        async with database.reading() as session:
            assert await consumers.floor(session) == taken

        await consumers.catch_up(database, CONSUMER)
        await retention.purge(database, limit(), [CONSUMER])
        async with database.reading() as session:
            assert await consumers.floor(session) > taken

    async def test_it_is_done_in_parts(self, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
        database, ada = hooks.state.database, hooks.ada
        for _ in range(10):
            await ada.project()
        await age(database)
        monkeypatch.setattr(retention, "BATCH", 3)
        statement = retention._OLD.statement
        monkeypatch.setattr(retention, "_OLD", type(retention._OLD)(statement.limit(3)))  # type: ignore[attr-defined]
        await retention.purge(database, limit())

        [*_, (last, _, _)] = await positions(database)
        async with database.reading() as session:
            assert await consumers.floor(session) == last

    async def test_deliveries_are_kept_as_long_as_is_said(self, hooks: Hooks) -> None:
        database = hooks.state.database
        made = await hooks.hook("/kept")
        async with hooks.working():
            await hooks.ada.task()
            await hooks.until_states(made, "delivered")
            await hooks.ada.post(f"/webhooks/{made['id']}/pause")
            await hooks.ada.task()
            await hooks.until_states(made, "delivered", "waiting")
        upkeep = Upkeep(database, timedelta(days=90), timedelta(days=30))
        for days, left in ((29, ["delivered", "waiting"]), (31, ["waiting"]), (91, [])):
            async with database.writing() as session:
                await session.execute(update(WebhookDelivery).values(created_at=now() - timedelta(days=days)))
            await upkeep.purge()
            assert await hooks.states(made) == left
