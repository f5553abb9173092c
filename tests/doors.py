"""The same call on either door, so that one test can ask both; and whether anything was written by it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
from sqlalchemy import func, select
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from api.main import create_app
from db.engine import Database
from db.models import ApiKey, LoginSession, RefreshToken, User
from db.models.base import Base
from services.node_ids import encode
from tests.actors import Anonymous, Answer
from tests.conftest import settings_for

Door = Literal["rest", "graphql"]
DOORS: tuple[Door, ...] = ("rest", "graphql")
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

    The values are REST's body and GraphQL's ``$input``; an id fills the path and ``$id``, or the input's ``id``.
    """

    rest: str
    graphql: str
    node: str = ""
    id_in_input: bool = False

    async def on(
        self, door: Door, caller: Anonymous, values: Any = None, *, id: int = 0, headers: dict[str, str] | None = None
    ) -> Result:
        if door == "rest":
            method, path = self.rest.split(" ")
            options: dict[str, Any] = {} if values is None else {"json": values}
            return from_rest(await caller.rest(method, path.format(id=id), headers=headers or {}, **options))
        node_id = encode(self.node, id)
        given = _respell(values, to_camel_case) or {}
        variables = {"input": given | ({"id": node_id} if self.id_in_input else {}), "id": node_id}
        return from_graphql(await caller.gql(self.graphql, variables, headers=headers or {}))


def from_rest(response: httpx.Response) -> Result:
    body = response.json() if response.content else None
    if response.status_code < 400:
        return Result(response.status_code, None, "", [], body, response.headers)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    pointers = [item["pointer"] for item in body["errors"]]
    return Result(response.status_code, body["code"], body["detail"], pointers, body, response.headers)


def from_graphql(answer: Answer) -> Result:
    if "errors" not in answer.body:
        body = _respell(answer.body["data"]["result"], to_snake_case)
        return Result(answer.status, None, "", [], body, answer.headers)
    [error] = answer.errors
    assert not (answer.body.get("data") or {}).get("result")
    pointers = ["/".join(map(to_snake_case, pointer.split("/"))) for pointer in answer.pointers]
    return Result(answer.status, answer.code, error["message"], pointers, answer.body, answer.headers)


def _respell(value: Any, spell: Any) -> Any:
    if isinstance(value, dict):
        return {spell(name): _respell(item, spell) for name, item in value.items()}
    return [_respell(item, spell) for item in value] if isinstance(value, list) else value


@asynccontextmanager
async def nothing_written(database: Database) -> AsyncIterator[None]:
    """Fails if the block changes a row of the accounts' tables, or the number of rows of any table."""
    before = await _contents(database)
    yield
    assert await _contents(database) == before


async def _contents(database: Database) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            found[table.name] = await session.scalar(select(func.count()).select_from(table))
        for model in (User, LoginSession, RefreshToken, ApiKey):
            columns = model.__table__.columns
            rows = await session.all(select(*columns).order_by(columns["id"]))
            found[f"{model.__tablename__}: rows"] = [tuple(row) for row in rows]
    return found


@asynccontextmanager
async def another_instance(database: Database, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a second application on the same database, as another worker is."""
    url = database.url.render_as_string(hide_password=False)
    app = create_app(settings_for(url, **settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client
