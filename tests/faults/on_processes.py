"""What happens to the servers' processes, and to Redis."""

import asyncio
import os
import signal

from tests.faults.clusters import redis_server
from tests.faults.findings import Bounds, Finding
from tests.faults.load import Call, Ledger
from tests.faults.worlds import World, fault, now

CUT_OFF = frozenset({"503", "504", "409", "cut off"})
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
