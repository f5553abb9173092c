"""Two databases that begin alike: who acts in them, how they are put back, and what they hold."""

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    Table,
    create_engine,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from api.main import create_app
from api.state import State
from core import clock
from db.models import Base, Comment, Relation, User
from services import sessions
from services.events.consumers import catch_up
from services.events.notifier import CONSUMER
from services.events.numbering import number_all
from services.sessions import Login
from services.shared.actors import ANONYMOUS
from services.users import commands as users
from services.users.models import UserCreate
from tests.actors import PASSWORD, Anonymous
from tests.conftest import settings_for

PEOPLE = ("ada", "adam", "bob", "vic", "cid", "dan")
ROLES = {"ada": "owner", "adam": "admin", "bob": "member", "vic": "viewer"}
ACTORS = (*PEOPLE, "nobody", "reading key", "writing key")
UNEQUAL = {
    # random, each for itself
    ("users", "password_hash"),
    ("refresh_tokens", "token_hash"),
    ("api_keys", "key_hash"),
    ("api_keys", "prefix"),
    ("webhooks", "salt"),
    ("webhooks", "former_salt"),
    ("events", "event_id"),
    ("notifications", "event_id"),
    ("webhook_deliveries", "event_id"),
    ("webhook_deliveries", "order_key"),
    # given beside the requests, in the order of the ids
    ("events", "position"),
    ("event_consumers", "position"),
    ("webhooks", "since"),
    # of the request that was made
    ("events", "request_id"),
    # written once a minute, whenever the worker's memory of the key has run out
    ("api_keys", "last_used_at"),
}
"""Columns that differ between twins, and why: all others must be equal, ids included."""
_PARTLY_EQUAL = {
    # those of webhooks tell of what is random: the salts of secrets, the ids of messages
    ("idempotency_keys", "answer"): "CASE WHEN operation LIKE 'webhook.%' THEN NULL ELSE answer END",
}
"""Columns of which some rows do."""


class Stopped(datetime):
    """A clock that both twins read: it stands still during a step."""

    start = datetime.now(UTC).replace(microsecond=0)
    moment = start

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # one zone is enough
        return cls.moment

    @classmethod
    def restart(cls) -> None:
        cls.moment = cls.start + timedelta(seconds=1)

    @classmethod
    def tick(cls) -> None:
        cls.moment += timedelta(seconds=1, milliseconds=7)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "datetime", Stopped)


def _ordered(text: str | None) -> str | None:
    return None if text is None else json.dumps(json.loads(text), sort_keys=True)


