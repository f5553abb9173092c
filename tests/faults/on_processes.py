"""What happens to the servers' processes, and to Redis."""

import asyncio
import importlib
import importlib.util
import os
import signal
from typing import Any

import httpx

from tests.faults.clusters import Missing, redis_server
from tests.faults.findings import Bounds, Finding
from tests.faults.load import Call, Ledger, sign_up
from tests.faults.worlds import World, fault, now

CUT_OFF = frozenset({"503", "504", "409", "cut off"})
GOODPUT = 0.8
"""Of what a server answers when it is not asked for more, how much it goes on answering when it is asked for more."""
TIMES = 5
PROMPT_SECONDS = 0.1
"""Within which a refusal comes, and an answer of /health, in 99 of 100 cases."""
LATE_SECONDS = 0.2
"""What a turn of the open loop may take: with more, it is not the server that is overloaded."""
PAGE = 100
"""Tasks of the list that is asked for: one that costs so much that five times its rate can be sent from beside it."""
REDIS_SECONDS = 0.1
"""What a Redis that stands still may cost a request, besides what the request costs anyway."""


@fault("killed worker", "sqlite", "postgresql", bounds=Bounds(refused=CUT_OFF, first_write=2.0))
async def kill_workers(world: World, finding: Finding) -> None:
    """One of three workers is killed, five times; what it was answering is cut off."""
    fleet = world.serve(workers=3)
    async with world.load(fleet) as ledger:
        for turn in range(5):
            workers = fleet.workers()
            os.kill(workers[turn % len(workers)], signal.SIGKILL)
            await asyncio.sleep(1.5)
        since = now()
        await asyncio.sleep(2)
    finding.judge(ledger, world.stored(), since=since)


@fault("SIGTERM", "sqlite", "postgresql", bounds=Bounds(refused=frozenset({"not connected"}), health=2.0))
async def terminate(world: World, finding: Finding) -> None:
    """One of two servers is told to end while both are called: it finishes what it has begun."""
    staying, going = world.serve(), world.serve()
    async with world.load(staying, going, watched=False) as ledger:
        going.signal(signal.SIGTERM)
        ended = await asyncio.to_thread(going.wait, 20)
        await asyncio.sleep(1)
    finding.judge(ledger, world.stored())
    finding.demand(ended, "it was still there after 20 s")


@fault("SIGTERM, uvicorn", "sqlite", bounds=Bounds(refused=frozenset({"not connected"}), health=2.0))
async def terminate_uvicorn(world: World, finding: Finding) -> None:
    """The same of uvicorn with two workers, whose parent holds the socket."""
    staying, going = world.serve(), world.serve(server="uvicorn")
    async with world.load(staying, going, watched=False) as ledger:
        going.signal(signal.SIGTERM)
        ended = await asyncio.to_thread(going.wait, 20)
        await asyncio.sleep(1)
    finding.judge(ledger, world.stored())
    finding.demand(ended, "it was still there after 20 s")


@fault("HUP", "sqlite", "postgresql", bounds=Bounds(refused=frozenset(), health=2.0))
async def replace_workers(world: World, finding: Finding) -> None:
    """gunicorn replaces its workers three times; no request fails."""
    fleet = world.serve()
    async with world.load(fleet) as ledger:
        for _ in range(3):
            fleet.signal(signal.SIGHUP)
            await asyncio.sleep(4)
    finding.judge(ledger, world.stored())
    finding.notes.append(f"{len(ledger.calls)} requests")


@fault("Redis gone", "sqlite", bounds=Bounds(refused=frozenset(), longest=2.0))
async def kill_redis(world: World, finding: Finding) -> None:
    """Redis is killed, and comes back after eight seconds."""
    with redis_server() as redis:
        fleet = world.serve(REDIS_URL=redis.url, RATE_LIMIT="1000000/minute")
        async with world.load(fleet) as ledger:
            since = now()
            redis.kill()
            await asyncio.sleep(8)
            until = now()
            redis.start()
            await asyncio.sleep(2)
        fleet.stop()
    finding.judge(ledger, world.stored(), since=since)
    _cost(finding, ledger, since, until)


