"""CORS (Fetch Standard, section 3.3) for pages; next to nothing for everybody else."""

import logging
from collections.abc import Awaitable
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.buckets import Bucket

logger = logging.getLogger("tandem.cors")

LOGGED = (20, 0.2)
"""How many refused preflights are logged: at once, and a second from then on. Anybody can send them."""


class Cors(CORSMiddleware):
    """Starlette's, with a shorter way where no page asks: it makes objects of every request's and answer's headers.

    Such an answer only says that it would be another one for a page (``Vary``). A preflight that is refused says
    why, by the setting's name, and so does the log: a browser tells its page nothing of it.
    """

    HTTP_ALONE = True

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(app, **options)
        self._logged = Bucket(*LOGGED)

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        origin, method = request_headers["origin"], request_headers["access-control-request-method"]
        if not self.is_allowed_origin(origin):
            reason = "its origin is none of ALLOWED_ORIGINS"
        elif method not in self.allow_methods:
            reason = f"no page may ask for {method[:20]!r}"
        else:
            reason = f"pages may send no other headers than {', '.join(self.allow_headers)}"
        if self._logged.take():
            logger.warning("a CORS preflight from %r was refused: %s", origin[:200], reason)
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return PlainTextResponse(f"The preflight was refused: {reason}", response.status_code, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        for name, _ in scope["headers"]:
            if name == b"origin":
                await super().__call__(scope, receive, send)
                return

        # no coroutine of its own, as it stands in the way of every answer
        def send_with_vary(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"vary", b"Origin")]
            return send(message)

        await self.app(scope, receive, send_with_vary)
