"""One fault after the other, under load, and a table at the end: ``python -m tests.faults --help``."""

import signal
import time
from typing import Annotated

import typer

import tests.faults.on_postgresql
import tests.faults.on_processes
import tests.faults.on_sqlite  # noqa: F401 - they put themselves on the list
from tests.faults.findings import table
from tests.faults.worlds import FAULTS, try_out


def main(
    only: Annotated[list[str] | None, typer.Option(help="Those whose name has this in it; may be given again.")] = None,
    database: Annotated[str, typer.Option(help="sqlite or postgresql; both unless it is said.")] = "",
    quick: Annotated[bool, typer.Option(help="Shorter where it takes minutes.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is, and do nothing.")] = False,
) -> None:
    """Let things fail, one at a time, while callers write and read. Ends with 1 where something was lost, doubled, or
    not served as it should be."""
    chosen = [
        fault
        for fault in FAULTS
        if database in ("", fault.database) and any(name in fault.name for name in only or [""])
    ]
    if list_:
        for fault in chosen:
            typer.echo(f"{fault.name} ({fault.database}): {(fault.scenario.__doc__ or '').strip()}")
        return
    if not chosen:
        raise typer.BadParameter("there is no such fault: --list says what there is")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers are ended as after Ctrl-C
    findings = []
    for fault in chosen:
        started = time.monotonic()
        finding = try_out(fault, quick=quick)
        findings.append(finding)
        typer.echo(f"{fault.name} ({fault.database}, {time.monotonic() - started:.0f} s): {finding.verdict}")
    typer.echo("\n" + table(findings))
    raise typer.Exit(any(finding.failures for finding in findings))


if __name__ == "__main__":
    typer.run(main)
