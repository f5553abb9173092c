"""graphql-transport-ws (the protocol of npm graphql-ws), and nothing older.

Each operation gets a new context and the caller is looked up anew, so loaders never go stale, and a session that ended
stops a socket's next operation; the socket itself is closed within a second of it (``services/connections.py``).
Messages that break the protocol close the socket with its own codes, or those of RFC 6455, section 7.4.1.

What is sent waits for what was sent before to be read. Who does not read is not waited for: the connection is broken
off. Until then nothing new is begun on it, so that a socket holds few answers at a time.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing, suppress
from typing import Any

from fastapi import WebSocket
from graphql import GraphQLError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState
from uuid_utils import uuid7

from api import problems
from api.graphql.context import make_context, prepare
from api.graphql.handshake import refusal
from api.graphql.requests import BadRequest, is_text, parse_json, to_request
from api.http.route import IDEMPOTENCY_KEY
from api.http.transports import abort, bound_messages, bound_silence
from api.middleware.request import address_of, count_request
from api.state import State
from core import request_context, turns
from core.buckets import Bucket
from core.deadlines import Work, working
from core.json_texts import encode
from graphql_schema.execution.errors import format_error, from_service
from graphql_schema.execution.executor import SUBSCRIPTION
from graphql_schema.execution.outcomes import GraphQLRequest, Outcome, RequestError
from services.authentication import Credentials
from services.shared.actors import ANONYMOUS, Actor
from services.shared.database_errors import from_database
from services.shared.errors import Forbidden, TandemError, TooExpensive, TooManyAtOnce, Unauthenticated

PROTOCOL = "graphql-transport-ws"
MAX_OPERATIONS = 50
"""On one socket, subscriptions among them."""
MAX_RUNNING = 5
"""Queries and mutations of one socket that are executed at the same time; the others wait for them."""
CHATTER = (1_000, 100)
"""How many messages that begin nothing a socket may send: at once, and a second from then on."""
IN_A_ROW = 32
"""After so many of them, others have a turn."""
CLOSE_SECONDS = 0.3
"""How long a socket that is closed has to take the close frame."""


class Close(Exception):
    """Ends the socket with a code of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason


class _Gone(Exception):
    """The client is no longer there to be answered."""


async def handle(websocket: WebSocket) -> None:
    """Serve a socket until either side closes it."""
    state: State = websocket.app.state.tandem
    token = request_context.request_id.set(str(uuid7()))
    suggesting = request_context.suggesting.set(state.introspection)
    try:
        refused = refusal(websocket, state)
        if refused is not None:
            await websocket.send_denial_response(refused)
            return
        with state.connections.stranger((websocket.scope.get("client") or ("",))[0]) as place:
            if PROTOCOL not in websocket.scope.get("subprotocols", ()):
                await websocket.accept()
                await websocket.close(4406, "Subprotocol not acceptable")
                return
            await websocket.accept(subprotocol=PROTOCOL)
            if IDEMPOTENCY_KEY in websocket.headers:  # as over HTTP
                reason = f"{IDEMPOTENCY_KEY} is no header here: send idempotencyKey in the input"
                await websocket.close(4400, reason)
                return
            with state.connections.socket():
                await _Connection(websocket, state).serve(known=place.give)
    except TooManyAtOnce as error:
        await websocket.send_denial_response(problems.from_error(error))
    except WebSocketDisconnect:
        pass
    finally:
        request_context.suggesting.reset(suggesting)
        request_context.request_id.reset(token)


