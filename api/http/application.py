"""The application as FastAPI has it, without what is not needed here, and with an address below a proxy's prefix."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api import openapi, startup
from api.http.addresses import settle
from api.http.refusals import NotExecutedError
from api.http.transports import remember
from api.server.door import STATE_KEY
from api.state import State
from core.version import VERSION

logger = logging.getLogger("tandem.server")

DOOR_KEEPER = "api.server.protocol"
"""The module that a server imports which serves by it, before it starts the application."""
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI's, without its own outermost layers: telemetry (off), a limit of bodies (ours is another one), and an
    answer for what nobody caught, which ``RequestMiddleware`` has.

    Raises ``NotExecutedError`` for other options of FastAPI's: routes are put in beside it, and know of none.
    """

    tandem: State
    """What it holds for its lifetime."""

    def __init__(self, *, lifespan: Lifespan, **others: Any) -> None:
        if others:
            names = ", ".join(sorted(others))
            raise NotExecutedError(
                f"Application({names}=…) is not executed: give it to the routes, in api/main.py or below"
            )
        super().__init__(
            title="Tandem",
            version=VERSION,
            lifespan=lifespan,
            docs_url=None,
            redoc_url=None,
            # nobody reads it yet, and it costs time on every request
            telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
            redirect_slashes=False,
        )

    def setup(self) -> None:
        """Called by FastAPI, for the pages of its own."""
        self.add_route("/openapi.json", openapi.serve, include_in_schema=False)

    def openapi(self) -> dict[str, Any]:
        return openapi.document(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._open_door(scope)
            # a server's, and nobody's who runs the application in its own process
            reporting = asyncio.create_task(startup.report(self.state.tandem)) if "state" in scope else None
            await super().__call__(scope, receive, send)
            if reporting is not None:
                reporting.cancel()
            return
        if scope.get("root_path"):
            settle(scope, self._first_segments)
        remember(scope, send)
        # all that FastAPI's and Starlette's come to, without telemetry
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await (self._way_of_sockets if scope["type"] == "websocket" else self.middleware_stack)(scope, receive, send)

    @cached_property
    def _way_of_sockets(self) -> ASGIApp:
        """The routes, where all middleware is for HTTP: there may be thousands of sockets, and each layer would take
        memory for as long as one is open."""
        stack: Any = self.middleware_stack
        return self.router if all(getattr(each.cls, "HTTP_ALONE", False) for each in self.user_middleware) else stack

    def _open_door(self, scope: Scope) -> None:
        """Hand the door over to the server's connections, or say what is missing where there are none of ours."""
        if DOOR_KEEPER in sys.modules and "state" in scope:
            scope["state"][STATE_KEY] = self.state.door
        else:
            logger.warning(
                "served without --http api.server.protocol:Protocol: no bounds for headers, the time they take, "
                "connections, requests in progress and unread answers; and a request outlives its client"
            )

    @cached_property
    def _first_segments(self) -> frozenset[str]:
        return frozenset(getattr(route, "path", "/").split("/")[1] for route in self.routes)

    def add_middleware(self, middleware_class: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(middleware_class, type):
            raise NotExecutedError(
                f"The middleware {middleware_class!r} is no class, and would not be found in the stack"
            )
        made: Any = middleware_class
        super().add_middleware(made, *args, **kwargs)

    def build_middleware_stack(self) -> ASGIApp:
        stack: Any = super().build_middleware_stack()
        outermost: Any = self.user_middleware[0].cls
        while type(stack) is not outermost:
            stack = stack.app
        built: ASGIApp = stack
        return built
