"""Webhooks and workers that end at any point, or are many: nothing is lost, and a task's order holds."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hooks import HANG, Hooks, Receiver, hooks_on
from tests.infrastructure import require


@pytest.fixture
async def hooks(backend: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with hooks_on(backend, tmp_path) as made:
        yield made


def order_holds(receiver: Receiver, path: str) -> bool:
    """Whether of each task every version came first after the one before it."""
    first: dict[int, list[int]] = defaultdict(list)
    for message in receiver.of(path):
        data = message.json["data"]
        if data["entity_version"] not in first[data["entity_id"]]:
            first[data["entity_id"]].append(data["entity_version"])
    return all(versions == sorted(versions) for versions in first.values())


async def test_a_worker_killed_between_claim_and_answer_loses_nothing(hooks: Hooks) -> None:
    made = await hooks.hook("/killed")
    hooks.receiver.statuses["/killed"] = [HANG, 200]
    with hooks.worker() as first:
        task = await hooks.ada.task()
        await hooks.receiver.until("/killed", 1, seconds=40)
        first.kill()
        first.join(10)
    with hooks.worker():
        await hooks.until_states(made, "delivered", seconds=40)

    messages = hooks.receiver.of("/killed")
    assert len(messages) == 2, "told once more, and no oftener"
    assert len({message.id for message in messages}) == 1
    assert messages[0].body == messages[1].body
    assert messages[1].json["data"]["entity_id"] == task["id"]


async def test_workers_killed_amid_many_deliveries_lose_nothing(hooks: Hooks) -> None:
    made = await hooks.hook("/many", kinds=["task.created", "task.updated"])
    hooks.receiver.pause = 0.02
    tasks = [await hooks.ada.task() for _ in range(10)]
    for _ in range(3):
        with hooks.worker() as process:
            before = len(hooks.receiver.of("/many"))
            for task in tasks:
                await hooks.ada.patch(f"/tasks/{task['id']}", {"title": f"Changed at {before} messages"})
            await hooks.receiver.until("/many", before + 5, seconds=40)
            process.kill()
            process.join(10)
    with hooks.worker():
        await hooks.until_states(made, *["delivered"] * 40, seconds=60)

    messages = hooks.receiver.of("/many")
    assert len({message.id for message in messages}) == 40
    assert len(messages) <= 40 + 3 * 8, "at most what was under way is told once more"
    assert order_holds(hooks.receiver, "/many")


async def test_two_workers_share_the_work_and_keep_the_order(tmp_path: Path) -> None:
    require("postgresql")
    async with hooks_on("postgresql", tmp_path) as hooks:
        webhooks = [await hooks.hook(f"/hook{number}") for number in range(4)]
        hooks.receiver.statuses["/hook3"] = [500, 200, 500, 200]
        with hooks.worker(), hooks.worker():
            tasks = [await hooks.ada.task() for _ in range(5)]
            for number in range(6):
                titles = (hooks.ada.patch(f"/tasks/{task['id']}", {"title": f"{number}"}) for task in tasks)
                await asyncio.gather(*titles)
            for webhook in webhooks:
                await hooks.until_states(webhook, *["delivered"] * 35, seconds=60)

        for number in range(4):
            assert order_holds(hooks.receiver, f"/hook{number}")
            if number < 3:
                assert len(hooks.receiver.of(f"/hook{number}")) == 35, "each once"


async def test_a_worker_that_is_told_to_stop_gives_its_jobs_back(hooks: Hooks) -> None:
    made = await hooks.hook("/stopped")
    hooks.receiver.pause = 0.3
    with hooks.worker_command() as process:
        await hooks.ada.task()
        await hooks.receiver.until("/stopped", 1, seconds=40)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0

    await hooks.until_states(made, "delivered")
    assert len(hooks.receiver.of("/stopped")) == 1
