"""What happens to SQLite's file, to disks, and to memory."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.faults.clusters import Missing
from tests.faults.findings import Bounds, Finding
from tests.faults.load import CUT, Ledger, sign_up
from tests.faults.worlds import World, fault, now

DESCRIPTION = "y" * 6_000
MB = 1_000_000


@fault("full disk", "sqlite", bounds=Bounds(first_write=2.0))
async def fill(world: World, finding: Finding) -> None:
    """No file may grow for five seconds (a limit of the processes); reads go on."""
    fleet = world.serve()
    async with world.load(fleet, description=lambda _turn: DESCRIPTION) as ledger:
        fleet.limit_files(4_096)
        full = now()
        await asyncio.sleep(5)
        fleet.limit_files()
        since = now()
        await asyncio.sleep(3)
    finding.judge(ledger, world.stored(), since=since)
    during = [call for call in ledger.calls if full + 0.5 < call.sent and call.sent + call.seconds < since]
    reads = {call.outcome for call in during if call.kind in ("read", "others")}
    finding.demand(reads == {"200"}, f"reads were {', '.join(sorted(reads))}")
    writes = {call.outcome for call in during if call.kind == "write"}
    finding.demand("503" in writes, "the disk was not full")


@fault("full disk, small file system", "sqlite", "postgresql", bounds=Bounds(first_write=3.0))
async def fill_file_system(world: World, finding: Finding) -> None:
    """The file system of the database is full for five seconds: a tmpfs, which root alone can make."""
    with _small_file_system(world) as mount:
        url = world.url
        if world.database == "sqlite":
            for file in world.folder.glob("tandem.db*"):
                shutil.move(file, mount / file.name)
            url = f"sqlite:///{mount / 'tandem.db'}"
            world.folder, kept = mount, world.folder
        else:
            kept = world.folder
            world.cluster.run(f"CREATE TABLESPACE small LOCATION '{mount}'", database="postgres")
            world.cluster.run("ALTER DATABASE tandem SET TABLESPACE small", database="postgres")
        world.url = url
        fleet = world.serve()
        async with world.load(fleet, description=lambda _turn: os.urandom(4_000).hex()) as ledger:
            full = now()
            filler = mount / "filler"
            await asyncio.to_thread(_fill, filler)
            await asyncio.sleep(5)
            filler.unlink()
            since = now()
            await asyncio.sleep(3)
        fleet.stop()
        finding.judge(ledger, world.stored(), since=since)
        during = {call.outcome for call in ledger.of("write") if full + 0.5 < call.sent < since}
        finding.demand("503" in during, "the disk was not full")
        if world.database == "postgresql":
            world.cluster.stop()
        world.folder = kept


@contextmanager
def _small_file_system(world: World) -> Iterator[Path]:
    mount = (world.folder if world.database == "sqlite" else world.cluster.folder) / "small"
    mount.mkdir()
    tools = [shutil.which("mount"), shutil.which("umount")]
    command = [tools[0] or "mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(mount)]
    if not all(tools) or subprocess.run(command, capture_output=True, check=False).returncode:
        raise Missing("this user cannot make a small file system")
    try:
        owner = world.cluster.folder.stat() if world.database == "postgresql" else world.folder.stat()
        os.chown(mount, owner.st_uid, owner.st_gid)
        yield mount
    finally:
        subprocess.run([tools[1] or "umount", "--lazy", mount], check=False)


def _fill(path: Path) -> None:
    """Take what room there is, and what is given back in the next seconds."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for size in (1_000_000, 4_096):
            try:
                while True:
                    os.write(descriptor, b"x" * size)
            except OSError:
                continue
    finally:
        os.close(descriptor)


