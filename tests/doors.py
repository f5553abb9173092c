"""The same call on either door, so that one test can ask both; and whether anything was written by it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from api.main import create_app
from db.driver.database import Database
from db.driver.statements import Bound, Prepared
from db.models import ApiKey, LoginSession, RefreshToken, User
from db.models.base import Base
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.shared.node_ids import encode
from tests.actors import Anonymous, Answer
from tests.conftest import Caller, settings_for

Door = Literal["rest", "graphql"]
DOORS: tuple[Door, ...] = ("rest", "graphql")
NEWEST = 50
on_both_doors = pytest.mark.parametrize("door", DOORS)


@dataclass(frozen=True, slots=True)
class Result:
    """What a door answered, in REST's spelling. ``code`` is None where the call succeeded."""

    status: int
    code: str | None
    message: str
    pointers: list[str]
    body: Any
    headers: httpx.Headers

    @property
    def refusal(self) -> tuple[str | None, list[str]]:
        """Why, and where."""
        return self.code, self.pointers


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that both doors do: a REST route, and a GraphQL document whose only field is called ``result``.

    Values are REST's body and GraphQL's ``$input``. An id fills the path and ``$id``, or with ``id_in_input`` the
    input's ``id``, as a global id of the type ``node``. ``payload`` is the field of a payload that REST answers with.
    """

    rest: str
    graphql: str
    node: str = ""
    payload: str | None = None
    id_in_input: bool = False

    async def on(
        self, door: Door, caller: Anonymous, values: Any = None, *, id: int = 0, headers: dict[str, str] | None = None
    ) -> Result:
        if door == "rest":
            method, path = self.rest.split(" ")
            if values is None and path.endswith("/query"):
                values = {}
            options: dict[str, Any] = {} if values is None else {"json": values}
            return from_rest(await caller.rest(method, path.format(id=id), headers=headers or {}, **options))
        node_id = encode(self.node, id)
        given = _respell(values, to_camel_case) or {}
        variables = {"input": given | ({"id": node_id} if self.id_in_input else {}), "id": node_id}
        result = from_graphql(await caller.gql(self.graphql, variables, headers=headers or {}))
        if self.payload and result.code is None:
            result.body.update(result.body.pop(self.payload))
        return result


def from_rest(response: httpx.Response) -> Result:
    body: Any = response.json() if response.content else None
    if response.status_code < 400:
        return Result(response.status_code, None, "", [], body, response.headers)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    pointers = [item["pointer"] for item in body["errors"]]
    return Result(response.status_code, body["code"], body["detail"], pointers, body, response.headers)


def from_graphql(answer: Answer) -> Result:
    if "errors" not in answer.body:
        body = as_rest(answer.body["data"]["result"])
        return Result(answer.status, None, "", [], body, answer.headers)
    error, *more = answer.errors
    assert not (answer.body.get("data") or {}).get("result")
    code = error["extensions"]["code"]
    # each field whose arguments are refused has an error
    assert not more or {other["extensions"]["code"] for other in more} == {"BAD_USER_INPUT"} == {code}
    found = [problem["pointer"] for one in answer.errors for problem in one["extensions"].get("errors", [])]
    pointers = ["/".join(map(to_snake_case, pointer.split("/"))) for pointer in found]
    return Result(answer.status, code, error["message"], pointers, answer.body, answer.headers)


def _respell(value: Any, spell: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {spell(name): _respell(item, spell) for name, item in value.items()}
    return [_respell(item, spell) for item in value] if isinstance(value, list) else value


def as_rest(value: Any) -> Any:
    """GraphQL's data under REST's names: what it calls ``id`` and ``databaseId`` is ``node_id`` and ``id`` there."""
    if isinstance(value, list):
        return [as_rest(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"edges"}:
        return [as_rest(edge["node"]) for edge in value["edges"]]
    names = {"id": "node_id", "databaseId": "id"} if "databaseId" in value else {}
    return {names.get(name) or to_snake_case(name): as_rest(item) for name, item in value.items()}


def spelt(door: Door, field: str) -> str:
    """The name of a field as the door writes it."""
    return field if door == "rest" else to_camel_case(field)


LOGIN = (
    "mutation($input: LoginInput!) { result: login(input: $input) { accessToken refreshToken tokenType expiresIn } }"
)


async def log_in(door: Door, caller: Anonymous, username: str, password: str, **options: Any) -> Result:
    """A login: a form on REST, a mutation on GraphQL."""
    values = {"username": username, "password": password}
    if door == "rest":
        return from_rest(await caller.rest("POST", "/token", data=values, **options))
    return from_graphql(await caller.gql(LOGIN, {"input": values}, **options))


def bearer(client: Anonymous, access_token: str) -> Anonymous:
    """Whoever holds the token."""
    return Anonymous(client.client, {"Authorization": f"Bearer {access_token}"})


_CONTENTS: dict[str, Bound[Any]] = {
    "counts": Prepared(
        select(*(select(func.count()).select_from(table).scalar_subquery() for table in Base.metadata.sorted_tables))
    )(),
    **{
        f"rows of {model.__tablename__}": Prepared(
            select(*model.__table__.columns).order_by(model.__table__.columns["id"].desc()).limit(NEWEST)
        )()
        for model in (User, LoginSession, RefreshToken, ApiKey)
    },
}


@asynccontextmanager
async def nothing_written(database: Database) -> AsyncIterator[None]:
    """Fails if the block changes the number of rows of a table, or one of the newest rows of the accounts' tables."""
    # what is made of what was done before comes a moment later
    await number_all(database)
    await catch_up(database, CONSUMER)
    before = await _contents(database)
    yield
    assert await _contents(database) == before


async def _contents(database: Database) -> dict[str, Any]:
    async with database.reading() as session:
        return {name: await session.all(statement) for name, statement in _CONTENTS.items()}


@asynccontextmanager
async def another_instance(database: Database, **settings: Any) -> AsyncIterator[FastAPI]:
    """A second application on the same database, as another worker is."""
    url = database.url.render_as_string(hide_password=False)
    app = create_app(settings_for(url, **settings), compile_after=0)
    async with app.router.lifespan_context(app):
        yield app


@asynccontextmanager
async def calling(app: FastAPI, *, address: str = "127.0.0.1") -> AsyncIterator[Anonymous]:
    """A caller without credentials, from some address."""
    yield Anonymous(Caller(app, address=address))
