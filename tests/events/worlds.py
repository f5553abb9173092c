"""Where a scenario happens: a database, servers on it, people; and the list of scenarios."""

import asyncio
import random
import re
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
import psycopg
import uvloop

from api.main import create_app
from tests.actors import Person, make_person
from tests.conftest import migrate, settings_for
from tests.events.findings import Finding
from tests.events.servers import Server
from tests.faults.clusters import Missing, cluster

DatabaseName = Literal["sqlite", "postgresql"]
CLUSTER = """
# when a transaction was committed is known to the microsecond
track_commit_timestamp = on
shared_buffers = '256MB'
max_wal_size = '2GB'
"""


@dataclass(frozen=True)
class Size:
    """How much of everything: the issue's, unless less is asked for."""

    seconds: float = 20.0
    """Of writing, where order is looked at; half as long where latencies are."""
    kills: int = 50
    numbered: int = 50_000
    changed: int = 10_000
    imported: int = 100_000
    followers: int = 5_000
    seed: int = 1
    processes: int = 4
    """Of the API, on PostgreSQL; SQLite has one."""


class World:
    """An empty database of a kind, for one scenario."""

    def __init__(
        self,
        database: DatabaseName,
        folder: Path,
        stack: ExitStack,
        size: Size,
        *,
        url: str = "",
        migrated: bool = True,
    ) -> None:
        """On a server of its own, unless a ``url`` is given of a database that is migrated already."""
        self.database: DatabaseName = database
        self.folder, self.size, self.chance = folder, size, random.Random(size.seed)
        self._stack = stack
        if url:
            self.url = url
        elif database == "postgresql":
            self.url = stack.enter_context(cluster(CLUSTER)).dsn()
        else:
            self.url = f"sqlite:///{self.file}"
        if migrated and not url:
            migrate(self.url)

    def beside(self) -> "World":
        """Another one, on a server of its own, whose database is empty."""
        folder = self.folder / "beside"
        folder.mkdir()
        return World(self.database, folder, self._stack, self.size, migrated=False)

    @property
    def notes_commits(self) -> bool:
        """Whether it can be said to the microsecond when something was committed."""
        return self.database == "postgresql"

    @property
    def file(self) -> Path:
        """SQLite's."""
        return self.folder / "tandem.db"

    @property
    def is_one_process(self) -> bool:
        return self.database == "sqlite"

    async def serve(
        self, number: int | None = None, more: Mapping[str, str] | None = None, *, worker: bool = True
    ) -> list[Server]:
        """The API's processes, with ``more`` settings: as many as the database is for, and beside them a worker, the
        last of the list; with SQLite the one process works by itself."""
        apart = worker and not self.is_one_process
        settings = {"EMBEDDED_WORKER": "true" if worker and not apart else "false", **(more or {})}
        count = number or (1 if self.is_one_process else self.size.processes)
        servers = [Server("api", self.url, self.folder, settings) for _ in range(count)]
        if apart:
            servers.append(Server("worker", self.url, self.folder, settings))
        for server in servers:
            self._stack.callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        return servers

    async def worker(self, more: Mapping[str, str]) -> Server:
        """A worker beside what there is."""
        server = Server("worker", self.url, self.folder, more)
        self._stack.callback(server.stop)
        await server.start()
        return server

    @asynccontextmanager
    async def application(self) -> AsyncIterator["Application"]:
        """An application in this process on the same database, to make what a scenario begins with; it numbers what it
        has done, and is gone before the scenario begins."""
        app = create_app(settings_for(self.url, access_token_minutes=10 * 60), compile_after=0)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as one:
            yield Application(one, app.state.tandem)

    def rows(self, statement: str) -> list[Any]:
        """What a statement comes to."""
        if self.database == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.file, timeout=30)) as file:
            return file.execute(statement).fetchall()


class Application(NamedTuple):
    """Who makes people and what they have."""

    client: httpx.AsyncClient
    state: Any

    async def people(self, number: int) -> list[Person]:
        """So many new accounts."""
        return [await make_person(self.client, self.state) for _ in range(number)]

    async def shared(self, people: Sequence[Person], number: int) -> list[dict[str, Any]]:
        """Projects of all of them, each owned by one of them in turn."""
        projects = []
        for each in range(number):
            owner = people[each % len(people)]
            project = await owner.project(name=f"Project {each}")
            for person in people:
                if person is not owner:
                    await owner.invite(project, person)
            projects.append(project)
        return projects


Run = Callable[[World, Finding], Awaitable[None]]


class Scenario(NamedTuple):
    """One of the list."""

    name: str
    database: DatabaseName
    run: Run


SCENARIOS: list[Scenario] = []


def scenario(name: str, *databases: DatabaseName) -> Callable[[Run], Run]:
    """Put a scenario on the list."""

    def listed(run: Run) -> Run:
        SCENARIOS.extend(Scenario(name, database, run) for database in databases)
        return run

    return listed


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tandem-events-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def try_out(one: Scenario, size: Size) -> Finding:
    """Make a world, let the scenario happen, and say what came of it."""
    finding = Finding(one.name, one.database)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(_folder())
            uvloop.run(_run(one, World(one.database, folder, stack, size), finding))
        except Missing as error:
            finding.missing = str(error)
        except Exception as error:
            finding.failures.append(f"the trial itself failed: {type(error).__name__}: {_first_line(error)}")
    return finding


async def _run(one: Scenario, world: World, finding: Finding) -> None:
    await one.run(world, finding)


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return re.sub(r"://[^@\s]*@", "://", str(error)).strip().partition("\n")[0]
