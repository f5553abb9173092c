"""Whether a server that has seen many documents is larger for it."""

import asyncio
import json

import httpx

from tests.attack.probes import Finding
from tests.attack.world import World

DOCUMENTS = 10_000
GROWN_MB = 60
"""MB that the largest worker may be larger by afterwards: what its caches may hold, and what the allocator keeps."""
CONNECTIONS = 16


def documents(world: World) -> Finding:
    """Send 10,000 distinct documents of 4 kB, half of them by nobody, each twice."""
    asyncio.run(_send(world, range(200)))  # what is made once is there
    before = world.memory_mb()
    asyncio.run(_send(world, range(200, DOCUMENTS // 2)))
    half = world.memory_mb()
    asyncio.run(_send(world, range(DOCUMENTS // 2, DOCUMENTS)))
    after = world.memory_mb()
    said = f"{before:.0f} MB before, {half:.0f} after a half, {after:.0f} MB after all"
    return Finding(after - before <= GROWN_MB, said)


async def _send(world: World, numbers: range) -> None:
    waiting = iter(numbers)
    limits = httpx.Limits(max_connections=CONNECTIONS)

    async def work(client: httpx.AsyncClient) -> None:
        for number in waiting:
            fields = " ".join(f"f{number}x{n}: tasks(first: 1) {{ totalCount }}" for n in range(90))
            body = json.dumps({"query": f"query Q{number} {{ {fields} }}"})
            headers = {"Content-Type": "application/json"} | (world.mallory.headers if number % 2 else {})
            for _ in range(2):
                await client.post("/graphql", content=body, headers=headers)

    async with httpx.AsyncClient(base_url=world.base_url, timeout=60, limits=limits) as client:
        await asyncio.gather(*(work(client) for _ in range(CONNECTIONS)))
