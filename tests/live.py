"""A real server on a real port, for what a client in this event loop cannot show: sockets, slow bodies, browsers."""

import socket
import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Literal

import uvicorn

from api.main import create_app
from api.server.door import Door
from api.server.options import OPTIONS
from api.state import State
from core.settings import Settings
from tests.stalls import Meter

START_SECONDS = 30
STOP_SECONDS = 10


class LiveServer:
    """uvicorn with the options of ``make run``, in a thread: a test may look into the application that it serves."""

    def __init__(
        self, settings: Settings, *, loop: Literal["auto", "uvloop", "asyncio"] = "auto", root_path: str = ""
    ) -> None:
        self.app = create_app(settings, compile_after=0)
        # a test does not wait for connections that it left open
        door: Door = self.app.state.door
        door.bounds = replace(door.bounds, idle_while_draining=0.0)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        self.base_url = f"http://{host}:{port}"
        self.meter = Meter(self.app)
        config = uvicorn.Config(
            self.meter,
            loop=loop,
            log_level="critical",
            root_path=root_path,
            **OPTIONS | {"timeout_graceful_shutdown": 2},
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def state(self) -> State:
        held: State = self.app.state.tandem
        return held

    @property
    def websocket_url(self) -> str:
        return self.base_url.replace("http:", "ws:", 1) + "/graphql"

    def __enter__(self) -> "LiveServer":
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; connections that are open are closed."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()
