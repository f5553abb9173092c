"""``python -m tests.attack``: one caller does the worst it can against a server with four workers.

A line for each probe, and a table of those that cost: how long another caller waited meanwhile.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer

from api.server import collector
from tests.attack import accounts, edges, inputs, stalls, streams
from tests.attack.costs import COSTLY, LARGEST
from tests.attack.load import Load, timed
from tests.attack.memory import GROWN_MB, documents
from tests.attack.probes import PROBES, Finding
from tests.attack.world import World, database, people, served
from tests.infrastructure import postgres_server

assert all((accounts, edges, inputs, streams))  # their probes are among PROBES once they are imported

Database = Literal["sqlite", "postgresql", "both"]
WORST = 5.0
"""How many times its quiet p99 another caller's p99 may be."""
LEAST_MS = 20.0
"""A quiet p99 is taken to be no less: below, it is the machine's noise that is compared."""
AFTER_SECONDS = 2.0
"""After an attacker has left, nothing of what it asked for is under way any more."""
ON_TIME = 0.999
"""Of the looks at the event loops, during all probes of a database together."""
ON_TIME_EACH = 0.99
"""As ``ON_TIME``, during one of them, which has some 900 looks: of five processes that want two processors, each waits
now and then for as long."""

Row = tuple[str, ...]


def main(
    database_kind: Annotated[Database, typer.Option("--database", help="Which to attack.")] = "both",
    workers: Annotated[int, typer.Option(min=1, help="Processes of the server.")] = 4,
    only: Annotated[str, typer.Option(help="Probes whose family or name holds this.")] = "",
) -> None:
    """Attack a server of our own, and say what came of it. Ends with 1 where a probe failed."""
    kinds = ["sqlite", "postgresql"] if database_kind == "both" else [database_kind]
    failed: list[str] = []
    with postgres_server() as server:
        for kind in kinds:
            with database(kind, server) as url, tempfile.TemporaryDirectory(prefix="tandem-attack-") as folder:
                _say(f"{kind}: making accounts and texts")
                found = asyncio.run(people(url, _progress))
                gc.collect()  # what made them is no garbage of the client's: to look for it took 0.3 s of the timing
                collector.settle()
                with served(url, found, workers, Path(folder)) as world:
                    failed += [f"{kind}: {name}" for name in _attack(world, kind, only)]
    typer.echo(f"\n{len(failed)} failed" + "".join(f"\n  {name}" for name in failed))
    raise typer.Exit(bool(failed))


def _attack(world: World, kind: str, only: str) -> list[str]:
    failed = []
    begun = _stalls(world)
    for probe in PROBES:
        if only in f"{probe.family}: {probe.name}":
            finding = _tried(probe.run, world)
            failed += _told(kind, f"{probe.family}: {probe.name}", finding)
    rows: list[Row] = []
    costly = [name for name in COSTLY if only in f"costs: {name}"]
    quiet = timed(world) if costly else Load()
    if costly:
        _say(f"{kind}: at peace, p50 {quiet.percentile(0.5):.1f} ms, p99 {quiet.percentile(0.99):.1f} ms")
    for name in costly:
        finding, row = _costs(world, name, quiet)
        rows.append(row)
        failed += _told(kind, f"costs: {name}", finding)
    if only in "memory: 10,000 documents of 4 kB":
        failed += _told(kind, f"memory: 10,000 documents of 4 kB ({GROWN_MB} MB at most)", documents(world))
    _table(kind, quiet, rows)
    on_time, looks = stalls.share_within(begun, _stalls(world))
    said = f"{on_time:.3%} of {looks} looks found it no more than {stalls.BOUND * 1000:.0f} ms late"
    return failed + _told(kind, "the event loop, in all", Finding(on_time >= ON_TIME, said))


def _costs(world: World, name: str, quiet: Load) -> tuple[Finding, Row]:
    """Somebody else's reads during an attack, and what is left of it afterwards."""
    before = _stalls(world)
    load = timed(world, COSTLY[name](world))
    time.sleep(AFTER_SECONDS)
    left = world.statements()
    on_time, looks = stalls.share_within(before, _stalls(world))
    p99, peace = load.percentile(0.99), max(LEAST_MS, quiet.percentile(0.99))
    attacks = " ".join(f"{status or 'hung up'}: {count}" for status, count in sorted(load.attacks.items()))
    wrong = [
        *([f"p99 {p99 / peace:.1f} times as long"] if p99 > WORST * peace else ()),
        *([f"refused: {dict(load.refused)}"] if load.refused else ()),
        *([f"{left} statements go on"] if left else ()),
        *([f"{1 - on_time:.2%} of {looks} looks found a loop late"] if on_time < ON_TIME_EACH else ()),
        *([f"an answer of {load.largest / 1e6:.0f} MB"] if load.largest > LARGEST else ()),
        *(["a defect"] if load.attacks[500] else ()),
    ]
    said = f"p99 {p99:.0f} ms; {attacks}" + (f"; {'; '.join(wrong)}" if wrong else "")
    row = (name, f"{load.percentile(0.5):.1f}", f"{p99:.1f}", str(sum(load.refused.values())), str(left))
    return Finding(not wrong, said), (*row, f"{on_time:.3%}", attacks)


def _stalls(world: World) -> stalls.Buckets:
    """What the server counted; that none is on time where it could not be asked."""
    try:
        return stalls.read(world)
    except (LookupError, httpx.HTTPError):
        return {stalls.BOUND: 0.0, float("inf"): time.monotonic()}


def _tried(run: object, world: World) -> Finding:
    assert callable(run)
    try:
        finding: Finding = run(world)
    except Exception as error:  # a probe that could not be carried out has failed, and the others go on
        return Finding(False, f"{type(error).__name__}: {error}")
    return finding


def _told(kind: str, name: str, finding: Finding) -> list[str]:
    _say(f"{'ok    ' if finding.passed else 'FAILED'} {kind}: {name}: {finding.said}")
    return [] if finding.passed else [name]


def _table(kind: str, quiet: Load, rows: Sequence[Row]) -> None:
    if not rows:
        return
    typer.echo(f"\nSomebody else's reads of a task on {kind}, milliseconds:\n")
    heads = ("Attack", "p50", "p99", "Not answered", "Statements 2 s later", "Looks within 50 ms", "The attacker got")
    at_peace = ("(none)", f"{quiet.percentile(0.5):.1f}", f"{quiet.percentile(0.99):.1f}", "0", "0", "", "")
    for row in (heads, ("---",) * len(heads), at_peace, *rows):
        typer.echo(f"| {' | '.join(row)} |")


def _say(words: str) -> None:
    typer.echo(words)
    sys.stdout.flush()


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{words}", nl=False, err=True)


if __name__ == "__main__":
    typer.run(main)
