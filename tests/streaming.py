"""The beginning of a stream that has no end, from the application under test without a server."""

import asyncio
import json
from typing import Any

import httpx

from tests.actors import Anonymous
from tests.doors import Result, from_rest

PATIENCE = 10
SUBSCRIBE = {"Accept": "text/event-stream", "Content-Type": "application/json"}


async def begin(
    caller: Anonymous, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> httpx.Response:
    """The answer, whose body ends with the first event that has data; then the client goes."""
    app = caller.client._transport.app  # type: ignore[attr-defined]  # the application under test
    request = caller.client.build_request(
        method, path, headers={**caller.headers, **(headers or {})}, content=body or None
    )
    scope = {
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

    running = asyncio.ensure_future(app(scope, receive, send))
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait((running, asyncio.ensure_future(enough.wait())), return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return httpx.Response(answer["status"], headers=answer["headers"], content=bytes(sent), request=request)


CHANGES = ("/events", "subscription($after: String) { result: changes(after: $after) { cursor } }")
NOTIFICATIONS = (
    "/notifications/live",
    "subscription($after: ID) { result: notificationReceived(after: $after) { kind task { title } } }",
)


async def followed(door: str, caller: Anonymous, after: str = "0", stream: tuple[str, str] = CHANGES) -> Result:
    """The first thing that a caller is told by a stream of either door, or what it is refused with."""
    path, query = stream
    if door == "rest":
        answer = await begin(caller, "GET", f"/api/v1{path}?after={after}")
        return from_rest(answer) if answer.status_code >= 400 else _told(answer, _data(answer))
    body = json.dumps({"query": query, "variables": {"after": after}}).encode()
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
