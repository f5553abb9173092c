"""One scenario after the other, a line each, and a table of figures at the end: ``python -m tests.events --help``."""

import signal
import time
from typing import Annotated

import typer

import tests.events.idle
import tests.events.killing
import tests.events.latencies
import tests.events.order
import tests.events.restoring
import tests.events.throughput  # noqa: F401 - they put themselves on the list
from tests.events.findings import table
from tests.events.worlds import SCENARIOS, Size, try_out

_SIZE = Size()
Count = Annotated[int, typer.Option(min=1)]


def main(
    only: Annotated[list[str] | None, typer.Option(help="Those whose name has this in it; may be given again.")] = None,
    database: Annotated[str, typer.Option(help="sqlite or postgresql; both unless it is said.")] = "",
    seconds: Annotated[float, typer.Option(min=1, help="How long is written, where order is.")] = _SIZE.seconds,
    kills: Annotated[int, typer.Option(min=1, help="Processes that are killed.")] = _SIZE.kills,
    numbered: Annotated[int, typer.Option(min=1, help="Events that wait to be numbered.")] = _SIZE.numbered,
    changed: Annotated[int, typer.Option(min=1, max=10_000, help="Tasks of the bulk change.")] = _SIZE.changed,
    imported: Annotated[int, typer.Option(min=1, help="Tasks of the import.")] = _SIZE.imported,
    followers: Annotated[int, typer.Option(min=100, help="Followers who hear nothing.")] = _SIZE.followers,
    seed: Annotated[int, typer.Option(help="Chooses who is killed, and what is written.")] = _SIZE.seed,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is, and do nothing.")] = False,
) -> None:
    """Hold the feed to its promises, on real servers under load. Ends with 1 where an event was lost, doubled or told
    in another order; a figure that misses its goal is told."""
    chosen = [
        one for one in SCENARIOS if database in ("", one.database) and any(name in one.name for name in only or [""])
    ]
    if list_:
        for one in chosen:
            typer.echo(f"{one.name} ({one.database}): {' '.join((one.run.__doc__ or '').split())}")
        return
    if not chosen:
        raise typer.BadParameter("there is no such scenario: --list says what there is")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers are ended as after Ctrl-C
    size = Size(seconds, kills, numbered, changed, imported, followers, seed)
    findings = []
    for one in chosen:
        started = time.monotonic()
        finding = try_out(one, size)
        findings.append(finding)
        typer.echo(f"{one.name} ({one.database}, {time.monotonic() - started:.0f} s): {finding.verdict}")
    typer.echo("\n" + table(findings))
    raise typer.Exit(any(finding.failures for finding in findings))


if __name__ == "__main__":
    typer.run(main)