class Twin:
    """One of the two: an application, the callers, and a look at its rows past the application."""

    def __init__(self, state: State, client: httpx.AsyncClient, url: str) -> None:
        self.callers: dict[str, Anonymous] = {"nobody": Anonymous(client)}
        self._state, self._client = state, client
        self._engine: Engine = create_engine(state.database.url.set(drivername=_driver(url)))
        self._tables = Base.metadata.sorted_tables
        self._compared = [_compared(self._engine, table) for table in self._tables]
        self._watching: Any = self._engine.raw_connection()
        if self._engine.dialect.name == "sqlite":  # keeps JSON as it was written: the order of names is nobody's matter
            self._watching.create_function("ordered", 1, _ordered)
        self._first: dict[str, list[dict[str, Any]]] = {}
        self._counters: list[tuple[str, int]] = []

    async def build(self) -> None:
        """Everybody has an account and shares ada's project; dan's account is disabled, cid is a stranger."""
        for name in PEOPLE:
            data = UserCreate(username=name, email=f"{name}@example.com", password=PASSWORD)
            await users.register(self._state.database, ANONYMOUS, data, security=self._state.security)
            login = Login(username=name, password=PASSWORD)
            tokens = await sessions.login(self._state.database, ANONYMOUS, login, security=self._state.security)
            self.callers[name] = Anonymous(self._client, {"Authorization": f"Bearer {tokens.access_token}"})
        ada = self.callers["ada"]
        project = (await ada.post("/projects", {"name": "Shared", "key": "SHARED"})).json()
        for name, role in ROLES.items():
            if name != "ada":
                await ada.post(f"/projects/{project['id']}/members", {"username": name, "role": role})
        await self._fill(project["id"])
        for name, scope in (("reading key", "tasks:read"), ("writing key", "tasks:write")):
            made = await ada.post("/users/me/api-keys", {"name": name, "scopes": [scope]})
            self.callers[name] = Anonymous(self._client, {"X-API-Key": made.json()["secret"]})
        async with self._state.database.writing() as session:
            await session.execute(update(User).where(User.username == "dan").values(disabled=True))
        self._state.authenticator.forget()
        with self._engine.connect() as connection:
            self._first = {
                table.name: [dict(row._mapping) for row in connection.execute(select(table))] for table in self._tables
            }
            self._first["events"] = []  # they tell of the keys' secrets
            self._counters = [tuple(row) for row in connection.execute(text(_COUNTERS[self._engine.dialect.name]))]

    async def _fill(self, project_id: int) -> None:
        """A few of everything, for most calls to find something."""
        ada, bob = self.callers["ada"], self.callers["bob"]
        for number in range(1, 6):
            person = ada if number % 2 else bob
            task = {"title": f"Task {number}", "project_id": project_id, "priority": number, "tags": ["bug", "Ünïcode"]}
            made = await person.post("/tasks", task | {"parent_id": 1 if number == 3 else None})
            assert made.status_code == 201, made.text
            for author in (ada, bob):
                await author.post(f"/tasks/{number}/comments", {"body": f"Comment on {number}"})
        for source, kind, target in ((1, "blocks", 2), (2, "blocks", 4), (5, "relates_to", 1)):
            await ada.post(f"/tasks/{source}/relations", {"kind": kind, "target_id": target})
        for person in (ada, bob):
            await person.post("/saved-views", {"name": "High", "filter": {"priority": {"gte": 3}}, "sort_by": "title"})
        for number, person in enumerate((ada, bob), start=1):
            await person.post(
                "/webhooks", {"name": "Told", "url": "https://example.com/told", "project_id": project_id}
            )
            await person.post(f"/webhooks/{number}/test")
        await ada.delete("/tasks/5")

    def reset(self) -> None:
        """As it was after ``build``."""
        with self._engine.begin() as connection:
            self._empty(connection)
            for table in self._tables:
                if self._first[table.name]:
                    connection.execute(insert(table), self._first[table.name])
            for name, last in self._counters:
                if self._engine.dialect.name == "sqlite":
                    connection.execute(text("INSERT INTO sqlite_sequence VALUES (:n, :l)"), {"n": name, "l": last})
                else:
                    connection.execute(select(func.setval(name, last)))
        self._state.authenticator.forget()

    def _empty(self, connection: Connection) -> None:
        if self._engine.dialect.name == "sqlite":
            for table in reversed(self._tables):
                connection.execute(delete(table))
            connection.execute(text("DELETE FROM sqlite_sequence"))
        else:
            names = ", ".join(table.name for table in self._tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))

    def task_of(self, ids: dict[str, Any]) -> dict[str, Any]:
        """The task that REST's path names before a comment or a relation; some task, where there is none."""
        for name, column in (("comment_id", Comment.task_id), ("relation_id", Relation.target_id)):
            if name in ids:
                with self._engine.connect() as connection:
                    found = connection.scalar(select(column).where(column.class_.id == ids[name]))
                return {"task_id": found or 1}
        return {}

    async def settle(self) -> None:
        """Everything that has happened has its place in the feed, and everybody was told."""
        await number_all(self._state.database)
        await catch_up(self._state.database, CONSUMER)

    def rows(self) -> dict[str, Sequence[Any]]:
        """Every row that both must hold. Past SQLAlchemy, for this is asked of both after each call."""
        cursor = self._watching.cursor()
        if self._engine.dialect.name == "sqlite":
            found = [cursor.execute(statement).fetchall() for statement in self._compared]
        else:
            [found] = cursor.execute(f"SELECT {', '.join(self._compared)}").fetchall()
            self._watching.rollback()
        return {table.name: rows for table, rows in zip(self._tables, found, strict=True)}

    def close(self) -> None:
        self._watching.close()
        self._engine.dispose()


def _compared(engine: Engine, table: Table) -> str:
    """The SQL that reads what is compared of a table; on PostgreSQL an expression that has it in one value."""
    on_sqlite = engine.dialect.name == "sqlite"
    columns: list[Any] = []
    for column in table.columns:
        if (part := _PARTLY_EQUAL.get((table.name, column.name))) is not None:
            columns.append(literal_column(part))
        elif (table.name, column.name) not in UNEQUAL:
            columns.append(func.ordered(column) if on_sqlite and isinstance(column.type, JSON) else column)
    statement = str(select(*columns).order_by(*table.primary_key).compile(engine))
    return statement if on_sqlite else f"ARRAY(SELECT r::text FROM ({statement}) r)"  # noqa: S608


_COUNTERS = {
    "sqlite": "SELECT name, seq FROM sqlite_sequence",
    "postgresql": "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL",
}


def _driver(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"


@asynccontextmanager
async def twins(urls: list[str]) -> AsyncIterator[list[Twin]]:
    """A twin on each of two migrated, empty databases."""
    async with AsyncExitStack() as stack:
        made = []
        for url in urls:
            app = create_app(settings_for(url, access_token_minutes=24 * 60), compile_after=0)
            await stack.enter_async_context(app.router.lifespan_context(app))
            await app.state.tandem.numberer.stop()  # and amid its transaction, the loop stands still between two steps
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
            Stopped.moment = Stopped.start
            twin = Twin(app.state.tandem, client, url)
            stack.callback(twin.close)
            await twin.build()
            made.append(twin)
        yield made


def differences(left: dict[str, Sequence[Any]], right: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """The rows of each table that only one has."""
    found = {}
    for name, rows in left.items():
        if rows != right[name]:
            pairs = itertools.zip_longest(rows, right[name])
            found[name] = [pair for pair in pairs if pair[0] != pair[1]][:5]
    return found