@fault("file moved away", "sqlite", bounds=Bounds(first_write=3.0))
async def move(world: World, finding: Finding) -> None:
    """Somebody moves the database away, and brings it back after four seconds: nothing is written to it meanwhile."""
    fleet = world.serve()
    async with world.load(fleet) as ledger:
        away = world.folder / "away"
        away.mkdir()
        moved = now()
        for file in world.folder.glob("tandem.db*"):
            file.rename(away / file.name)
        await asyncio.sleep(4)
        for file in away.iterdir():
            file.rename(world.folder / file.name)
        since = now()
        await asyncio.sleep(4)
    finding.judge(ledger, world.stored(), since=since)
    during = {call.outcome for call in ledger.of("write") if moved + 1 < call.sent and call.sent + call.seconds < since}
    finding.demand(during == {"503"}, f"writes were {', '.join(sorted(during))} while there was no file")


@fault("several processes on one file", "sqlite", bounds=Bounds(refused=frozenset()))
async def several(world: World, finding: Finding) -> None:
    """The same callers on one worker, on two and on four: what the slowest of a hundred writes takes."""
    slowest, middle, last = {}, {}, Ledger()
    for workers in (1, 2, 4):
        fleet = world.serve(workers=workers)
        async with world.load(fleet, writers=12, readers=0, pause=0.0) as ledger:
            await asyncio.sleep(5 if world.quick else 15)
        fleet.stop()
        last = ledger
        slowest[workers], middle[workers] = ledger.quantile(0.99, "write"), ledger.quantile(0.5, "write")
    finding.judge(last, world.stored())
    told = ", ".join(f"{workers}: {slowest[workers] * 1000:.0f} ({middle[workers] * 1000:.0f})" for workers in slowest)
    finding.notes.append(f"p99 (median) in ms by workers: {told}")
    ratio = slowest[4] / slowest[1]
    finding.demand(ratio <= 4, f"four processes take {ratio:.1f} × as long as one")


@fault("memory", "sqlite", "postgresql", bounds=Bounds(longest=30.0, health=5.0))
async def hold_memory(world: World, finding: Finding) -> None:
    """Mixed load for six minutes: what a worker holds in the last two, beside the two before."""
    fleet = world.serve(workers=1)
    minutes = 1.5 if world.quick else 6.0
    samples: list[int] = []
    async with world.load(fleet, description=lambda turn: "text " * (turn % 400), watched=False) as ledger:
        for _ in range(int(minutes * 12)):
            await asyncio.sleep(5)
            samples.append(fleet.memory())
    finding.judge(ledger, world.stored())
    third = len(samples) // 3
    middle, last = max(samples[third : 2 * third]), max(samples[2 * third :])
    finding.notes.append(f"{samples[0] / MB:.0f} MB at first, {middle / MB:.0f} in the middle, {last / MB:.0f} at last")
    finding.demand((last - middle) / (minutes / 3) <= 2 * MB, "it goes on growing")


@fault("distinct documents", "sqlite", bounds=Bounds(longest=30.0, health=5.0))
async def send_documents(world: World, finding: Finding) -> None:
    """10,000 GraphQL documents of 4 kB, no two the same, by somebody without an account and by one who has one."""
    fleet = world.serve(workers=1)
    number = 1_000 if world.quick else 10_000
    async with world.load(fleet, writers=1, readers=1) as ledger:
        before = fleet.memory()
        [known] = await sign_up(world.url, 1)
        async with httpx.AsyncClient(base_url=fleet.base_url, timeout=30) as client:
            for turn in range(number):
                fields = " ".join(f"a{turn}_{each}: username" for each in range(200))
                headers = known if turn % 2 else {}
                try:
                    await client.post("/graphql", json={"query": f"{{ me {{ {fields} }} }}"}, headers=headers)
                except httpx.TransportError:
                    finding.failures.append(f"document {turn} was {CUT}")
        after = fleet.memory()
    finding.judge(ledger, world.stored())
    finding.notes.append(f"{before / MB:.0f} MB before, {after / MB:.0f} MB after {number} documents")
    finding.demand(after - before <= 64 * MB, "it keeps what nobody asks for again")