class Sockets:
    """The ASGI application at the address of the sockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await handle(WebSocket(scope, receive, send))


class _Connection:
    def __init__(self, websocket: WebSocket, state: State) -> None:
        self._websocket = websocket
        self._state = state
        self._credentials, self._caller = Credentials(), ANONYMOUS
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._running = asyncio.Semaphore(MAX_RUNNING)
        self._chatter = Bucket(*CHATTER)
        self._in_a_row = 0
        self._ending: asyncio.Task[None] | None = None
        settings = state.settings
        self._most = min(settings.socket_message_bytes, settings.max_body_bytes)

    async def serve(self, *, known: Callable[[], None]) -> None:
        """Until either side closes the socket. ``known`` is called when it is known whose it is."""
        bound_messages(self._websocket.scope, self._most)
        bound_silence(self._websocket.scope, self._state.settings.socket_send_seconds)
        try:
            self._caller = await self._initialise()
            with self._state.connections.connected(self._caller, on_end=self._end):
                known()
                await self._send({"type": "connection_ack"})
                while self._ending is None:
                    await self._dispatch(*await self._receive())
        except Close as close:
            await self._close(close)
        except TooManyAtOnce as error:
            await self._close(Close(4429, error.message))
        except TandemError as error:
            await self._close(Close(4403, error.message))
        except (WebSocketDisconnect, _Gone):
            pass
        finally:
            self._cancel()
            await asyncio.gather(*self._operations.values(), return_exceptions=True)
            if self._ending is not None:
                await self._ending

    def _end(self, error: TandemError) -> None:
        """The session or key has ended that the socket came by."""
        self._cancel()
        self._ending = asyncio.create_task(self._close(Close(4403, error.message)))

    def _cancel(self) -> None:
        for task in self._operations.values():
            task.cancel()

    async def _initialise(self) -> Actor:
        try:
            async with asyncio.timeout(self._state.settings.socket_init_seconds):
                while True:
                    message, strict = await self._receive()
                    if message["type"] == "connection_init":
                        break
                    if message["type"] == "subscribe":
                        raise Close(4401, "Unauthorized")
                    if message["type"] not in {"ping", "pong", "complete"}:
                        raise Close(4400, "Unknown message type")
                    await self._chat(message["type"])
        except TimeoutError:
            raise Close(4408, "Connection initialisation timeout") from None
        payload = message.get("payload")
        if not strict or (payload is not None and not isinstance(payload, dict)):
            raise Close(4400, "The payload of connection_init must be an object")
        self._credentials = _credentials(payload or {}, self._websocket)
        try:
            with self._working():
                actor = await self._state.authenticator.authenticate(self._credentials)
        except (Unauthenticated, Forbidden) as error:
            raise Close(4403, error.message) from None
        except Exception as error:
            known = from_database(error)
            if known is None:
                raise
            raise Close(1013, known.message) from None  # try again later
        if actor.method == "anonymous":
            raise Close(4401, "Unauthorized")
        return actor

    async def _dispatch(self, message: dict[str, Any], strict: bool) -> None:
        kind = message["type"]
        if kind in {"ping", "pong"}:
            await self._chat(kind)
        elif kind == "subscribe":
            self._subscribe(_id(message), message.get("payload"), strict=strict)
        elif kind == "complete":
            task = self._operations.pop(_id(message), None)
            if task is not None:
                task.cancel()
            else:
                await self._chat(kind)
        elif kind == "connection_init":
            raise Close(4429, "Too many initialisation requests")
        else:
            raise Close(4400, "Unknown message type")

    async def _chat(self, kind: str) -> None:
        """Answer a message that begins nothing."""
        if not self._chatter.take():
            raise Close(4429, "Too many messages")
        if kind == "ping":
            await self._send({"type": "pong"})
        self._in_a_row = (self._in_a_row + 1) % IN_A_ROW
        if self._in_a_row == 0:
            await asyncio.sleep(0)

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
        token = request_context.request_id.set(str(uuid7()))
        try:
            with self._working():
                final = await self._execute(id_, request)
        except _Gone:
            final = None
        finally:
            request_context.request_id.reset(token)
            if self._operations.get(id_) is asyncio.current_task():
                del self._operations[id_]
        if final is not None:
            with suppress(_Gone):
                await self._send({"id": id_, **final})

    async def _execute(self, id_: str, request: GraphQLRequest) -> dict[str, Any]:
        """Run an operation and send its results. Returns the message that ends it."""
        try:
            async with self._sending:  # nothing is begun for whoever does not read what there is
                pass
            if turns.due():
                await turns.give()
            actor = await self._actor()
            with self._state.connections.operation(actor):
                await count_request(self._websocket.scope, self._state, actor)
                prepared = await prepare(request, self._state, actor)
                operation_context = make_context(self._websocket, self._state, actor)
                if prepared.operation.operation is not SUBSCRIPTION:
                    async with self._running:
                        outcome = await self._state.executor.execute(prepared, operation_context)
                        await outcome.write(operation_context.max_answer_bytes)
                        if not outcome.executed:
                            return {"type": "error", "payload": outcome.errors}
                        await self._next(id_, self._state.executor.priced(prepared, outcome))
                else:
                    outcomes = await self._state.executor.subscribe(prepared, operation_context)
                    async with aclosing(outcomes):
                        async for outcome in outcomes:
                            # a session that has ended hears nothing more
                            operation_context.actor = await self._actor()
                            await self._next(id_, self._state.executor.priced(prepared, outcome))
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
        return await self._state.authenticator.still(self._caller, self._credentials)

    def _working(self) -> AbstractContextManager[Work]:
        """An operation has the time that a request has over HTTP; a subscription, each of its events."""
        return working(self._state.settings.request_timeout_seconds, address_of(self._websocket.scope))

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
        most = self._most
        if len(raw) > most or (not raw.isascii() and len(raw.encode()) > most):
            raise Close(1009, f"A message has at most {most} bytes: send what is larger over HTTP")
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
            async with asyncio.timeout(self._state.settings.socket_send_seconds), self._sending:
                await self._websocket.send_text(encode(message).decode())
        except TimeoutError:
            abort(self._websocket.scope)
            raise _Gone from None
        except (WebSocketDisconnect, RuntimeError):  # Starlette's, for a socket that was closed
            raise _Gone from None

    async def _close(self, close: Close) -> None:
        if self._websocket.application_state is not WebSocketState.DISCONNECTED:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._websocket.close(close.code, close.reason[:120])
            except TimeoutError:
                abort(self._websocket.scope)
            except (WebSocketDisconnect, RuntimeError):
                pass


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
