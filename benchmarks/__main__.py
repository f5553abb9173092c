"""``python -m benchmarks``: start the servers, check their answers, measure, report."""

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console

from benchmarks import data, databases, machine, report, svg
from benchmarks.check import check_answers
from benchmarks.command_line import Kinds, Progress, ending_on_bad_answers
from benchmarks.databases import Database
from benchmarks.measure import Measured, Say, measure_mix, measure_works, use
from benchmarks.processes import family_pss_mb, memory_mb
from benchmarks.rows import USUAL
from benchmarks.servers import APPLICATIONS, issue_token, new_secret, serve, serve_forked
from benchmarks.works import WORKS, Work


@dataclass(frozen=True, slots=True)
class Options:
    """What a run measures."""

    servers: Sequence[str]
    works: Sequence[Work]
    rounds: int
    requests: int
    with_mix: bool


FORKED = 4
"""Workers of gunicorn whose memory is measured, after ``FORKED_REQUESTS`` of each work."""
FORKED_REQUESTS = 60
STARTS = 5
"""How often each server is started to see how long it takes; the last one is measured."""


def main(
    database: Annotated[Kinds, typer.Option(help="Which databases.")] = Kinds.BOTH,
    tasks: Annotated[int, typer.Option(min=500, help="Tasks in the database.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each work; their median counts.")] = 40,
    requests: Annotated[int, typer.Option(min=16, help="Requests of a measurement; fewer of what is slow.")] = 40,
    only: Annotated[str, typer.Option(help="Works, separated by commas, such as R1,N100. All when left out.")] = "",
    servers: Annotated[str, typer.Option(help="Servers, separated by commas; ours is needed.")] = "ours,floor,naive",
    mix: Annotated[bool, typer.Option(help="Measure the mixed load too.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    picture: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
    jira: Annotated[Path | None, typer.Option(help="Measure lists on this archive of Jira issues instead.")] = None,
) -> None:
    """Measure Tandem beside a floor and a naive application: the server's CPU time a request, on the same data.

    PostgreSQL is that of BENCH_DATABASE_URL, else one that is started for the run where its programs are found.
    """
    shapes = dict.fromkeys(work.shape for work in WORKS)
    names = [name for name in APPLICATIONS if name in servers.split(",")]
    wanted = set(only.split(",")) if only else {work.name for work in WORKS}
    works = [work for work in WORKS if work.name in wanted and (work.any_data or not jira)]
    if "ours" not in names or not works:
        raise typer.BadParameter("nothing to measure: name ours among --servers, and works that exist in --only")
    options = Options(names, works, rounds, requests, with_mix=mix and not only and not jira)
    progress = Progress()
    # a run ended by `timeout` or a CI leaves nothing behind either
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    conditions = {"tasks": jira.name if jira else f"{tasks:,}", **machine.describe()}
    conditions |= {"rounds": str(rounds), "requests a round": str(requests)}
    results: dict[str, Mapping[str, Measured]] = {}
    for kind in database.names():
        measured = {name: Measured() for name in names}
        for shape in shapes:
            of_shape = replace(options, works=[work for work in works if work.shape == shape])
            if not of_shape.works:
                continue
            with ExitStack() as stack:
                progress(f"{kind}: making the data")
                fill = partial(data.import_jira, archive=jira) if jira else partial(data.make, tasks=tasks, shape=shape)
                filled = _open(kind, fill, stack)
                if filled is None:
                    database.without_postgresql()
                    break
                conditions[kind] = filled.version
                stack.enter_context(ending_on_bad_answers())
                uvloop.run(_measure(filled, of_shape, measured, progress))
        else:
            results[kind] = measured
    progress.end()
    report.show(results, Console(width=None if sys.stdout.isatty() else 200))
    if json:
        json.write_bytes(
            orjson.dumps(report.document(results, conditions), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
            + b"\n"
        )
    if markdown:
        markdown.write_text(report.markdown(results, conditions))
    if picture:
        picture.write_text(svg.draw(results, conditions))


def _open(kind: str, fill: databases.Fill, stack: ExitStack) -> Database | None:
    if kind == "sqlite":
        return stack.enter_context(databases.sqlite(fill))
    dsn = stack.enter_context(databases.postgresql_dsn())
    return None if dsn is None else stack.enter_context(databases.postgresql(dsn, fill))


async def _measure(database: Database, options: Options, measured: Mapping[str, Measured], say: Say) -> None:
    """Measure works on data of one shape; start-up, memory and the mixed load on the usual one."""
    shape = options.works[0].shape
    secret = new_secret()
    dataset = database.dataset
    token = issue_token(secret, user_id=dataset.user_id, session_id=dataset.session_id)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-")))
        running = []
        for name in options.servers:
            url, log = database.copy(name), folder / f"{name}.log"
            if name != "ours" and shape.open_percent is not None:
                data.index_open_tasks(url)
            starts = []
            for _ in range(STARTS - 1 if shape == USUAL else 0):
                say(f"{database.kind}: starting {name}")
                with serve(name, url, secret, log) as server:
                    starts.append(server.start_seconds)
            server = stack.enter_context(serve(name, url, secret, log))
            running.append(server)
            if shape == USUAL:
                measured[name].start_seconds = median([*starts, server.start_seconds])
        await check_answers(running, database, options.works, token)

        async def measure(works: Sequence[Work]) -> None:
            targets = [(server, database) for server in running]
            results = await measure_works(
                targets, works, token, rounds=options.rounds, requests=options.requests, say=say
            )
            for name, of_server in results.items():
                measured[name].works |= of_server

        # new tasks come first in every list, and nothing hangs on them: lists are measured before
        await measure([work for work in options.works if not work.writes])
        if shape != USUAL:
            return
        if options.with_mix:
            mixed = await measure_mix([each for each in running if each.name != "naive"], database, token, say=say)
            for name, of_server in mixed.items():
                measured[name].mixed = of_server
        await measure([work for work in options.works if work.writes])
        for server in running:
            measured[server.name].rss_mb, measured[server.name].pss_mb = memory_mb(server.pid)
        say(f"{database.kind}: starting {FORKED} workers")
        with serve_forked(database.copy("forked"), secret, folder / "forked.log", FORKED) as server:
            for work in options.works:
                await use(server, work, work.requests(dataset, token), FORKED_REQUESTS)
            measured["ours"].forked_mb = family_pss_mb(server.pid) / FORKED


if __name__ == "__main__":
    typer.run(main)
