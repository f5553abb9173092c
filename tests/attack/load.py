"""Requests without end, and somebody else's among them, timed."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.attack.world import World

ATTACKERS = 8
RATE, QUIET_SECONDS, ATTACK_SECONDS = 50, 8.0, 8.0
"""Requests a second of the victim, and how long they are timed, at peace and under attack."""
PATIENCE = 30.0


@dataclass
class Load:
    """What came of requests."""

    seconds: list[float] = field(default_factory=list)
    """Of each of the victim's, from the moment it was due."""
    refused: Counter[int] = field(default_factory=Counter)
    """The statuses of those of the victim's that were not 200; 0 for no answer."""
    attacks: Counter[int] = field(default_factory=Counter)
    """The statuses that the attacker got; 0 where it hung up before."""
    largest: int = 0
    """Bytes of the largest answer that the attacker got."""

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of an attacker's."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    anonymous: bool = False

    def headers(self, world: World) -> dict[str, str]:
        headers = {} if self.anonymous else dict(world.mallory.headers)
        return headers | ({"Content-Type": self.content_type} if self.body is not None else {})


def timed(world: World, attack: Sequence[Sent] = (), *, patience: float = PATIENCE) -> Load:
    """The victim reads a task again and again while the attacker sends those requests on eight connections.

    ``patience`` is after how many seconds the attacker hangs up and begins anew.
    """
    return asyncio.run(_timed(world, attack, patience))


async def _timed(world: World, attack: Sequence[Sent], patience: float) -> Load:
    load = Load()
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with (
        httpx.AsyncClient(base_url=world.base_url, timeout=PATIENCE, limits=limits) as victim,
        httpx.AsyncClient(base_url=world.base_url, timeout=patience, limits=limits) as attacker,
    ):
        await asyncio.gather(*(_read(victim, world, load, 0.0) for _ in range(16)))  # connections are there
        load.seconds.clear()
        attackers = [asyncio.create_task(_attack(attacker, world, attack, load, n)) for n in range(ATTACKERS)]
        if attack:
            await asyncio.sleep(1.0)
        begun = time.perf_counter()
        reads: list[asyncio.Task[None]] = []
        seconds = ATTACK_SECONDS if attack else QUIET_SECONDS
        for number in range(int(RATE * seconds)):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            reads.append(asyncio.create_task(_read(victim, world, load, due)))
        await asyncio.gather(*reads)
        for task in attackers:
            task.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
    return load


async def _read(client: httpx.AsyncClient, world: World, load: Load, due: float) -> None:
    due = due or time.perf_counter()
    status = 0
    with suppress(httpx.HTTPError):
        path = f"/api/v1/tasks/{world.victim.task_id}"
        status = (await client.get(path, headers=world.victim.headers)).status_code
    load.seconds.append(time.perf_counter() - due)
    if status != 200:
        load.refused[status] += 1


async def _attack(client: httpx.AsyncClient, world: World, attack: Sequence[Sent], load: Load, number: int) -> None:
    while attack:
        sent = attack[number % len(attack)]
        number += 1
        status = 0
        options: dict[str, Any] = {"headers": sent.headers(world), "content": sent.body}
        with suppress(httpx.HTTPError):
            async with client.stream(sent.method, sent.path, **options) as answer:
                size = 0
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                status = answer.status_code
                load.largest = max(load.largest, size)
        load.attacks[status] += 1
        # whoever is refused does not hurry: the client's own processor is the server's, too
        await asyncio.sleep(0.02 if status >= 400 else 0.002)
