"""The servers that tests run against: PostgreSQL and Redis from binaries on this machine, and its Chromium.

Each has a variable that names one to use instead, or says `off`: TEST_DATABASE_URL, TEST_REDIS_URL, CHROMIUM.
What is lacking makes its tests skip, which `summary` says loudly; TANDEM_REQUIRE, a list such as
`postgresql,redis,chromium,assets`, turns that into a failure. `tests/conftest.py` hooks this in:

    def pytest_sessionstart(session): start_services(session.config)
    def pytest_unconfigure(config): stop_services(config)
    def pytest_terminal_summary(terminalreporter): summary(terminalreporter)

Under xdist the controller starts each server once; workers find it in the environment they inherit.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql

WHOLE = bool(os.environ.get("TANDEM_WHOLE"))
"""Whether families of cases run whole of which ``make test`` runs a part (docs/development.md)."""
START_SECONDS = 30
STOP_SECONDS = 10
MEMORY_BYTES = 4 << 30
"""What must be free of a file system in memory to be used: several times what a run leaves there."""


# --- PostgreSQL

POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
# A password, not trust: every user of this machine reaches the port, and a superuser can run programs.
# Compared in the clear, not by scram, which would add milliseconds to each of very many connections.
INITDB_OPTIONS = ("--auth=password", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
POSTGRES_CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
# nothing here outlives the run
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 256MB
"""


@contextmanager
def postgres_server() -> Iterator[str | None]:
    """A superuser's DSN of a PostgreSQL server of our own, or of TEST_DATABASE_URL; None where there is none."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield None if given == "off" else given.replace("postgresql+psycopg://", "postgresql://", 1)
        return
    binaries = postgres_binaries()
    if binaries is None:
        yield None
        return
    with _postgres_of_our_own(binaries) as dsn:
        yield dsn


@contextmanager
def tls_postgres_server(certificate: bytes, key: bytes) -> Iterator[str | None]:
    """As ``postgres_server``, of a server that is always our own, and takes no connection over TCP without TLS.

    None where there is no PostgreSQL on this machine.
    """
    binaries = postgres_binaries()
    if binaries is None:
        yield None
        return
    with _postgres_of_our_own(binaries, {"server.crt": certificate, "server.key": key}) as dsn:
        yield dsn


@contextmanager
def _postgres_of_our_own(binaries: Path, tls: Mapping[str, bytes] | None = None) -> Iterator[str]:
    # in memory, for DROP DATABASE waits for the disk
    with scratch_directory("tandem-postgres-", memory()) as directory:
        data, port, password = directory / "data", free_port(), secrets.token_urlsafe(24)
        password_file = directory / "password"
        password_file.write_text(password)
        password_file.chmod(0o644)  # for the user the server runs as; the folder lets nobody else in
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            f"--pwfile={password_file}",
            *INITDB_OPTIONS,
        ]
        done = subprocess.run(initdb, capture_output=True, text=True, check=False, **options(directory))
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(POSTGRES_CONF.format(port=port))
            if tls:
                conf.write("ssl = on\n")
        for name, content in (tls or {}).items():
            (data / name).write_bytes(content)
            (data / name).chmod(0o600)
            shutil.chown(data / name, data.owner(), data.group())
        if tls:
            (data / "pg_hba.conf").write_text("hostssl all all all password\n")
        dsn = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"

        # SIGQUIT: stop at once, without the checkpoint that would write out what is about to be deleted.
        with serving([binaries / "postgres", "-D", data], directory, stop=signal.SIGQUIT) as process:
            wait(process, directory, lambda: psycopg.connect(dsn, connect_timeout=5).close(), psycopg.Error)
            yield dsn


@contextmanager
def scratch_database(dsn: str, *, template: str = "template1") -> Iterator[str]:
    """The DSN of a new database on a server, empty or a copy of another one to which nobody is connected.

    It is dropped afterwards with whoever is still connected to it.
    """
    name = f"tandem_{secrets.token_hex(6)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        # half of what it takes to write a copy as changes, which is the other way from PostgreSQL 15 on
        files = " STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}" + files)
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlsplit(dsn)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def postgres_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: the one on PATH, else the newest that is installed."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []  # distributions link initdb alone into PATH
    for pattern in POSTGRES_FOLDERS:
        folders += sorted(Path("/").glob(pattern), key=_digits, reverse=True)
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


def _digits(folder: Path) -> int:
    return int("0" + "".join(filter(str.isdigit, str(folder))))


# --- Redis and Chromium

REDIS_CONF = """
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
"""


@contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a Redis server of our own, or of TEST_REDIS_URL; None where there is none."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield None if given == "off" else given
        return
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        yield None
        return
    with scratch_directory("tandem-redis-") as directory:
        port, password = free_port(), secrets.token_urlsafe(24)
        url = f"redis://:{password}@127.0.0.1:{port}/0"

        def ping() -> None:
            with contextlib.closing(redis.Redis.from_url(url)) as client:
                client.ping()

        # "-": its configuration comes from stdin, so that the password is in no list of processes.
        conf = REDIS_CONF.format(port=port, password=password)
        with serving([binary, "-"], directory, stdin=conf, stop=signal.SIGTERM) as process:
            wait(process, directory, ping, redis.RedisError)
            yield url


def chromium_path() -> str | None:
    """The path of a Chromium to drive: CHROMIUM's, else one on PATH, else None."""
    given = os.environ.get("CHROMIUM")
    if given:
        return None if given == "off" else given
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


