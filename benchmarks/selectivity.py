"""``python -m benchmarks.selectivity``: what a list costs, whatever it selects, next to the plain list of 20.

Requests are made up: a filter, a sort and a direction each, the same for a seed. The data are ``benchmarks.skew``'s.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from urllib.parse import unquote_plus, urlencode, urlsplit

import psycopg
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from benchmarks import rows, skew
from benchmarks.client import Client
from benchmarks.data import migrate
from benchmarks.processes import cpu_ns
from benchmarks.rows import CALLER_ID, EPOCH, OTHER_USERS
from benchmarks.servers import Server, issue_token, new_secret, serve

SORTS = ("created_at", "updated_at", "due_at", "start_at", "completed_at", "priority", "title", "number", "id")
WORDS = (skew.RARE_WORD, skew.COMMON_WORD, "login", "notes of the last", "nowhere")
PLAIN = "limit=20"
WORST = 10
OK, TIMED_OUT = 200, 504
SLOW_SECONDS = 0.5
"""What takes longer is measured once."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request took, in microseconds of CPU."""

    query: str
    server: float
    database: float

    @property
    def total(self) -> float:
        return self.server + self.database


class Requests:
    """Makes requests up."""

    def __init__(self, seed: int, projects: int) -> None:
        self._random, self._projects = random.Random(seed), projects

    def one(self) -> str:
        """The query of a request: most filters are of one to three conditions, some are nested."""
        query = {"limit": "20", "sort_by": self._random.choice(SORTS), "order": self._random.choice(("asc", "desc"))}
        return urlencode(query | {"filter": json.dumps(self._filter())})

    def _filter(self) -> dict[str, Any]:
        chance = self._random.random()
        if chance < 0.15:
            return {"or": [self._conditions(1), self._conditions(1)]}
        if chance < 0.25:
            return {"not": self._conditions(1)}
        return self._conditions(self._random.choice((1, 1, 2, 3)))

    def _conditions(self, number: int) -> dict[str, Any]:
        makers: dict[str, Callable[[], Any]] = {
            "status": self._status,
            "priority": lambda: {"eq": self._random.randint(1, 5)},
            "created_at": self._range,
            "updated_at": self._range,
            "due_at": self._range,
            "assignees": self._assignees,
            "tags": lambda: {"any": [self._random.choice(rows.TAGS)]},
            "project": lambda: {"eq": self._random.randint(1, self._projects)},
            "search": lambda: self._random.choice(WORDS),
            "overdue": lambda: True,
        }
        weights = [4, 2, 1, 1, 1, 2, 2, 2, 1, 1]
        chosen: dict[str, Any] = {}
        while len(chosen) < number:
            [name] = self._random.choices(list(makers), weights)
            chosen[name] = makers[name]()
        return chosen

    def _status(self) -> Any:
        known = ("pending", "in_progress", "completed", "cancelled")
        one = {"eq": self._random.choice(known)}
        return self._random.choice((one, one, {"in": ["pending", "in_progress"]}))

    def _assignees(self) -> Any:
        return self._random.choice(({"me": True}, {"any": [self._random.randint(1, OTHER_USERS)]}, {"is_empty": True}))

    def _range(self) -> Any:
        start = EPOCH - timedelta(days=self._random.randint(0, 700))
        if self._random.random() < 0.5:
            return {self._random.choice(("gte", "lt")): start.isoformat()}
        return {"gte": start.isoformat(), "lt": (start + timedelta(days=self._random.choice((1, 7, 30)))).isoformat()}


@contextmanager
def _database_cpu(url: str) -> Iterator[Callable[[], int]]:
    """Nanoseconds of CPU time of PostgreSQL's processes for a database; 0 of SQLite, which is in the server's."""
    if make_url(url).get_backend_name() == "sqlite":
        yield lambda: 0
        return
    with psycopg.connect(url, autocommit=True) as observer:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"

        def spent() -> int:
            total = 0
            for (pid,) in observer.execute(query, [urlsplit(url).path[1:]]).fetchall():
                with suppress(OSError):
                    total += cpu_ns(pid)
            return total

        yield spent


async def _measure(server: Server, spent: Callable[[], int], query: str, token: str, times: int) -> Cost:
    request = f"GET /api/v1/tasks?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    found = []
    async with Client(server.port, 1) as client:
        begun = time.perf_counter()
        for _ in range(2):
            status, body = await client.one(request)
            if status == TIMED_OUT:
                return Cost(query, 0.0, 1e6 * (time.perf_counter() - begun))
            if status != OK:
                raise RuntimeError(f"{query}: {status} {body[:300]!r}")
        is_slow = time.perf_counter() - begun > SLOW_SECONDS
        for _ in range(1 if is_slow else 3):
            before, of_database = server.cpu_ns(), spent()
            for _ in range(1 if is_slow else times):
                await client.one(request)
            number = 1 if is_slow else times
            found.append(((server.cpu_ns() - before) / number / 1e3, (spent() - of_database) / number / 1e3))
    return Cost(query, median(each[0] for each in found), median(each[1] for each in found))


async def _all(server: Server, spent: Callable[[], int], queries: list[str], token: str) -> tuple[Cost, list[Cost]]:
    plain = await _measure(server, spent, PLAIN, token, 50)
    return plain, [await _measure(server, spent, query, token, 5) for query in queries]


def main(
    url: Annotated[str, typer.Argument(help="Of a database: one that is empty is filled first.")],
    requests: Annotated[int, typer.Option(help="Requests to make up.")] = 300,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 1,
    tasks: Annotated[int, typer.Option(help="Tasks of the data.")] = 1_000_000,
    open_share: Annotated[float, typer.Option(help="The share of them that is open.")] = 0.005,
    projects: Annotated[int, typer.Option(help="Projects.")] = 100,
    fill: Annotated[bool, typer.Option(help="Fill the database first.")] = False,
    worst: Annotated[int, typer.Option(help="How many to show.")] = WORST,
) -> None:
    """Measure the CPU time of the server and the database for each of many lists."""
    if fill:
        migrate(url)
        skew.make(url, skew.Skew(tasks, open_share, projects))
    maker = Requests(seed, projects)
    queries = [maker.one() for _ in range(requests)]
    secret = new_secret()
    token = issue_token(secret, user_id=CALLER_ID, session_id=1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-")))
        server = stack.enter_context(serve("ours", url, secret, folder / "server.log"))
        spent = stack.enter_context(_database_cpu(url))
        plain, costs = asyncio.run(_all(server, spent, queries, token))
    costs.sort(key=lambda cost: cost.total)
    console = Console(width=160)
    console.print(f"plain list of 20: {plain.server:.0f} µs of the server, {plain.database:.0f} of the database")
    for percent in (50, 90, 95, 99, 100):
        cost = costs[-(-len(costs) * percent // 100) - 1]
        console.print(f"p{percent}: {cost.total:.0f} µs, {cost.total / plain.total:.1f} times the plain list")
    table = Table("times", "server", "database", "request", title=f"the {worst} worst of {len(costs)}")
    for cost in costs[: -worst - 1 : -1]:
        words = cost.query.replace("limit=20&", "")
        table.add_row(
            f"{cost.total / plain.total:.1f}", f"{cost.server:.0f}", f"{cost.database:.0f}", unquote_plus(words)
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