@fault("Redis frozen", "sqlite", bounds=Bounds(refused=frozenset(), longest=2.0))
async def freeze_redis(world: World, finding: Finding) -> None:
    """Redis stands still for eight seconds."""
    with redis_server() as redis:
        fleet = world.serve(REDIS_URL=redis.url, RATE_LIMIT="1000000/minute")
        async with world.load(fleet) as ledger:
            since = now()
            redis.freeze()
            await asyncio.sleep(8)
            until = now()
            redis.thaw()
            await asyncio.sleep(2)
        fleet.stop()
    finding.judge(ledger, world.stored(), since=since)
    _cost(finding, ledger, since, until)


def _cost(finding: Finding, ledger: Ledger, since: float, until: float) -> None:
    """What a request took longer meanwhile: of nine in ten; what notices it first pays more."""
    before = _typical([call for call in ledger.of("write", "read") if call.sent < since])
    during = _typical([call for call in ledger.of("write", "read") if since < call.sent < until])
    finding.notes.append(f"{before * 1000:.0f} ms before, {during * 1000:.0f} ms meanwhile")
    finding.demand(during <= before * 2 + REDIS_SECONDS, "every request pays for it")


def _typical(calls: list[Call]) -> float:
    times = sorted(call.seconds for call in calls)
    return times[int(len(times) * 0.9)] if times else float("inf")


@fault("overload", "sqlite", "postgresql")
async def overload(world: World, finding: Finding) -> None:
    """Requests come five times as fast as they can be answered, whether or not those before them were."""
    name = "tests.faults.overload"
    if importlib.util.find_spec(name) is None:
        raise Missing("there is no open loop yet")
    open_loop: Any = importlib.import_module(name)
    # one, for whoever sends has to have a processor, too, and these machines have two
    fleet = world.serve(workers=1)
    [person] = await sign_up(world.url, 1)
    path = f"/api/v1/tasks?limit={PAGE}"
    target = (fleet.base_url, person["Authorization"].removeprefix("Bearer "), path)
    async with httpx.AsyncClient(base_url=fleet.base_url, headers=person) as client:
        tasks = [{"title": f"Task {number}"} for number in range(PAGE)]
        (await client.post("/api/v1/tasks/bulk/create", json={"tasks": tasks})).raise_for_status()
    async with world.load(fleet, writers=1, readers=0, watched=False) as ledger:
        await asyncio.sleep(1)
    rate = await open_loop.sustained(*target)
    result = await open_loop.overload(*target, rate=TIMES * rate, seconds=8 if world.quick else 15)
    calm = await open_loop.calm_again(*target, limit=PROMPT_SECONDS)
    late = open_loop.percentile(result.own, 0.99)
    if late > LATE_SECONDS:
        raise RuntimeError(f"{TIMES * rate:.0f}/s are more than could be sent: turns of {late:.2f} s")
    finding.judge(ledger, world.stored())
    goodput, refused = result.goodput / rate, open_loop.percentile(result.refused, 0.99)
    finding.health = open_loop.percentile(result.health, 0.99)
    finding.refused.update({str(status): number for status, number in result.statuses.items() if status != 200})
    finding.longest = max(result.answered, default=0.0)
    finding.notes.append(f"{goodput:.0%} of {rate:.0f}/s, refused in {refused * 1000:.0f} ms, calm in {calm:.1f} s")
    finding.demand(goodput >= GOODPUT, f"{goodput:.0%} was answered")
    finding.demand(bool(result.refused), "nobody was refused")
    finding.demand(refused <= PROMPT_SECONDS, f"a refusal took {refused:.1f} s")
    finding.demand(finding.health <= PROMPT_SECONDS, f"/health took {finding.health:.1f} s")
    finding.demand(calm <= TIMES, f"it was calm after {calm:.0f} s")
