"""graphql-transport-ws (the protocol of npm graphql-ws), and nothing older.

Each operation gets a new context and the caller is looked up anew, so a session that ended stops a socket's next
operation, and loaders never go stale. Messages that break the protocol close the socket with its own codes.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Any

from fastapi import WebSocket
from graphql import GraphQLError
from starlette.websockets import WebSocketDisconnect, WebSocketState
from uuid_utils import uuid7

from api.graphql.context import EXECUTOR, make_context
from api.graphql.requests import BadRequest, is_text, parse_json, to_request
from api.media_types import IDEMPOTENCY_KEY
from api.middleware import count_request
from api.state import State
from core import context
from core.answers import encode
from graphql_schema.errors import format_error, from_service
from graphql_schema.execution import SUBSCRIPTION
from graphql_schema.outcomes import GraphQLRequest, Outcome, RequestError
from services.actors import Actor
from services.authentication import Credentials
from services.errors import TandemError, TooExpensive

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT_SECONDS = 10.0
MAX_OPERATIONS = 50


class Close(Exception):
    """Ends the socket with a code of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason


class _Gone(Exception):
    """The client is no longer there to be answered."""


async def handle(websocket: WebSocket) -> None:
    """Serve a socket until either side closes it."""
    state: State = websocket.app.state.tandem
    if not _origin_allowed(websocket, state):
        await websocket.close(4403, "Forbidden")
        return
    if PROTOCOL not in websocket.scope.get("subprotocols", ()):
        await websocket.accept()
        await websocket.close(4406, "Subprotocol not acceptable")
        return
    await websocket.accept(subprotocol=PROTOCOL)
    if IDEMPOTENCY_KEY in websocket.headers:  # as over HTTP
        await websocket.close(4400, f"{IDEMPOTENCY_KEY} is no header here: send idempotencyKey in the input")
        return
    await _Connection(websocket, state).serve()


def _origin_allowed(websocket: WebSocket, state: State) -> bool:
    """Browsers name the page that opens a socket: only our own pages and the allowed origins may."""
    origin = websocket.headers.get("origin")
    if origin is None or origin in state.settings.allowed_origins or "*" in state.settings.allowed_origins:
        return True
    return origin.partition("://")[2] == websocket.headers.get("host")


