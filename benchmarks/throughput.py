"""``python -m benchmarks.throughput``: requests a second of several workers, ours beside the floor's.

On the clock, and with the client and the database on the same machine: that is what a small host is like. Both servers
get the same clients in turn, a second or two each, and the median of the rounds' quotients counts.
"""

import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console

from benchmarks import data, databases, machine
from benchmarks.client import Client
from benchmarks.command_line import Kinds, Progress, ending_on_bad_answers
from benchmarks.databases import Database
from benchmarks.measure import Say, use
from benchmarks.report import DATABASES, Cells, markdown_table, number, ratio, table
from benchmarks.servers import Server, issue_token, new_secret, serve_with_workers
from benchmarks.works import WORKS, Work

SERVERS = ("ours", "floor")
NAMES = "R20,R100,N100"
CLIENTS = 32
"""Connections, each of which waits for its answer: enough to keep every worker busy."""
WARM_UP = 400
BATCH = 64
"""Requests between two looks at the clock."""
BOUND = 0.7
"""The goal: so many of the floor's requests a second."""

Rates = Mapping[str, Mapping[str, Sequence[float]]]
"""Requests a second of each round, by work and server."""


def main(
    database: Annotated[Kinds, typer.Option(help="Which databases.")] = Kinds.POSTGRESQL,
    tasks: Annotated[int, typer.Option(min=500, help="Tasks in the database.")] = 10_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers of each server.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each work on each server.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long a measurement takes.")] = 2.0,
    only: Annotated[str, typer.Option(help="Works, separated by commas.")] = NAMES,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
) -> None:
    """Measure requests a second of several workers, beside as many of the floor's, on one machine with the database."""
    works = [work for work in WORKS if work.name in only.split(",") and not work.writes]
    if not works:
        raise typer.BadParameter("nothing to measure: name works that exist, and only read, in --only")
    if len({work.shape for work in works}) > 1:
        raise typer.BadParameter("works that are measured on other data have a run of their own")
    progress = Progress()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results: dict[str, Rates] = {}
    for kind in database.names():
        with ExitStack() as stack:
            progress(f"{kind}: making the data")
            fill = partial(data.make, tasks=tasks, shape=works[0].shape)
            dsn = "" if kind == "sqlite" else stack.enter_context(databases.postgresql_dsn())
            if dsn is None:
                database.without_postgresql()
                continue
            opened = databases.sqlite(fill) if kind == "sqlite" else databases.postgresql(dsn, fill)
            filled = stack.enter_context(opened)
            stack.enter_context(ending_on_bad_answers())
            results[kind] = uvloop.run(_measure(filled, works, workers, rounds, seconds, progress))
    progress.end()
    conditions = {**machine.describe(), "workers": str(workers), "rounds": str(rounds), "seconds": f"{seconds:g}"}
    console = Console(width=None if sys.stdout.isatty() else 200)
    for kind, rates in results.items():
        console.print(table(f"{DATABASES[kind]}, {workers} workers", cells(rates)))
    if json:
        json.write_bytes(orjson.dumps({"conditions": conditions, "results": results}, option=orjson.OPT_INDENT_2))
    if markdown:
        parts = [
            f"### {DATABASES[kind]}, {workers} workers\n\n{markdown_table(cells(rates))}"
            for kind, rates in results.items()
        ]
        markdown.write_text("\n\n".join(parts) + "\n")


def cells(rates: Rates) -> Cells:
    """A row for each work."""
    rows = [["requests a second", *SERVERS, "ours ÷ floor", f"≥ {BOUND:g}"]]
    titles = {work.name: work.title for work in WORKS}
    for name, of_servers in rates.items():
        found = median(ours / floor for ours, floor in zip(*(of_servers[each] for each in SERVERS), strict=True))
        figures = [number(median(of_servers[each])) for each in SERVERS]
        rows.append([f"{name} {titles[name]}", *figures, ratio(found), "met" if found >= BOUND else "NOT MET"])
    return rows


async def _measure(
    database: Database, works: Sequence[Work], workers: int, rounds: int, seconds: float, say: Say
) -> Rates:
    secret, dataset = new_secret(), database.dataset
    token = issue_token(secret, user_id=dataset.user_id, session_id=dataset.session_id)
    rates: dict[str, dict[str, list[float]]] = {work.name: defaultdict(list) for work in works}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-")))
        running = []
        for name in SERVERS:
            say(f"{database.kind}: starting {workers} workers of {name}")
            log = folder / f"{name}.log"
            running.append(stack.enter_context(serve_with_workers(name, database.copy(name), secret, log, workers)))
        for server in running:
            for work in works:
                await use(server, work, work.requests(dataset, token), WARM_UP)
        for turn in range(rounds):
            for work in works:
                for server in running if turn % 2 else running[::-1]:
                    say(f"{database.kind}: round {turn + 1} of {rounds}, {work.name} {server.name}")
                    rates[work.name][server.name].append(
                        await _rate(server, work, work.requests(dataset, token), seconds)
                    )
    return rates


async def _rate(server: Server, work: Work, requests: Sequence[bytes], seconds: float) -> float:
    """How many requests a second are answered, of clients that wait for each answer."""
    async with Client(server.port, CLIENTS) as client:
        await client.closed_loop(requests, 2 * CLIENTS, work.accepts)
        begun, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - begun) < seconds:
            await client.closed_loop(requests, BATCH, work.accepts)
            count += BATCH
    return count / spent


if __name__ == "__main__":
    typer.run(main)
