"""How far an import is: a bar in a terminal, and a line now and then where there is none."""

import time
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from services.transfers.summary import Progress

REFRESH_SECONDS = 0.1
LINE_SECONDS = 5.0


class Display(Protocol):
    def __call__(self, progress: Progress, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Quiet:
    """Shows nothing."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, progress: Progress, /) -> None:
        return None

    def _due(self, interval: float) -> bool:
        moment = time.monotonic()
        if moment < self._next:
            return False
        self._next = moment + interval
        return True

    def _rate(self, progress: Progress) -> str:
        return f"{progress.tasks / max(time.monotonic() - self._started, 0.001):,.0f}/s"


class _Lines(_Quiet):
    """A plain line every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._next = self._started + LINE_SECONDS

    def __call__(self, progress: Progress, /) -> None:
        if not self._due(LINE_SECONDS):
            return
        share = progress.position / max(progress.size, 1)
        elapsed = time.monotonic() - self._started
        left = f", {elapsed / share - elapsed:,.0f} s left" if share > 0 else ""
        typer.echo(
            f"{share:4.0%}  {progress.tasks:,} issues, {progress.comments:,} comments, {self._rate(progress)}{left}",
            err=True,
        )


class _Live(_Quiet):
    """A bar that moves."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bar = Bar(
            TextColumn("Importing"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[found]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("import", total=None, found="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress, /) -> None:
        if self._due(REFRESH_SECONDS) or progress.position == progress.size:
            found = f"{progress.tasks:,} issues, {progress.comments:,} comments, {self._rate(progress)}"
            self._bar.update(self._task, total=progress.size, completed=progress.position, found=found)


def display(*, wanted: bool) -> Display:
    """What shows progress on stderr."""
    if not wanted:
        return _Quiet()
    console = Console(stderr=True)
    return _Live(console) if console.is_terminal else _Lines()
