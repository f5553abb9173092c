"""A PostgreSQL of our own that can be frozen, crashed and succeeded by a standby; and a Redis."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import redis

from tests import infrastructure
from tests.processes import free_port

START_SECONDS = 30
DATABASE = "tandem"
CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
wal_level = replica
hot_standby = on
wal_keep_size = '256MB'
wal_receiver_status_interval = '1s'
# what is lost with the machine alone may be lost; what is lost with the processes may not
fsync = off
full_page_writes = off
synchronous_commit = on
"""


class Missing(RuntimeError):
    """This machine lacks what a fault is made with."""


class Process:
    """A server and what it has forked, which can be stopped, frozen and killed together."""

    def __init__(self, command: list[str | Path], folder: Path, *, stdin: str = "", group: Path | None = None) -> None:
        self._command, self._folder, self._stdin = command, folder, stdin
        self._running: subprocess.Popen[str] | None = None
        self.group = group

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def start(self) -> None:
        with (self._folder / "log").open("a") as log:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                **infrastructure.options(self._folder),
            )
        assert self._running.stdin is not None
        self._running.stdin.write(self._stdin)
        self._running.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        """Send it to the server and to all that it has forked; the server comes first, so that it forks no more."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            for pid in descendants(self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def freeze(self) -> None:
        """Let it stand still: its kernel goes on taking connections and bytes."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word (kill -9), and all it has forked."""
        children = descendants(self.pid)
        self.signal(signal.SIGKILL)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._running is not None
        self._running.wait(10)

    def stop(self) -> None:
        """End it, however it stands."""
        if self._running is not None and self._running.poll() is None:
            self.kill()


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = [int(child) for child in (task / "children").read_text().split()]
            found += children
            for child in children:
                found += descendants(child)
    return found


class Cluster:
    """A primary, and where it is wanted a standby that streams from it."""

    def __init__(self, folder: Path, binaries: Path, configuration: str = "") -> None:
        self.folder = folder
        self._binaries, self._configuration = binaries, configuration
        self._password = secrets.token_urlsafe(24)
        self.ports = [free_port(), free_port()]
        self.primary = self._server(0)
        self.standby = self._server(1)

    def _server(self, number: int) -> Process:
        folder = self.folder / f"server{number}"
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, self.folder.owner(), self.folder.group())
        command: list[str | Path] = [self._binaries / "postgres", "-D", folder / "data"]
        return Process(command, folder)

    def dsn(self, number: int = 0, *, database: str = DATABASE) -> str:
        """A superuser's URL of one of the two."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.ports[number]}/{database}"

    @property
    def url(self) -> str:
        """The URL of both, as it stands in DATABASE_URL."""
        first, second = self.ports
        return f"postgresql://postgres:{self._password}@127.0.0.1:{first},127.0.0.1:{second}/{DATABASE}"

    @property
    def reversed_url(self) -> str:
        """The same, where the standby is named first."""
        first, second = self.ports
        return f"postgresql://postgres:{self._password}@127.0.0.1:{second},127.0.0.1:{first}/{DATABASE}"

    def start(self) -> None:
        """Make the primary, with an empty database."""
        data = self.folder / "server0" / "data"
        password = self.folder / "password"
        password.write_text(self._password)
        password.chmod(0o644)
        self._run("initdb", "-D", data, "-U", "postgres", f"--pwfile={password}", *infrastructure.INITDB_OPTIONS)
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(CONFIGURATION.format(port=self.ports[0]) + self._configuration)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 password\n")
        self.primary.start()
        self.wait(0, database="postgres")
        self.run(f"CREATE DATABASE {DATABASE}", database="postgres")

    def replicate(self, *, synchronous: bool) -> None:
        """Make the standby. Where it is synchronous, what is acknowledged is on both."""
        data = self.folder / "server1" / "data"
        self._run("pg_basebackup", "-d", self.dsn(database="postgres"), "-D", data, "-R", "-X", "stream", "-c", "fast")
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(f"port = {self.ports[1]}\n")
        self.standby.start()
        self.wait(1, database="postgres")
        if synchronous:
            self.run("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
            self.run("SELECT pg_reload_conf()", database="postgres")
            self._until(self._is_synchronous)

    def promote(self) -> None:
        """Make the standby a primary; it is asked for nothing else."""
        self.run("ALTER SYSTEM RESET synchronous_standby_names", 1, database="postgres")
        self.run("SELECT pg_reload_conf()", 1, database="postgres")
        self.run("SELECT pg_promote()", 1, database="postgres")

    def run(self, statement: str, number: int = 0, *, database: str = DATABASE) -> list[tuple[object, ...]]:
        """What a statement comes to."""
        with psycopg.connect(self.dsn(number, database=database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def wait(self, number: int, *, database: str = DATABASE) -> None:
        """Until one of the two takes connections."""

        def connects() -> bool:
            with suppress(psycopg.Error), psycopg.connect(self.dsn(number, database=database), connect_timeout=3):
                return True
            return False

        self._until(connects)

    def stop(self) -> None:
        """End both."""
        self.primary.stop()
        self.standby.stop()

    def _is_synchronous(self) -> bool:
        return self.run("SELECT sync_state FROM pg_stat_replication", database="postgres") in (
            [("sync",)],
            [("quorum",)],
        )

    def _until(self, look: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not look():
            if time.monotonic() > deadline:
                logs = [path.read_text()[-1500:] for path in self.folder.glob("server*/log")]
                raise RuntimeError("PostgreSQL did not come so far\n" + "\n".join(logs))
            time.sleep(0.05)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._binaries / program, *arguments]
        if not command[0] or not Path(command[0]).exists():
            raise Missing(f"there is no {program} on this machine")
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, **infrastructure.options(self.folder)
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def cluster(configuration: str = "") -> Iterator[Cluster]:
    """A primary of our own, with more configuration. Raises ``Missing`` where this machine has no PostgreSQL."""
    binaries = infrastructure.postgres_binaries()
    if binaries is None:
        raise Missing("there is no PostgreSQL on this machine")
    with infrastructure.scratch_directory("tandem-faults-") as folder:
        made = Cluster(folder, binaries, configuration)
        try:
            made.start()
            yield made
        finally:
            made.stop()


class Redis(Process):
    """A Redis of our own, and its URL."""

    def __init__(self, folder: Path, binary: str) -> None:
        port, password = free_port(), secrets.token_urlsafe(24)
        conf = infrastructure.REDIS_CONF.format(port=port, password=password)
        super().__init__([binary, "-"], folder, stdin=conf)
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)


@contextmanager
def redis_server() -> Iterator[Redis]:
    """A Redis that is running. Raises ``Missing`` where this machine has none."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise Missing("there is no redis-server on this machine")
    with ExitStack() as stack:
        server = Redis(stack.enter_context(infrastructure.scratch_directory("tandem-faults-")), binary)
        stack.callback(server.stop)
        server.start()
        yield server
