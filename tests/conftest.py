"""Fixtures: an application on each database, people to act as, and a count of statements.

The databases of a worker process are made once and never emptied. Tests stay apart by acting as people of their own,
who see nothing of anybody else's, as in production.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI

from api.graphql.context import EXECUTOR
from api.main import create_app
from api.state import State
from core.settings import LIMITS, Settings
from db.engine import Database
from tests.actors import Anonymous, Person, make_person
from tests.infrastructure import available, require, scratch_database, start_services, stop_services, summary
from tests.live import LiveServer
from tests.statements import StatementCounter

ROOT = Path(__file__).resolve().parent.parent
SECRET = "A-test-key-of-sufficient-length-0123456789-xyz"
SERVER_KEY = "The-server-key-of-the-tests-0123456789-abcdef"
BACKENDS = ("sqlite", "postgresql")


def pytest_sessionstart(session: pytest.Session) -> None:
    start_services(session.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    stop_services(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    summary(terminalreporter)


# every document of a test is executed by its plan, where it has one, and not only one that comes again
EXECUTOR.planner.compile_after = 0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def migrate(url: str, revision: str = "head") -> None:
    """Bring a database to a revision, as the operator's command does."""
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.attributes["database_url"] = url
    command.upgrade(config, revision)


@pytest.fixture(scope="session")
def database_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A migrated database of each kind that this run has."""
    with ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('database') / 'test.db'}"}
        if (server := available("postgresql")) is not None:
            urls["postgresql"] = stack.enter_context(scratch_database(server))
        for url in urls.values():
            migrate(url)
        yield urls


def settings_for(url: str, **changes: Any) -> Settings:
    """Settings of a test application: cheap hashes, no limits, quiet."""
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": url,
        "secret_key": SECRET,
        "api_key": SERVER_KEY,
        "argon2_memory_kib": 64,
        "argon2_rounds": 1,
        **dict.fromkeys(LIMITS, "off"),
        "log_level": "ERROR",
        "database_pool_size": 5,
    }
    return Settings(_env_file=None, **(values | changes))


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What the application logs from now on."""
    logger, records = logging.getLogger("tandem"), Records()
    level = logger.level
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    yield records.kept
    logger.removeHandler(records)
    logger.setLevel(level)


@pytest.fixture(scope="session")
async def apps(database_urls: dict[str, str]) -> AsyncIterator[dict[str, FastAPI]]:
    async with AsyncExitStack() as stack:
        made = {}
        for name, url in database_urls.items():
            made[name] = app = create_app(settings_for(url))
            await stack.enter_async_context(app.router.lifespan_context(app))
        yield made


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database of this run of the test."""
    name: str = request.param
    if name == "postgresql":
        require("postgresql")
    return name


@pytest.fixture
def app(apps: dict[str, FastAPI], backend: str) -> FastAPI:
    return apps[backend]


@pytest.fixture
def state(app: FastAPI) -> State:
    held: State = app.state.tandem
    return held


@pytest.fixture
def database(state: State) -> Database:
    return state.database


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


@pytest.fixture
def anonymous(client: httpx.AsyncClient) -> Anonymous:
    return Anonymous(client)


class People:
    """Makes accounts that are logged in."""

    def __init__(self, client: httpx.AsyncClient, state: State) -> None:
        self._client, self._state = client, state

    async def __call__(self, **fields: Any) -> Person:
        return await make_person(self._client, self._state, **fields)


@pytest.fixture
def people(client: httpx.AsyncClient, state: State) -> People:
    return People(client, state)


@pytest.fixture
async def ada(people: People) -> Person:
    """A person."""
    return await people()


@pytest.fixture
async def bob(people: People) -> Person:
    """Another person, who shares nothing with the first."""
    return await people()


@pytest.fixture
def statements(database: Database) -> Iterator[StatementCounter]:
    """Counts the statements that reach the database."""
    counter = StatementCounter(database)
    with counter:
        yield counter


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server with an SQLite database of its own, for clients that are no Python of ours."""
    url = f"sqlite:///{tmp_path_factory.mktemp('live') / 'live.db'}"
    migrate(url)
    with LiveServer(settings_for(url)) as server:
        yield server.base_url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real trackers' data that may lie beside the checkout; tests that want it skip without."""
    folder = Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real data is not beside the checkout")
    return folder
