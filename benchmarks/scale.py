"""``python -m benchmarks.scale``: what a request costs at a thousand tasks and at a million, where half of the tasks
are open and where none is, for a member of one project and of a thousand."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop
from rich.console import Console
from sqlalchemy import make_url, text

from benchmarks import curves, data, databases, kept, machine, scale_report
from benchmarks.command_line import Kinds, Progress, ending_on_bad_answers
from benchmarks.data import Dataset
from benchmarks.databases import Database
from benchmarks.measure import Result, Say, measure_works
from benchmarks.scale_report import Made, Scaled
from benchmarks.scale_works import WORKS, check, find_cursors
from benchmarks.servers import issue_token, new_secret, serve
from benchmarks.walks import TASKS, WALKS, Walks
from benchmarks.works import Work

SMALLEST = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What a run measures."""

    steps: Sequence[float]
    tasks: int
    works: Sequence[Work]
    rounds: int
    requests: int
    folder: Path | None


def main(
    database: Annotated[Kinds, typer.Option(help="Which databases.")] = Kinds.BOTH,
    walk: Annotated[Walks, typer.Option(help="What data sets differ in.")] = Walks.TASKS,
    sizes: Annotated[str, typer.Option(help="Steps of the walk, separated by commas; all when left out.")] = "",
    tasks: Annotated[int, typer.Option(min=SMALLEST, help="Tasks, where they are not walked along.")] = TASKS,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each work; their median counts.")] = 40,
    requests: Annotated[int, typer.Option(min=16, help="Requests of a measurement; fewer of what is slow.")] = 40,
    only: Annotated[str, typer.Option(help="Works, separated by commas, such as R20,S3. All when left out.")] = "",
    keep: Annotated[Path | None, typer.Option(help="Keep the data sets in this folder, for the next run.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    picture: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
) -> None:
    """Measure the server's CPU time a request, and the database's, by the number of tasks, of open ones or of projects.

    PostgreSQL is that of BENCH_DATABASE_URL, else one that is started for the run where its programs are found.
    """
    way = WALKS[walk]
    wanted = set(only.split(",") if only else way.works or (work.name for work in WORKS))
    works = [work for work in WORKS if work.name in wanted]
    if picture and walk is not Walks.TASKS:
        raise typer.BadParameter("--svg draws the number of tasks alone")
    options = Options(_steps(sizes, walk), tasks, works, rounds, requests, keep)
    if not works:
        raise typer.BadParameter("nothing to measure: name works that exist in --only")
    progress = Progress()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    conditions = {**machine.describe(), "rounds": str(rounds), "requests a round": str(requests)}
    results: dict[str, Scaled] = {}
    for kind in database.names():
        with ExitStack() as stack, ending_on_bad_answers():
            dsn = "" if kind == "sqlite" else stack.enter_context(databases.postgresql_dsn())
            if dsn is None:
                database.without_postgresql()
                continue
            results[kind] = scaled = Scaled(way)
            filled = {}
            for step in options.steps:
                progress(f"{kind}: making the data of {way.name(step)}")
                filled[step] = stack.enter_context(_open(kind, dsn, partial(_fill, step, options, scaled)))
            conditions[kind] = filled[options.steps[0]].version
            uvloop.run(_measure(filled, options, scaled, progress))
    progress.end()
    scale_report.show(results, works, Console(width=None if sys.stdout.isatty() else 200))
    if json:
        content = scale_report.document(results, works, conditions)
        json.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n")
    if markdown:
        markdown.write_text(scale_report.markdown(results, works, conditions))
    if picture:
        picture.write_text(curves.draw(results, works, conditions))


def _steps(sizes: str, walk: Walks) -> Sequence[float]:
    if not sizes:
        return WALKS[walk].steps
    try:
        steps = [float(size) for size in dict.fromkeys(sizes.split(","))]
    except ValueError:
        raise typer.BadParameter("--sizes are numbers, separated by commas") from None
    if walk is Walks.TASKS and min(steps) < SMALLEST:
        raise typer.BadParameter(f"--sizes are at least {SMALLEST} tasks")
    if walk is Walks.PROJECTS and min(steps) < 1:
        raise typer.BadParameter("--sizes are at least 1 project")
    return steps


def _open(kind: str, dsn: str, fill: databases.Fill) -> databases.Opened:
    return databases.sqlite(fill) if kind == "sqlite" else databases.postgresql(dsn, fill)


def _fill(step: float, options: Options, scaled: Scaled, url: str) -> Dataset:
    """Fill the database of a URL, and note how long that took."""
    tasks, shape = scaled.walk.data(step, options.tasks)
    folder = options.folder
    there = folder is not None and kept.path(url, tasks, shape, folder).exists()
    begun = time.perf_counter()
    dataset = kept.make(url, tasks, shape, folder)
    seconds = time.perf_counter() - begun
    find_cursors(url, dataset)
    scaled.made.append(Made(scaled.walk.name(step), seconds, there, _megabytes(url)))
    return dataset


def _megabytes(url: str) -> float:
    if make_url(url).get_backend_name() == "sqlite":
        return os.path.getsize(make_url(url).database or "") / 1e6
    with data.connect(url) as connection:
        size: int = connection.scalar(text("SELECT pg_database_size(current_database())"))
        return size / 1e6


async def _measure(filled: dict[float, Database], options: Options, scaled: Scaled, say: Say) -> None:
    """Measure a server on each of the data sets, in turn."""
    secret = new_secret()
    targets = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-")))
        for step, database in filled.items():
            name = scaled.walk.name(step)
            say(f"{database.kind}: starting a server of {name}")
            url = database.copy(f"{step:g}")
            server = stack.enter_context(serve("ours", url, secret, folder / f"{step:g}.log"))
            targets.append((replace(server, name=name), database))
        dataset = targets[0][1].dataset
        token = issue_token(secret, user_id=dataset.user_id, session_id=dataset.session_id)
        for server, database in targets:
            say(f"{database.kind}: comparing the answers of {server.name}")
            few = scaled.walk is WALKS[Walks.OPEN]
            await check(server, database.dataset, options.works, token, may_be_few=few)
        measured: list[dict[str, dict[str, Result]]] = []
        # new tasks lead the lists, so lists are measured before
        for writes in (False, True):
            works = [work for work in options.works if work.writes is writes]
            measured.append(
                await measure_works(targets, works, token, rounds=options.rounds, requests=options.requests, say=say)
            )
    for step, (server, _) in zip(filled, targets, strict=True):
        scaled.results[step] = measured[0][server.name] | measured[1][server.name]


if __name__ == "__main__":
    typer.run(main)
