"""uvicorn's server, which loses no request when it ends."""

import asyncio
import socket
from contextlib import suppress

import uvicorn

from api.server.door import door_of
from api.server.listening import SETTLE_SECONDS, refuse_new

NOTIFY_SECONDS = 5.0


class Server(uvicorn.Server):
    """First it says that it ends (``/health/ready``, ``Connection: close``), then it accepts whoever is there already,
    and only then does it do what uvicorn does: close the socket, wait for what is answered, cut off the rest.

    ``alone`` says that nobody else serves by the same socket, or will: as gunicorn's workers do.
    """

    def __init__(self, config: uvicorn.Config, *, alone: bool = True) -> None:
        super().__init__(config)
        self._alone = alone

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notifying = asyncio.create_task(self._keep_notifying())
        try:
            door = door_of(self.lifespan.state)
            door.drain()
            await asyncio.sleep(0 if self.force_exit else door.bounds.shutdown_delay)
            if self._alone:
                listening = [socket.socket(fileno=one.fileno()) for server in self.servers for one in server.sockets]
                refuse_new(listening)
                for one in listening:
                    one.detach()
            await asyncio.sleep(SETTLE_SECONDS)
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
