"""The floor: what the measured endpoints cost at least in Python, with a token checked and the database's rules kept.

A bare ASGI application, hand-written SQL, orjson; no router, no validation, no error answers, and GraphQL documents are
recognised by their text, not parsed. It answers exactly what the server answers. Nobody could maintain it: it is a
measure, not a proposal. Tokens are verified by python-jose and remembered until they expire; sessions are looked up
once a second, as the server does.
"""

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from jose import jwt

from benchmarks import works
from benchmarks.floor_answers import (
    NewTask,
    Wanted,
    graphql_task,
    graphql_tasks_with_relations,
    number_in,
    rest_task,
    rest_tasks_with_relations,
)
from benchmarks.floor_postgresql import PostgresqlStore
from benchmarks.floor_sqlite import SqliteStore

Headers = list[tuple[bytes, bytes]]
Handler = Callable[[int, dict[str, Any]], Awaitable[Any]]

SESSION_SECONDS = 1.0
JSON = (b"content-type", b"application/json")
OPTIONS = orjson.OPT_UTC_Z

url = os.environ["DATABASE_URL"]
store: SqliteStore | PostgresqlStore = SqliteStore(url) if url.startswith("sqlite") else PostgresqlStore(url)
verified: dict[bytes, tuple[float, int, int]] = {}
sessions: dict[int, float] = {}


async def authenticate(headers: Headers) -> int:
    """The caller's id. Raises for a token that is not valid, or whose session has ended."""
    authorization = next(value for name, value in headers if name == b"authorization")
    known = verified.get(authorization)
    if known is None or known[0] <= time.time():
        claims = jwt.decode(
            authorization[7:].decode(),
            os.environ["SECRET_KEY"],
            algorithms=["HS256"],
            audience=os.environ["JWT_AUDIENCE"],
            issuer=os.environ["JWT_ISSUER"],
            options={f"require_{claim}": True for claim in ("exp", "aud", "iss", "sub")},
        )
        known = verified[authorization] = (claims["exp"], int(claims["sub"]), claims["sid"])
    _, user_id, session_id = known
    moment = time.monotonic()
    if sessions.get(session_id, 0.0) < moment:
        if not await store.is_live(session_id, user_id):
            raise PermissionError
        sessions[session_id] = moment + SESSION_SECONDS
    return user_id


async def rest_list(user_id: int, query: bytes) -> Any:
    parameters = parse_qs(query.decode())
    limit = int(parameters["limit"][0])
    wanted = Wanted(
        parameters.get("status", ()),
        [int(priority) for priority in parameters.get("priority", ())],
        "order" in parameters,
        "assignee" in parameters,
        parameters.get("tag", [None])[0],
    )
    rows = await store.tasks(user_id, limit, wanted)
    if "expand" not in parameters:
        return [rest_task(row) for row in rows]
    return rest_tasks_with_relations(rows, await store.related(user_id, [row[0] for row in rows]))


async def graphql_one(user_id: int, variables: dict[str, Any]) -> Any:
    row = await store.task(user_id, number_in(variables["id"]))
    return {"task": row and graphql_task(row)}


async def graphql_list(user_id: int, variables: dict[str, Any]) -> Any:
    rows = await store.tasks(user_id, variables["first"], Wanted())
    return {"tasks": {"edges": [{"node": graphql_task(row)} for row in rows]}}


async def graphql_filtered(user_id: int, variables: dict[str, Any]) -> Any:
    given = variables["filter"]
    if "assignees" in given:
        wanted = Wanted(is_mine=True)
    elif "tags" in given:
        wanted = Wanted(tag=given["tags"]["all"][0])
    else:
        priorities = range(given["priority"]["gte"], 6) if "priority" in given else ()
        wanted = Wanted((given["status"]["eq"].lower(),), priorities, "orderBy" in variables)
    rows = await store.tasks(user_id, variables["first"], wanted)
    return {"tasks": {"edges": [{"node": graphql_task(row)} for row in rows]}}


async def graphql_nested(user_id: int, variables: dict[str, Any]) -> Any:
    rows = await store.nested_tasks(user_id, variables["first"])
    related = await store.related(user_id, [row[0] for row in rows])
    return {"tasks": {"edges": [{"node": node} for node in graphql_tasks_with_relations(rows, related)]}}


async def graphql_create(user_id: int, variables: dict[str, Any]) -> Any:
    given = variables["input"]
    new = NewTask(
        number_in(given["projectId"]), given["title"], given["description"], given["priority"], given["dueAt"]
    )
    return {"createTask": {"task": graphql_task(await store.create(user_id, new))}}


DOCUMENTS: dict[str, Handler] = {
    works.ONE: graphql_one,
    works.LIST: graphql_list,
    works.FILTERED: graphql_filtered,
    works.ORDERED: graphql_filtered,
    works.NESTED: graphql_nested,
    works.CREATE: graphql_create,
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path, status = scope["path"], 200
    if path == "/health":
        answer: Any = {"status": "healthy"}
    else:
        user_id = await authenticate(scope["headers"])
        if path == "/graphql":
            request = orjson.loads(await read(receive))
            answer = {"data": await DOCUMENTS[request["query"]](user_id, request["variables"])}
        elif scope["method"] == "POST":
            given = orjson.loads(await read(receive))
            new = NewTask(given["project_id"], given["title"], given["description"], given["priority"], given["due_at"])
            answer, status = rest_task(await store.create(user_id, new)), 201
        elif path == "/api/v1/tasks":
            answer = await rest_list(user_id, scope["query_string"])
        else:
            row = await store.task(user_id, int(path[len("/api/v1/tasks/") :]))
            answer, status = (rest_task(row), 200) if row else ({"code": "NOT_FOUND"}, 404)
    body = orjson.dumps(answer, option=OPTIONS)
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> bytes:
    """The request's body."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def lifespan(receive: Any, send: Any) -> None:
    """Open the database before the first request, close it after the last."""
    await receive()
    await store.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await store.close()
    await send({"type": "lifespan.shutdown.complete"})