# --- For tests and conftest.py


class Service(NamedTuple):
    variable: str
    """Where tests, in whichever process, find its URL or path."""
    start: Callable[[], AbstractContextManager[str | None]]
    lacking: str


SERVICES = {
    "postgresql": Service(
        "TANDEM_TEST_POSTGRES",
        postgres_server,
        "no initdb and postgres on this machine, or TEST_DATABASE_URL=off",
    ),
    "redis": Service("TANDEM_TEST_REDIS", redis_server, "no redis-server on this machine, or TEST_REDIS_URL=off"),
    "chromium": Service(
        "TANDEM_TEST_CHROMIUM",
        lambda: contextlib.nullcontext(chromium_path()),
        "no chromium on PATH, or CHROMIUM=off",
    ),
}
_running = pytest.StashKey[ExitStack]()


def available(name: str) -> str | None:
    """The URL (Chromium: the path) of a service of this run, None where it is lacking."""
    return os.environ.get(SERVICES[name].variable)


def require(name: str) -> str:
    """The URL (Chromium: the path) of a service; where it is lacking, the test ends here as `lacking` says."""
    return available(name) or lacking(name, SERVICES[name].lacking)


def required() -> list[str]:
    """What may not be lacking, by TANDEM_REQUIRE."""
    return [name.strip() for name in os.environ.get("TANDEM_REQUIRE", "").split(",")]


def lacking(name: str, reason: str) -> NoReturn:
    """Skip the test for lack of something, or fail it where TANDEM_REQUIRE names that."""
    if name in required():
        pytest.fail(f"needs {name} (TANDEM_REQUIRE): {reason}", pytrace=False)
    pytest.skip(f"needs {name}: {reason}")


def start_services(config: pytest.Config) -> None:
    """Start what this run needs, once: before xdist starts its workers, and not in them.

    Raises ``pytest.UsageError`` for one that does not start, or that TANDEM_REQUIRE names and this machine lacks.
    """
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    # A run ended by `timeout` or a CI cleans up as one ended by Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = config.stash[_running] = ExitStack()
    for name, service in SERVICES.items():
        try:
            found = stack.enter_context(service.start())
        except RuntimeError as error:
            raise pytest.UsageError(str(error)) from error
        if found:
            os.environ[service.variable] = found
            stack.callback(os.environ.pop, service.variable, None)
        elif name in required():
            raise pytest.UsageError(f"TANDEM_REQUIRE names {name}: {service.lacking}")


def stop_services(config: pytest.Config) -> None:
    """Stop and remove what `start_services` started."""
    config.stash.get(_running, ExitStack()).close()


def summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of the run, where it cannot be missed, what did not run and why."""
    if terminalreporter.config.option.collectonly:
        return
    for name, service in SERVICES.items():
        if not available(name):
            terminalreporter.write_sep("!", f"NOTHING RAN ON {name.upper()}: {service.lacking}", red=True, bold=True)


# --- Processes of our own


def memory() -> str | None:
    """A folder in memory, where there is enough."""
    folder = Path("/dev/shm")  # noqa: S108
    if folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= MEMORY_BYTES:
        return str(folder)
    return None


def folder_in_memory() -> None:
    """Have the run's temporary files in memory, where there is enough: SQLite waits for the disk at each commit."""
    if folder := memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


@contextmanager
def scratch_directory(prefix: str, parent: str | None = None) -> Iterator[Path]:
    user = _ordinary_user()
    # root's TMPDIR may be closed to the user that the server will run as
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent or ("/tmp" if user else None)))  # noqa: S108
    try:
        if user:
            os.chown(directory, user.pw_uid, user.pw_gid)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ordinary_user() -> pwd.struct_passwd | None:
    """For root, whom PostgreSQL refuses to run as: the user to run servers as instead."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def options(directory: Path) -> dict[str, Any]:
    user = _ordinary_user()
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    # PG* variables would redirect the server's own tools; LC_ALL may name a locale that is not installed
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {"cwd": directory, "env": environment | {"LC_ALL": "C.UTF-8", "HOME": str(directory)}, **identity}


@contextmanager
def serving(
    command: list[str | Path], directory: Path, *, stop: signal.Signals, stdin: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A server, in a session of its own: Ctrl-C in the terminal reaches the tests alone, which then stop it."""
    if shutil.which("setpriv"):  # Linux: even if the tests are killed, it does not stay behind
        command = ["setpriv", "--pdeathsig", stop.name.removeprefix("SIG"), *command]
    with (
        (directory / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options(directory),
        ) as process,
    ):
        try:
            if process.stdin:
                process.stdin.write(stdin)
                process.stdin.close()
            yield process
        finally:
            process.send_signal(stop)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait(process: subprocess.Popen[str], directory: Path, connect: Callable[[], None], error: type[Exception]) -> None:
    """Until `connect` succeeds. Raises RuntimeError with the server's log if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return connect()
        except error as refused:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (directory / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{process.args!r} did not start: {refused}\n{log}") from refused
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
