"""One pure ASGI middleware around everything: request id, limits, time, access log, and the last resort for errors."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Generator
from functools import cache, partial
from types import coroutine
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from api import problems
from api.http.addresses import MAX_ADDRESS
from api.http.cache_control import NO_STORE, UNKNOWN, is_said
from api.http.compiler import CompiledRoute, from_the_start
from api.http.headers import RepeatedHeader, combine, headers_of
from api.http.index import RouteIndex
from api.http.transports import give_place
from api.metrics import Metrics
from api.server.door import GONE
from api.state import State
from core import deadlines, request_context
from core.networks import network_of
from services.shared.actors import Actor
from services.shared.errors import Allowance, RateLimited

access = logging.getLogger("tandem.access")
logger = logging.getLogger("tandem.errors")

CLIENT_GONE = 499
"""In the log and the metrics, as nginx has it: the client left before its answer, which nobody gets."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}")


class RequestMiddleware:
    """Gives every request an id and a time, bounds its body, and answers for what nobody caught."""

    HTTP_ALONE = True

    def __init__(self, app: ASGIApp, state: State, routes: RouteIndex, metrics: Metrics) -> None:
        self.app = app
        self._state = state
        self._routes = routes
        self._metrics = metrics
        seconds = state.settings.strict_transport_seconds
        self._transport = (b"strict-transport-security", b"max-age=%d" % seconds) if seconds else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if head else scope
        request_id = _incoming_id(scope) or str(uuid7())
        token = request_context.request_id.set(request_id)
        suggesting = request_context.suggesting.set(self._state.introspection)
        settings = self._state.settings
        work = deadlines.Work(settings.request_timeout_seconds, address_of(scope))
        work.at_rest = partial(give_place, scope)
        working = deadlines.current.set(work)
        status = 500
        responding = False

        # no coroutine of its own, as it stands in the way of every answer
        def send_with_headers(message: Message) -> Awaitable[None]:
            nonlocal status, responding
            if message["type"] == "http.response.start":
                responding = True
                status = message["status"]
                elapsed = time.perf_counter() - started
                headers = message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-process-time", b"%.6f" % elapsed),
                ]
                fixed = getattr(inner.get("route"), "fixed_headers", UNKNOWN)
                if status < 400:
                    headers += fixed.given
                else:
                    headers += fixed.refused
                    if not is_said(headers):
                        headers.append(NO_STORE)
                if self._transport is not None and scope["scheme"] == "https":
                    headers.append(self._transport)
                allowance: Allowance | None = inner.get("tandem.allowance")
                if allowance is not None:
                    headers.extend(_rate_headers(allowance))
            elif head:
                message = {**message, "body": b""}
            return send(message)

        try:
            limited = _bounded(inner, receive, settings.max_body_bytes, settings.body_timeout_seconds, work)
            await self._call(inner, limited, send_with_headers)
        except asyncio.CancelledError:
            if GONE not in scope:
                raise
            # whoever asked has gone, and its server ended what was done for it: nobody's error
            if not responding:  # a stream is left some day
                status = CLIENT_GONE
        except Exception as error:
            if responding:
                logger.exception("failed while responding")
                raise
            response = await problems.answer(Request(inner), error)
            await response(inner, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count(inner, scope["method"], status, seconds)
            if access.isEnabledFor(logging.INFO):
                told = {"method": scope["method"], "path": scope["path"], "status": status}
                access.info("request", extra=told | {"duration_ms": round(seconds * 1000, 2)})
            work.end()
            deadlines.current.reset(working)
            request_context.suggesting.reset(suggesting)
            request_context.request_id.reset(token)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route's compiled handler, or by FastAPI where there is none or it leaves the request."""
        if len(scope["path"]) + len(scope["query_string"]) > MAX_ADDRESS:
            raise HTTPException(414, f"The address is longer than {MAX_ADDRESS:,} bytes")
        if len(headers_of(scope)) != len(scope["headers"]):
            try:
                combine(scope)
            except RepeatedHeader as repeated:
                raise HTTPException(400, f"{repeated} is there more than once, with different values") from None
        route = self._routes.match(scope)
        handle = route.compiled if isinstance(route, CompiledRoute) else None
        if handle is not None and not scope["app"].dependency_overrides:
            request = Request(scope, receive)
            response = await handle(request)
            if response is not None:
                await response(scope, receive, send)
                return
            receive = from_the_start(request, receive)
        await self.app(scope, receive, send)


def _too_large() -> HTTPException:
    return HTTPException(413, "The body is too large", {"Connection": "close"})


def _incoming_id(scope: Scope) -> str | None:
    value = headers_of(scope).get(b"x-request-id")
    return value.decode() if value is not None and _REQUEST_ID.fullmatch(value) else None


def _bounded(scope: Scope, receive: Receive, limit: int, timeout: float, work: deadlines.Work) -> Receive:
    """``receive`` that raises once the body is larger than the limit, declared or not, or takes too long.

    What it takes to arrive is none of the time that the work has.
    """
    length = headers_of(scope).get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > limit:

        async def refuse() -> Message:
            raise _too_large()

        return refuse
    size = 0
    finished = False
    deadline = 0.0

    async def bounded() -> Message:
        nonlocal size, finished, deadline
        if finished:
            return await receive()
        receiving: Any = receive()
        try:
            # mostly it is there, and nobody has to look at the clock
            waiting = receiving.send(None)
        except StopIteration as done:
            message: Message = done.value
        else:
            deadline = deadline or asyncio.get_running_loop().time() + timeout
            began = time.monotonic()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await _rest(receiving, waiting)
            except TimeoutError:
                raise HTTPException(408, "The body came too slowly", {"Connection": "close"}) from None
            work.lengthen(time.monotonic() - began)
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > limit:
                raise _too_large()
            finished = not message.get("more_body", False)
        return message

    return bounded


@coroutine
def _rest(begun: Any, waiting: Any) -> Generator[Any, Any, Any]:
    """What comes of a coroutine that has begun, and is ``waiting`` for something."""
    while True:
        try:
            given = yield waiting
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, given)
        try:
            waiting = step()
        except StopIteration as done:
            return done.value


def address_of(scope: Scope) -> str:
    """Who somebody is who has named no account (yet)."""
    client = scope.get("client")
    return f"address:{network_of(client[0]) if client else ''}"


async def count_request(scope: Scope, state: State, actor: Actor) -> None:
    """Count the request against the account's allowance, or that of the address. Raises ``RateLimited``."""
    limits = state.security.limits
    if not limits.enabled:
        return
    identity = actor.allowance or address_of(scope)
    try:
        scope["tandem.allowance"] = await limits.check(identity)
    except RateLimited as error:
        scope["tandem.allowance"] = error.allowance
        raise


def _rate_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        _policy_header(allowance.limit, allowance.window),
        (b"ratelimit", b'"default";r=%d;t=%d' % (allowance.remaining, allowance.reset)),
    ]


@cache
def _policy_header(limit: int, window: int) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit, window)
