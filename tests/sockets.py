"""A client of graphql-transport-ws, and the servers it talks to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from tests.actors import Anonymous, Person
from tests.live import LiveServer

PROTOCOL = "graphql-transport-ws"
PATIENCE = 10


class Socket:
    """An open socket; every wait ends after ten seconds."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = 0

    @property
    def protocol(self) -> str | None:
        return self.connection.subprotocol

    async def send(self, message: Any) -> None:
        """Send a message, or raw text or bytes."""
        await self.connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def quiet(self, seconds: float = 0.4) -> bool:
        """Whether nothing comes for a while."""
        with anyio.move_on_after(seconds):
            await self.connection.recv()
            return False
        return True

    async def close_code(self) -> tuple[int, str]:
        """The code and reason that the server closes with; messages before that are passed over."""
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                # 1006: the connection broke off
                return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")

    async def subscribe(self, query: str, variables: dict[str, Any] | None = None, *, id: str | None = None) -> str:
        """Begin an operation. Returns its id."""
        self._ids += 1
        id = id or f"operation-{self._ids}"
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})
        return id

    async def run(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of a query or mutation, or ``{"refused": [...]}`` for one that was not executed."""
        id = await self.subscribe(query, variables)
        message = await self.receive()
        assert message["id"] == id
        if message["type"] == "error":
            return {"refused": message["payload"]}
        assert message["type"] == "next"
        assert await self.receive() == {"id": id, "type": "complete"}
        result: dict[str, Any] = message["payload"]
        return result


@asynccontextmanager
async def opened(
    server: LiveServer,
    *,
    protocols: tuple[str, ...] = (PROTOCOL,),
    origin: str | None = None,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Socket]:
    """A socket that has not been initialised."""
    async with connect(
        server.websocket_url,
        subprotocols=[Subprotocol(name) for name in protocols] or None,
        origin=Origin(origin) if origin else None,
        additional_headers=headers,
        proxy=None,
        close_timeout=2,
        max_size=None,
    ) as connection:
        yield Socket(connection)


@asynccontextmanager
async def initialised(server: LiveServer, caller: Anonymous) -> AsyncIterator[Socket]:
    """A socket of the caller, ready for operations."""
    async with opened(server) as socket:
        await socket.send({"type": "connection_init", "payload": caller.headers})
        assert await socket.receive() == {"type": "connection_ack"}
        yield socket


async def created(person: Person, title: str, **fields: Any) -> str:
    """Create a task; returns its title."""
    await person.task(title=title, **fields)
    return title
