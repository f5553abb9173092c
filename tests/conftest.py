"""Fixtures: an application on each database, people to act as, and a count of statements.

The databases of a worker process are made once and never emptied. Tests stay apart by acting as people of their own,
who see nothing of anybody else's, as in production.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from sqlalchemy import make_url

from api.main import create_app, openapi_document
from api.server import collector
from api.state import State
from core.settings import LIMITS, Settings
from db.driver.database import Database
from tests.actors import Anonymous, Crowd, Person, make_person
from tests.infrastructure import (
    WHOLE,
    available,
    folder_in_memory,
    require,
    scratch_database,
    start_services,
    stop_services,
    summary,
)
from tests.live import LiveServer
from tests.statements import StatementCounter

ROOT = Path(__file__).resolve().parent.parent
SECRET = "A-test-key-of-sufficient-length-0123456789-xyz"
SERVER_KEY = "The-server-key-of-the-tests-0123456789-abcdef"
BACKENDS = ("sqlite", "postgresql")


collect_ignore = ["clients"]
"""Clients are generated there, with modules that may be called test_webhook.py."""

SLOW_SECONDS = 600
"""A whole run that takes longer says so at its end; on two cores it takes nine minutes."""


def pytest_sessionstart(session: pytest.Session) -> None:
    folder_in_memory()
    start_services(session.config)
    collector.rest()  # what is imported and collected now stays


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what ``one_rule`` marks, a case comes through one of the doors on PostgreSQL, in turn, and through both on
    SQLite; TANDEM_WHOLE runs all of them."""
    left = [] if WHOLE else [item for item in items if _is_of_the_other_door(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _is_of_the_other_door(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or item.get_closest_marker("one_rule") is None:
        return False
    case = item.callspec
    number = sum(place for name, place in case.indices.items() if name not in ("backend", "door"))
    return case.params["backend"] == "postgresql" and case.indices["door"] != number % 2


def pytest_collection_finish() -> None:
    collector.settle()  # as a server does


def pytest_unconfigure(config: pytest.Config) -> None:
    _templates.close()
    stop_services(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    summary(terminalreporter)
    seconds = terminalreporter._session_start.elapsed().seconds
    if seconds > SLOW_SECONDS:
        said = f"{seconds:.0f} s, MORE THAN {SLOW_SECONDS}: --durations=10 says which tests take long"
        terminalreporter.write_sep("!", said, red=True, bold=True)


# reading the certificates that a client trusts takes 20 ms: once, not for each of very many clients
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]  # private
# before every request it looks for sniffio, which is not installed, in all places where modules may be: 0.2 ms
httpx._transports.asgi.create_event = asyncio.Event


class Caller(httpx.AsyncClient):
    """A client of an application in this process. It has nothing to close, keeps no cookies and follows nobody else's
    address, which is half of what httpx's own does for a request."""

    def __init__(self, app: Any, *, address: str = "127.0.0.1") -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 50_000))
        super().__init__(transport=transport, base_url="http://test")

    async def send(self, request: httpx.Request, *, stream: bool = False, **_options: Any) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        response.request = request
        if not stream:
            await response.aread()
        return response


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """uvloop, as servers have it."""
    return "asyncio", {"use_uvloop": True}


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision, as the operator's command does."""
    command.upgrade(_migrations_of(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Bring a database back to a revision."""
    command.downgrade(_migrations_of(url), revision)


def _migrations_of(url: str) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
    config.attributes["database_url"] = url
    return config


def migrate(url: str) -> None:
    """Bring a new database to the newest revision: an SQLite file is a copy of one that was migrated before."""
    path = Path(make_url(url).database or "")
    if url.startswith("sqlite") and not path.exists():
        path.write_bytes(_migrated_file())
    else:
        upgrade(url)


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@contextmanager
def migrated_database(server: str) -> Iterator[str]:
    """The URL of a new database on PostgreSQL, copied from one that was migrated before; dropped afterwards."""
    with scratch_database(server, template=_template(server)) as url:
        yield url


_templates = ExitStack()


@cache
def _template(server: str) -> str:
    url = _templates.enter_context(scratch_database(server))
    upgrade(url)
    return make_url(url).database or ""


@pytest.fixture(scope="session")
def database_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A migrated database of each kind that this run has."""
    with ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('database') / 'test.db'}"}
        if (server := available("postgresql")) is not None:
            urls["postgresql"] = stack.enter_context(migrated_database(server))
        migrate(urls["sqlite"])
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
        # what a test of the deadline sets itself; else a busy machine would end calls with a thousand tasks
        "request_timeout_seconds": 60,
        "embedded_worker": False,
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
async def apps(database_urls: dict[str, str], anyio_backend: object) -> AsyncIterator[dict[str, FastAPI]]:
    # the loop is asked for by name: a test that is not async may be the first one here
    async with AsyncExitStack() as stack:
        made = {}
        for name, url in database_urls.items():
            # every document of a test is compiled, where it can be, and not only one that comes again
            made[name] = app = create_app(settings_for(url), compile_after=0)
            await stack.enter_async_context(app.router.lifespan_context(app))
            # What is done beside the requests would stand still amid a transaction wherever this loop does, which is
            # between two tests and as long as one lasts that needs no loop: servers on the same database would wait.
            await app.state.tandem.numberer.stop()
        yield made


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database of this run of the test."""
    name: str = request.param
    if name == "postgresql":
        require("postgresql")
    return name


@pytest.fixture
def app(apps: dict[str, FastAPI], backend: str) -> Iterator[FastAPI]:
    """The application on this database, which tests share: whoever follows it in one of them leaves it there, or its
    feeds would be read amid all that come after."""
    yield apps[backend]
    left = {name: feed.followers for name, feed in apps[backend].state.tandem.followed.items() if feed.followers}
    assert not left, f"followers that the test left behind: {left}"


@pytest.fixture
def state(app: FastAPI) -> State:
    held: State = app.state.tandem
    return held


@pytest.fixture
def database(state: State) -> Database:
    return state.database


def caller_of(app: FastAPI) -> Caller:
    """The client of an application, without credentials."""
    if not hasattr(app.state, "caller"):
        app.state.caller = Caller(app)
    made: Caller = app.state.caller
    return made


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    """A client without credentials."""
    return caller_of(app)


@pytest.fixture
def anonymous(client: httpx.AsyncClient) -> Anonymous:
    return Anonymous(client)


class People:
    """Makes accounts that are logged in."""

    def __init__(self, client: httpx.AsyncClient, state: State, crowd: Crowd | None = None) -> None:
        self._client, self._state, self._crowd = client, state, crowd

    async def __call__(self, **fields: Any) -> Person:
        if self._crowd is not None:
            if not fields and (person := self._crowd.take()) is not None:
                return person
            self._crowd.leave()
        return await make_person(self._client, self._state, **fields)


@pytest.fixture(scope="session")
def crowds(apps: dict[str, FastAPI]) -> list[Crowd]:
    """On each database one."""
    return [Crowd(caller_of(app), app.state.tandem) for app in apps.values()]


@pytest.fixture
async def people(client: httpx.AsyncClient, state: State, crowds: list[Crowd]) -> People:
    crowd = next((each for each in crowds if each.state is state), None)
    if crowd is not None:
        await crowd.gather()
    return People(client, state, crowd)


@pytest.fixture(scope="session")
def lasting(apps: dict[str, FastAPI]) -> dict[str, People]:
    """As ``people``, by database, of those that a whole module acts as: where it makes something once, and reads it."""
    return {name: People(caller_of(app), app.state.tandem) for name, app in apps.items()}


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
    """Counts the statements of requests that reach the database."""
    counter = StatementCounter(database, of_requests=True)
    with counter:
        yield counter


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The OpenAPI document, which takes half a second and is only read."""
    return openapi_document()


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


class Servers:
    """One server for each database, started when it is first asked for."""

    def __init__(self, stack: ExitStack, urls: dict[str, str]) -> None:
        self._stack, self._urls = stack, urls
        self._started: dict[str, LiveServer] = {}

    def __call__(self, backend: str, **settings: Any) -> LiveServer:
        """The server for a database; with settings, a new one."""
        if settings:
            return self._start(backend, settings)
        if backend not in self._started:
            self._started[backend] = self._start(backend, {})
        return self._started[backend]

    def _start(self, backend: str, settings: dict[str, Any]) -> LiveServer:
        return self._stack.enter_context(LiveServer(settings_for(self._urls[backend], **settings)))


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    """Servers of the module's own, which end with it."""
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


@pytest.fixture
def server(servers: Servers, backend: str) -> LiveServer:
    """The module's server for the database that the test is run on."""
    return servers(backend)
