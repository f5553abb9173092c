"""What happens to PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Iterable

import psycopg

from tests.faults.findings import Bounds, Finding
from tests.faults.worlds import World, fault, now
from tests.resets import ResettingProxy

BACK_SECONDS = 5.0
"""After which the first write has to be taken once PostgreSQL is back."""
PROMOTED_SECONDS = 15.0
"""The same, once a standby was promoted beside a primary that stands still."""


@fault("resets", "postgresql", bounds=Bounds(first_write=2.0, longest=6.0))
async def reset_connections(world: World, finding: Finding) -> None:
    """Every connection is reset, twenty times."""
    with ResettingProxy(world.url) as proxy:
        fleet = world.serve(proxy.url)
        async with world.load(fleet, description=lambda turn: "x" * (turn % 3 * 30_000)) as ledger:
            for turn in range(20):
                await asyncio.to_thread(proxy.reset, 0.02 * (turn % 3))
                await asyncio.sleep(0.3)
            since = now()
            await asyncio.sleep(2)
        fleet.stop()
    finding.judge(ledger, world.stored(), since=since)


@fault("crash", "postgresql", bounds=Bounds(first_write=BACK_SECONDS))
async def crash(world: World, finding: Finding) -> None:
    """Every process of PostgreSQL is killed, and it is started again after two seconds; three times."""
    fleet = world.serve()
    firsts = []
    async with world.load(fleet) as ledger:
        for _ in range(3):
            await asyncio.to_thread(world.cluster.primary.kill)
            await asyncio.sleep(2)
            await asyncio.to_thread(world.cluster.primary.start)
            await asyncio.to_thread(world.cluster.wait, 0)
            firsts.append(now())
            await asyncio.sleep(BACK_SECONDS)
    finding.judge(ledger, world.stored(), since=max(firsts, key=lambda since: ledger.first_write(since) or 0))


@fault("frozen primary", "postgresql", bounds=Bounds(first_write=BACK_SECONDS))
async def freeze(world: World, finding: Finding) -> None:
    """The only server stands still for 15 seconds, and goes on."""
    fleet = world.serve()
    async with world.load(fleet) as ledger:
        world.cluster.primary.freeze()
        frozen = now()
        await asyncio.sleep(15)
        world.cluster.primary.thaw()
        since = now()
        await asyncio.sleep(BACK_SECONDS + 3)
    finding.judge(ledger, world.stored(), since=since)
    late = [call.seconds for call in ledger.of("write", "read") if frozen + 6 < call.sent < since - 3]
    finding.notes.append(f"refused within {max(late, default=0) * 1000:.0f} ms once it was found out")
    finding.demand(bool(late) and max(late) < 1.0, "refusals went on waiting")


@fault("frozen primary, promoted standby", "postgresql", bounds=Bounds(first_write=PROMOTED_SECONDS))
async def fail_over(world: World, finding: Finding) -> None:
    """The primary stands still, the standby is promoted three seconds later; then the old one goes on."""
    await asyncio.to_thread(world.cluster.replicate, synchronous=True)
    fleet = world.serve(world.cluster.url)
    async with world.load(fleet) as ledger:
        world.cluster.primary.freeze()
        await asyncio.sleep(3)
        await asyncio.to_thread(world.cluster.promote)
        since = now()
        await asyncio.sleep(PROMOTED_SECONDS)
        # what was left behind takes itself for the primary still
        world.cluster.primary.thaw()
        await asyncio.sleep(1)
        await asyncio.to_thread(_end_connections, world)
        await asyncio.sleep(4)
    world.primary = 1
    finding.judge(ledger, world.stored(), since=since)
    strays = _only_on_the_old_one(world, ledger.acknowledged)
    finding.demand(not strays, f"{strays} acknowledged writes are on the old primary alone")


def _end_connections(world: World) -> None:
    world.cluster.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tandem' AND pid <> pg_backend_pid()", 1
    )


def _only_on_the_old_one(world: World, titles: Iterable[str]) -> int:
    stored = world.stored()
    old = {title for (title,) in world.cluster.run("SELECT title FROM tasks", 0)}
    return sum(1 for title in titles if title in old and not stored[title])


@fault("killed primary, promoted standby", "postgresql", bounds=Bounds(first_write=BACK_SECONDS))
async def kill_and_promote(world: World, finding: Finding) -> None:
    """The primary is killed, and the standby promoted a second later."""
    await asyncio.to_thread(world.cluster.replicate, synchronous=True)
    fleet = world.serve(world.cluster.url)
    async with world.load(fleet) as ledger:
        await asyncio.to_thread(world.cluster.primary.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(world.cluster.promote)
        since = now()
        await asyncio.sleep(BACK_SECONDS + 3)
    world.primary = 1
    finding.judge(ledger, world.stored(), since=since)


@fault("frozen standby", "postgresql", bounds=Bounds(longest=7.0, first_write=7.0, refused=frozenset({"409"})))
async def freeze_standby(world: World, finding: Finding) -> None:
    """The standby stands still from before the servers start, named first in the URL."""
    await asyncio.to_thread(world.cluster.replicate, synchronous=False)
    world.cluster.standby.freeze()
    fleet = world.serve(world.cluster.reversed_url)
    since = now()
    async with world.load(fleet) as ledger:
        await asyncio.sleep(10)
    finding.judge(ledger, world.stored(), since=since)
    later = [call.seconds for call in ledger.of("write", "read") if call.sent > since + 9]
    finding.demand(bool(later) and max(later) < 2.0, "it is waited for again and again")


@fault("locks", "postgresql", bounds=Bounds(first_write=2.0))
async def lock(world: World, finding: Finding) -> None:
    """Somebody locks the table of tasks for 20 seconds; who needs no tasks goes on."""
    fleet = world.serve(workers=1)
    async with world.load(fleet, writers=8, readers=6) as ledger:
        async with await psycopg.AsyncConnection.connect(world.url) as connection:
            await connection.execute("LOCK TABLE tasks")
            locked = now()
            await asyncio.sleep(20)
            await connection.rollback()
        since = now()
        await asyncio.sleep(3)
    finding.judge(ledger, world.stored(), since=since)
    during = [call for call in ledger.of("others", "ready") if locked + 1 < call.sent < since]
    failed = Counter(call.outcome for call in during if call.status != 200)
    slowest = max((call.seconds for call in during), default=0.0)
    finding.notes.append(f"others: {len(during)} calls, slowest {slowest * 1000:.0f} ms")
    finding.demand(bool(during), "nobody else asked")
    finding.demand(not failed, f"others were answered {dict(failed)}")
    finding.demand(slowest <= 1.0, f"others waited {slowest:.1f} s")
