"""Clients that repeat nothing, while what they ask is restarted."""

import asyncio
import random
from collections import Counter

from tests.faults.overload import FAILED, Client

CLIENTS = 12
THINK_SECONDS = 0.03
"""At most, between an answer and the next request on the same connection: some 600 requests a second, of two processors
half. ``make test`` leaves them to the others."""


class Hosts:
    """What a proxy does: one of the hosts, another one where a connection is refused. No request is repeated."""

    def __init__(self, urls: list[str], token: str, path: str, *, think_seconds: float = THINK_SECONDS) -> None:
        self._urls, self._token, self._path, self._think_seconds = urls, token, path, think_seconds
        self.statuses: Counter[int] = Counter()

    async def ask(self, requests: int, done: asyncio.Event) -> None:
        """So many requests, and on until ``done``."""

        async def client() -> None:
            clients = [Client(url, self._token) for url in self._urls]
            try:
                while sum(self.statuses.values()) < requests or not done.is_set():
                    random.shuffle(clients)
                    self.statuses[await self._ask_one(clients)] += 1
                    await asyncio.sleep(random.random() * self._think_seconds)
            finally:
                for one in clients:
                    one.close()

        await asyncio.gather(*(client() for _ in range(CLIENTS)))

    async def _ask_one(self, clients: list[Client]) -> int:
        for client in clients:
            try:
                if not client.idle:
                    await client.connect()
            except OSError:
                continue
            return await client.get(self._path)
        return FAILED
