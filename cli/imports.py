"""Commands that bring in what other systems hold."""

import resource
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.database import fail, with_database
from cli.progress import display
from db.engine import Database
from services.imports.runs import ImportOptions, import_jira
from services.imports.summary import Summary

SHOWN = 12

app = typer.Typer(help="Bring in what other systems hold.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Bring in what other systems hold."""


@app.command()
def jira(
    archive: Annotated[
        Path,
        typer.Argument(
            help="A tar archive (.tar, .tar.xz, .tar.gz, .tar.bz2) with a file KEY-n.json for each issue.",
            show_default=False,
        ),
    ],
    project: Annotated[
        list[str] | None, typer.Option(help="The key of a project to import; may be repeated. All when left out.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="Who will own the projects. The first administrator when left out.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=5000, help="Issues in a transaction.")] = 500,
    source: Annotated[
        str, typer.Option(help="What this Jira is called here; give each of several another name.")
    ] = "jira",
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show only the summary.")] = False,
) -> None:
    """Import issues, comments and people from an archive of Jira's REST documents.

    Run again, it changes nothing that is there; cut off, it goes on where it was.
    """
    if not 1 <= len(source) <= 50:
        fail("--source must have 1 to 50 characters")
    options = ImportOptions(
        source=source, projects=frozenset(key.upper() for key in project or ()), owner=owner, batch_size=batch
    )

    async def work(database: Database) -> Summary:
        with display(wanted=not no_progress) as progress:
            return await import_jira(database, archive, options, on_progress=progress)

    summary = with_database(work)
    show(summary, Console(soft_wrap=True))
    if summary.absent:
        fail(f"{archive.name} holds no issues of {', '.join(summary.absent)}")


def show(summary: Summary, console: Console) -> None:
    """The summary, as tables: what was written, and what is to be known of it."""
    counts = summary.counts
    written = Table("", "New", "Unchanged", title="Imported", title_justify="left")
    for column in written.columns[1:]:
        column.justify = "right"
    for label, new, known in (
        ("Projects", counts.projects, counts.projects_known),
        ("People", counts.people, counts.people_known),
        ("Members of projects", counts.members, None),
        ("Tags", counts.tags, counts.tags_known),
        ("Tasks", counts.tasks, counts.tasks_known),
        ("  of them subtasks", counts.subtasks, None),
        ("Comments", counts.comments, counts.comments_known),
        ("Relations", summary.links, summary.links_known),
    ):
        written.add_row(label, f"{new:,}", "" if known is None else f"{known:,}")
    console.print(written)
    noted = Table("Noted", "", show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, value in _remarks(summary):
        noted.add_row(label, value)
    console.print(noted)


def _remarks(summary: Summary) -> list[tuple[str, str]]:
    notes = summary.notes
    numbers = [
        ("Parents that came later in the archive", summary.parents_linked),
        ("Subtasks whose parent is not here", summary.parents_missing),
        ("Tasks with a new number, theirs was taken", summary.counts.renumbered),
        ("Links whose other issue is not here", summary.links_missing),
        ("Links left out: they would close a circle", summary.links_refused),
        ("Attachments left out", notes.attachments),
        ("Comments that Jira counted and the archive lacks", notes.comments_not_in_archive),
        ("Empty comments, kept", notes.empty_comments),
        ("Comments without an author, kept", notes.comments_without_author),
        ("Labels shortened to 50 characters", notes.shortened_labels),
        ("Times that could not be read", notes.bad_times),
        ("Files that are no issues, skipped", notes.not_issues),
    ]
    remarks = [(label, f"{number:,}") for label, number in numbers if number]
    if notes.cleaned:
        where = [f"{place} ({count})" for place, count in notes.cleaned.most_common()]
        remarks.append(("Characters removed that cannot be stored", _some(where)))
    if notes.unknown:
        words = [f"{field} “{word}” ({count})" for (field, word), count in notes.unknown.most_common()]
        remarks.append(("Words not understood", _some(words)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return [*remarks, ("Seconds", f"{summary.seconds:,.1f}"), ("Peak memory", f"{peak:,.0f} MB")]


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
