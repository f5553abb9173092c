"""Where a fault happens: a database, servers on it, callers; and the list of faults."""

import asyncio
import re
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import uvloop

from tests.conftest import migrate
from tests.faults.clusters import Cluster, Missing, cluster
from tests.faults.findings import Bounds, Finding
from tests.faults.fleet import Fleet
from tests.faults.load import Ledger, Load, sign_up

DatabaseName = Literal["sqlite", "postgresql"]
WARM_UP_SECONDS = 1.5
PEOPLE = 6


class World:
    """An empty database of a kind, for one fault."""

    def __init__(self, database: DatabaseName, folder: Path, stack: ExitStack, *, quick: bool) -> None:
        self.database: DatabaseName = database
        self.folder, self.stack, self.quick = folder, stack, quick
        self._cluster: Cluster | None = None
        if database == "postgresql":
            self._cluster = stack.enter_context(cluster())
            self.url = self._cluster.dsn()
        else:
            self.url = f"sqlite:///{folder / 'tandem.db'}"
        migrate(self.url)
        self.primary = 0
        """Which of the two servers of PostgreSQL has the last word in the end."""

    @property
    def cluster(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    @property
    def file(self) -> Path:
        """SQLite's."""
        return self.folder / "tandem.db"

    def serve(self, url: str | None = None, **options: Any) -> Fleet:
        """Servers, on another URL of the same database where one is given."""
        return self.stack.enter_context(Fleet(url or self.url, self.folder, **options))

    @asynccontextmanager
    async def load(self, *fleets: Fleet, **options: Any) -> AsyncIterator[Ledger]:
        """Callers of the servers, for as long as the block lasts; they have begun when it begins."""
        people = await sign_up(self.url, PEOPLE)
        load = Load([fleet.base_url for fleet in fleets], people, **options)
        async with load.running() as ledger:
            await asyncio.sleep(WARM_UP_SECONDS)
            yield ledger

    def stored(self) -> Counter[str]:
        """How often each title is in the database."""
        if self.database == "postgresql":
            rows: list[Any] = self.cluster.run("SELECT title, count(*) FROM tasks GROUP BY title", self.primary)
        else:
            with closing(sqlite3.connect(self.file)) as connection:
                rows = connection.execute("SELECT title, count(*) FROM tasks GROUP BY title").fetchall()
        return Counter(dict(rows))


Scenario = Callable[[World, Finding], Awaitable[None]]


class Fault(NamedTuple):
    """One of the list."""

    name: str
    database: DatabaseName
    bounds: Bounds
    scenario: Scenario


FAULTS: list[Fault] = []


_BOUNDS = Bounds()


def fault(name: str, *databases: DatabaseName, bounds: Bounds = _BOUNDS) -> Callable[[Scenario], Scenario]:
    """Put a scenario on the list."""

    def listed(scenario: Scenario) -> Scenario:
        FAULTS.extend(Fault(name, database, bounds, scenario) for database in databases)
        return scenario

    return listed


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tandem-faults-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def try_out(fault: Fault, *, quick: bool) -> Finding:
    """Make a world, let the fault happen, and say what came of it."""
    finding = Finding(fault.name, fault.database, fault.bounds)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(_folder())
            uvloop.run(_run(fault, World(fault.database, folder, stack, quick=quick), finding))
        except Missing as error:
            finding.missing = str(error)
        except Exception as error:
            finding.failures.append(f"the trial itself failed: {type(error).__name__}: {_first_line(error)}")
    return finding


async def _run(fault: Fault, world: World, finding: Finding) -> None:
    await fault.scenario(world, finding)


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return re.sub(r"://[^@\s]*@", "://", str(error)).strip().partition("\n")[0]


def now() -> float:
    return time.monotonic()
