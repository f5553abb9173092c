"""CORS (Fetch Standard, section 3.3) for pages; next to nothing for everybody else."""

from collections.abc import Awaitable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send


class Cors(CORSMiddleware):
    """Starlette's, with a shorter way where no page asks: it makes objects of every request's and answer's headers.

    Such an answer only says that it would be another one for a page (``Vary``).
    """

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