class _Connection:
    def __init__(self, websocket: WebSocket, state: State) -> None:
        self._websocket = websocket
        self._state = state
        self._credentials = Credentials()
        self._operations: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        try:
            await self._initialise()
            while True:
                await self._dispatch(*await self._receive())
        except Close as close:
            await self._close(close)
        except (WebSocketDisconnect, _Gone):
            pass
        finally:
            for task in self._operations.values():
                task.cancel()
            await asyncio.gather(*self._operations.values(), return_exceptions=True)

    async def _initialise(self) -> None:
        try:
            async with asyncio.timeout(INIT_TIMEOUT_SECONDS):
                while True:
                    message, strict = await self._receive()
                    if message["type"] == "connection_init":
                        break
                    if message["type"] == "ping":
                        await self._send({"type": "pong"})
                    elif message["type"] == "subscribe":
                        raise Close(4401, "Unauthorized")
                    elif message["type"] not in {"pong", "complete"}:
                        raise Close(4400, "Unknown message type")
        except TimeoutError:
            raise Close(4408, "Connection initialisation timeout") from None
        payload = message.get("payload")
        if not strict or (payload is not None and not isinstance(payload, dict)):
            raise Close(4400, "The payload of connection_init must be an object")
        self._credentials = _credentials(payload or {}, self._websocket)
        try:
            actor = await self._actor()
        except TandemError as error:
            raise Close(4403, error.message) from None
        if actor.method == "anonymous":
            raise Close(4401, "Unauthorized")
        await self._send({"type": "connection_ack"})

    async def _dispatch(self, message: dict[str, Any], strict: bool) -> None:
        kind = message["type"]
        if kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "pong":
            pass
        elif kind == "subscribe":
            self._subscribe(_id(message), message.get("payload"), strict=strict)
        elif kind == "complete":
            task = self._operations.pop(_id(message), None)
            if task is not None:
                task.cancel()
        elif kind == "connection_init":
            raise Close(4429, "Too many initialisation requests")
        else:
            raise Close(4400, "Unknown message type")

    def _subscribe(self, id_: str, payload: Any, *, strict: bool) -> None:
        if id_ in self._operations:
            raise Close(4409, f"Subscriber for {id_[:50]} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise Close(4429, "Too many operations on one socket")
        try:
            request = to_request(payload, strict=strict)
        except BadRequest as error:
            raise Close(4400, str(error)) from None
        task = asyncio.create_task(self._operate(id_, request))
        self._operations[id_] = task

    async def _operate(self, id_: str, request: GraphQLRequest) -> None:
        token = context.request_id.set(str(uuid7()))
        try:
            final = await self._execute(id_, request)
        except _Gone:
            final = None
        finally:
            context.request_id.reset(token)
            if self._operations.get(id_) is asyncio.current_task():
                del self._operations[id_]
        if final is not None:
            with suppress(_Gone):
                await self._send({"id": id_, **final})

    async def _execute(self, id_: str, request: GraphQLRequest) -> dict[str, Any]:
        """Run an operation and send its results. Returns the message that ends it."""
        try:
            actor = await self._actor()
            await count_request(self._websocket.scope, self._state, actor)
            document, operation = await EXECUTOR.prepare_in_turns(request, guest=not actor.identity)
            operation_context = make_context(self._websocket, self._state, actor)
            if operation.operation is not SUBSCRIPTION:
                outcome = await EXECUTOR.execute(request, operation_context, document, operation)
                await outcome.write(operation_context.max_answer_bytes)
                if not outcome.executed:
                    return {"type": "error", "payload": outcome.errors}
                await self._next(id_, outcome)
            else:
                outcomes = await EXECUTOR.subscribe(request, operation_context, document, operation)
                async with aclosing(outcomes):
                    async for outcome in outcomes:
                        await self._actor()  # a session that has ended hears nothing more
                        await self._next(id_, outcome)
        except RequestError as error:
            return {"type": "error", "payload": error.outcome.errors}
        except TandemError as error:
            return {"type": "error", "payload": [format_error(from_service(error))]}
        except _Gone:
            raise
        except Exception as error:
            return {"type": "error", "payload": [format_error(GraphQLError("", original_error=error))]}
        return {"type": "complete"}

    async def _actor(self) -> Actor:
        return await self._state.authenticator.authenticate(self._credentials)

    async def _next(self, id_: str, outcome: Outcome) -> None:
        await self._send({"id": id_, "type": "next", "payload": outcome.body()})

    async def _receive(self) -> tuple[dict[str, Any], bool]:
        """The next message, and whether it is JSON in the strict sense."""
        frame = await self._websocket.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(frame.get("code", 1005))
        raw = frame.get("text")
        if raw is None:
            raise Close(4400, "Messages must be text")
        most = self._state.settings.max_body_bytes
        if len(raw) > most or (not raw.isascii() and len(raw.encode()) > most):
            raise Close(4400, "The message is too large")
        try:
            message, strict = parse_json(raw)
        except BadRequest:
            raise Close(4400, "Messages must be JSON") from None
        except TooExpensive as error:
            raise Close(4400, error.message) from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Close(4400, "Messages must be objects with a type")
        return message, strict

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._websocket.send_text(encode(message).decode())
        except (WebSocketDisconnect, RuntimeError):  # Starlette's, for a socket that was closed
            raise _Gone from None

    async def _close(self, close: Close) -> None:
        if self._websocket.application_state is not WebSocketState.DISCONNECTED:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._websocket.close(close.code, close.reason[:120])


def _id(message: dict[str, Any]) -> str:
    id_ = message.get("id")
    if not isinstance(id_, str) or not id_ or not is_text(id_):
        raise Close(4400, "id must be a string that is not empty")
    return id_


def _credentials(payload: dict[str, Any], websocket: WebSocket) -> Credentials:
    """The token or key in the payload, under the headers' names in any case; else those of the handshake."""
    folded = {key.lower(): value for key, value in payload.items() if isinstance(value, str)}
    authorization = folded.get("authorization") or websocket.headers.get("authorization")
    api_key = folded.get("x-api-key") or websocket.headers.get("x-api-key")
    return Credentials(authorization, api_key)
