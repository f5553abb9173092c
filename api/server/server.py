"""uvicorn's server, which accepts all who wait and loses no request when it ends."""

import asyncio
import os
import socket
from contextlib import suppress

import uvicorn

from api.server.door import door_of
from api.server.listening import SETTLE_SECONDS, refuse_new
from core import ticks

NOTIFY_SECONDS = 5.0
ON_TICK_SECONDS = 0.1
"""As often uvicorn looks whether it is to end; at each tenth time it sets its clock."""
TICKS = 864_000
MOST_AT_ONCE = 64
"""Connections that are accepted in one turn of the event loop."""


class Server(uvicorn.Server):
    """When it ends, it first says so (``/health/ready``, ``Connection: close``), then accepts whoever is there already,
    and only then does what uvicorn does: close the socket, wait for what is answered, cut off the rest.

    uvloop accepts one connection in each turn of the loop. Where turns take their time, new connections would wait for
    seconds, among them a balancer's that asks how the server is: whenever one was made, the others are made as well.

    ``alone`` says that nobody else serves by the same socket, or will: as gunicorn's workers do.
    """

    def __init__(self, config: uvicorn.Config, *, alone: bool = True) -> None:
        super().__init__(config)
        self._alone = alone
        self._listening: list[socket.socket] = []
        self._accepting: set[asyncio.Task[object]] = set()
        self._asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sockets is None:
            sockets = [self.config.bind_socket()]
        await super().startup(sockets)
        if self.started:
            self._listening = [socket.socket(fileno=os.dup(one.fileno())) for one in sockets]
            for one in self._listening:
                one.setblocking(False)
            door_of(self.lifespan.state).connected = self._accept_soon

    def _accept_soon(self) -> None:
        if not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._accept)

    def _accept(self) -> None:
        self._asked = False
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            for _ in range(MOST_AT_ONCE):
                try:
                    accepted, _ = listening.accept()
                except OSError:  # nobody there any more, or no file descriptor for them
                    break
                accepted.setblocking(False)
                task: asyncio.Task[object] = loop.create_task(
                    loop.connect_accepted_socket(self._make_connection, accepted, ssl=self.config.ssl)
                )
                self._accepting.add(task)
                task.add_done_callback(self._accepted)

    def _accepted(self, task: asyncio.Task[object]) -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # one that went again at once is nobody's concern

    def _make_connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn's startup
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def main_loop(self) -> None:
        """As uvicorn's, which is woken ten times a second by a timer of its own."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % TICKS
            await ticks.rest(ON_TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notifying = asyncio.create_task(self._keep_notifying())
        try:
            door = door_of(self.lifespan.state)
            door.drain()
            await asyncio.sleep(0 if self.force_exit else door.bounds.shutdown_delay)
            if self._alone:
                refuse_new(self._listening)
            self._accept()
            await asyncio.sleep(SETTLE_SECONDS)
            for one in self._listening:
                one.close()
            self._listening.clear()
            await super().shutdown(sockets)
        finally:
            notifying.cancel()
            with suppress(asyncio.CancelledError):
                await notifying

    async def _keep_notifying(self) -> None:
        """A supervisor that waits for signs of life must not take the end for a standstill."""
        while self.config.callback_notify is not None:
            await self.config.callback_notify()
            await asyncio.sleep(NOTIFY_SECONDS)
