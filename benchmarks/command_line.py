"""What the commands of this folder have in common."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

import typer

from benchmarks.client import BadAnswer

NO_POSTGRESQL = "\nNOTHING WAS MEASURED ON POSTGRESQL: no programs of it on this machine, and no BENCH_DATABASE_URL"
QUIET_SECONDS = 10.0


class Kinds(StrEnum):
    """What ``--database`` takes."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    BOTH = "both"

    def names(self) -> Sequence[str]:
        return ("sqlite", "postgresql") if self is Kinds.BOTH else (self.value,)

    def without_postgresql(self) -> None:
        """Say that there is none; the end, where nothing else was asked for."""
        typer.secho(NO_POSTGRESQL, err=True, fg=typer.colors.RED, bold=True)
        if self is Kinds.POSTGRESQL:
            raise typer.Exit(1)


class Progress:
    """One line that says what is being done; now and then a line of its own where nobody looks at a terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = -QUIET_SECONDS

    def __call__(self, message: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{message} …", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            print(message, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def ending_on_bad_answers() -> Iterator[None]:
    """The command ends, with what is known about it, where a server answers wrongly or does not start."""
    try:
        yield
    except (BadAnswer, RuntimeError) as error:
        typer.secho("\n".join(["", str(error), *getattr(error, "__notes__", ())]), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
