"""WebSockets and event streams as nobody in good faith uses them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.attack.probes import Finding, probe
from tests.attack.world import World

PROTOCOL = Subprotocol("graphql-transport-ws")
FOLLOW = {"query": "subscription { taskCreated { id } }"}


def _open(world: World, **options: Any) -> connect:
    address = f"ws://127.0.0.1:{world.port}/graphql"
    return connect(address, subprotocols=[PROTOCOL], max_size=None, open_timeout=10, **options)


async def _closed(socket: ClientConnection, seconds: float) -> int:
    """The code that the server closes with; 0 where it does not within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            try:
                while True:
                    await socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
    return 0


async def _begin(socket: ClientConnection, token: str) -> None:
    payload = {"Authorization": f"Bearer {token}"}
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    async with asyncio.timeout(10):
        await socket.recv()


def _with_socket(world: World, run: Callable[[ClientConnection], Awaitable[Finding]]) -> Finding:
    async def main() -> Finding:
        async with _open(world) as socket:
            return await run(socket)

    return asyncio.run(main())


@probe("sockets", "one that never says who it is")
def _(world: World) -> Finding:
    async def run(socket: ClientConnection) -> Finding:
        begun = time.monotonic()
        code = await _closed(socket, 12)
        return Finding(code == 4408 and time.monotonic() - begun < 7, f"{code} after {time.monotonic() - begun:.0f} s")

    return _with_socket(world, run)


@probe("sockets", "a message of 100 kB")
def _(world: World) -> Finding:
    async def run(socket: ClientConnection) -> Finding:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"x": "x" * 100_000}}))
        code = await _closed(socket, 5)
        return Finding(code in {1009, 4400}, f"{code}")

    return _with_socket(world, run)


@probe("sockets", "500 sockets of one account")
def _(world: World) -> Finding:
    async def main() -> Finding:
        kept = 0
        async with AsyncExitStack() as stack:
            for _ in range(500):
                try:
                    socket = await stack.enter_async_context(_open(world))
                    await _begin(socket, world.mallory.token)
                    kept += 1
                except (ConnectionClosed, InvalidStatus, TimeoutError, OSError):
                    break
            async with httpx.AsyncClient(base_url=world.base_url, timeout=10) as client:
                status = (await client.get("/health")).status_code
        return Finding(kept < 500 and status == 200, f"{kept} were let in")

    return asyncio.run(main())


@probe("sockets", "1,000 operations on one socket")
def _(world: World) -> Finding:
    async def run(socket: ClientConnection) -> Finding:
        await _begin(socket, world.mallory.token)
        for number in range(1_000):
            message = {"type": "subscribe", "id": str(number), "payload": FOLLOW}
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(message))
        code = await _closed(socket, 10)
        return Finding(code >= 4000, f"{code}")

    return _with_socket(world, run)


@probe("sockets", "a page of somebody else's")
def _(world: World) -> Finding:
    async def main() -> Finding:
        try:
            async with _open(world, origin="https://evil.example") as socket:
                code = await _closed(socket, 3)
        except InvalidStatus as refused:
            code = refused.response.status_code
        return Finding(code in {403, 4403}, f"{code}")

    return asyncio.run(main())


@probe("sockets", "a socket ends with its session")
def _(world: World) -> Finding:
    async def main() -> Finding:
        async with httpx.AsyncClient(base_url=f"{world.base_url}/api/v1", timeout=30) as client:
            form = {"username": "mallory", "password": "correct horse battery"}
            answer = await client.post("/token", data=form)
            if answer.status_code == 429:  # other probes have used up what an address may try
                await asyncio.sleep(int(answer.headers["retry-after"]) + 1)
                answer = await client.post("/token", data=form)
            tokens = answer.raise_for_status().json()
            async with _open(world) as socket:
                await _begin(socket, tokens["access_token"])
                await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": FOLLOW}))
                await asyncio.sleep(1.0)
                ended = await client.post("/token/revoke", json={"refresh_token": tokens["refresh_token"]})
                begun = time.monotonic()
                code = await _closed(socket, 5)
        seconds = time.monotonic() - begun
        return Finding(code in {4401, 4403} and seconds <= 2.0, f"{ended.status_code}, {code} after {seconds:.1f} s")

    return asyncio.run(main())


@probe("sockets", "10,000 pings of one socket")
def _(world: World) -> Finding:
    async def main() -> Finding:
        async with _open(world) as socket, httpx.AsyncClient(base_url=world.base_url, timeout=10) as client:
            await _begin(socket, world.mallory.token)
            for _ in range(10_000):
                try:
                    await socket.send('{"type": "ping"}')
                except ConnectionClosed:
                    break
            begun = time.monotonic()
            status = (await client.get("/health")).status_code
            seconds = time.monotonic() - begun
        return Finding(status == 200 and seconds < 0.5, f"/health {status} after {seconds * 1000:.0f} ms")

    return asyncio.run(main())
