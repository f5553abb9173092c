"""The beginning of a stream that has no end, from the application under test without a server."""

import asyncio
import json
from typing import Any

import httpx

from services.shared.node_ids import encode
from tests.actors import Anonymous
from tests.doors import Result, from_rest

PATIENCE = 10
SUBSCRIBE = {"Accept": "text/event-stream", "Content-Type": "application/json"}


def _scope_of(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 123),
        "root_path": "",
        "state": {},
    }


async def begin(
    caller: Anonymous, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> httpx.Response:
    """The answer, whose body ends with the first event that has data; then the client goes."""
    app = caller.client._transport.app  # type: ignore[attr-defined]  # the application under test
    request = caller.client.build_request(
        method, path, headers={**caller.headers, **(headers or {})}, content=body or None
    )
    scope = _scope_of(request)
    enough, sent, asked = asyncio.Event(), bytearray(), False
    answer: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.update(status=message["status"], headers=message["headers"])
            return
        sent.extend(message.get("body", b""))
        if not message.get("more_body") or (b"\ndata: " in sent and sent.endswith(b"\n\n")):
            enough.set()

    running = asyncio.create_task(app(scope, receive, send))
    running.add_done_callback(lambda _: enough.set())
    try:
        async with asyncio.timeout(PATIENCE):
            await enough.wait()
    finally:  # also where the test has heard enough: the shared application would follow to the end of the run
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return httpx.Response(answer["status"], headers=answer["headers"], content=bytes(sent), request=request)


async def followed(door: str, caller: Anonymous, after: str = "0") -> Result:
    """The first change that a caller is told of by a stream of either door, or what it is refused with."""
    query = "subscription($after: String) { result: changes(after: $after) { cursor } }"
    return await _first(door, caller, f"/events?after={after}", query, {"after": after})


async def listed_live(door: str, caller: Anonymous) -> Result:
    """The first that a caller is told of a live list by a stream of either door, or what it is refused with."""
    return await _first(door, caller, "/tasks/live", "subscription { result: liveTasks { cursor } }", {})


async def notified(door: str, caller: Anonymous, after: object) -> Result:
    """The first notification after one, by its id, that a caller is told of by a stream of either door, or what it is
    refused with."""
    query = "subscription($after: ID) { result: notificationReceived(after: $after) { kind task { title } } }"
    given = encode("Notification", after) if isinstance(after, int) else str(after)
    return await _first(door, caller, f"/notifications/live?after={after}", query, {"after": given})


async def _first(door: str, caller: Anonymous, path: str, query: str, variables: dict[str, str]) -> Result:
    if door == "rest":
        answer = await begin(caller, "GET", f"/api/v1{path}")
        return from_rest(answer) if answer.status_code >= 400 else _told(answer, _data(answer))
    body = json.dumps({"query": query, "variables": variables}).encode()
    answer = await begin(caller, "POST", "/graphql", SUBSCRIBE, body)
    if answer.headers["content-type"].startswith("text/event-stream"):
        told = _data(answer)
        code = told["errors"][0]["extensions"]["code"] if "errors" in told else None
        return _told(answer, told.get("data"), code)
    return _told(answer, None, answer.json()["errors"][0]["extensions"]["code"])


def _data(answer: httpx.Response) -> Any:
    lines = [line for line in answer.text.split("\n") if line.startswith("data: ")]
    return json.loads(lines[0].removeprefix("data: "))


def _told(answer: httpx.Response, body: Any, code: str | None = None) -> Result:
    return Result(answer.status_code, code, "", [], body, answer.headers)


class Stream:
    """A stream of either door that goes on, from the application under test without a server: what it is told is kept,
    event by event, as kind, id and data."""

    def __init__(
        self, caller: Anonymous, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self._app = caller.client._transport.app  # type: ignore[attr-defined]  # the application under test
        request = caller.client.build_request(
            method, path, headers={**caller.headers, **(headers or {})}, content=body or None
        )
        self._scope, self._body = _scope_of(request), body
        self.status = 0
        self.events: list[tuple[str, str, str]] = []
        self.reads = asyncio.Event()
        """Whether the client reads; one that does not stays where it is."""
        self.reads.set()
        self._gone, self._begun, self._came, self._text = asyncio.Event(), asyncio.Event(), asyncio.Event(), bytearray()
        self._asked = False
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._begun.set()
            self._came.set()

    async def begun(self) -> "Stream":
        """Once it is known how it is answered."""
        async with asyncio.timeout(PATIENCE):
            await self._begun.wait()
        return self

    async def told(self, number: int) -> list[tuple[str, str, str]]:
        """The first so many events, once they are there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.events) < number and not self.running.done():
                self._came.clear()
                await self._came.wait()
        return self.events[:number]

    async def close(self) -> None:
        """The client goes."""
        self._gone.set()
        self.reads.set()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    @property
    def text(self) -> str:
        return self._text.decode()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._begun.set()
            return
        self._text += message.get("body", b"")
        if self.status != 200:
            return
        *whole, rest = bytes(self._text).split(b"\n\n")
        self._text = bytearray(rest)
        for part in whole:
            lines = dict(line.split(": ", 1) for line in part.decode().split("\n") if ": " in line[1:])
            if "event" in lines:
                self.events.append((lines["event"], lines.get("id", ""), lines.get("data", "")))
        self._came.set()
