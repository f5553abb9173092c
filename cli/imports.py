"""Commands that bring in what other systems hold."""

import resource
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.database import fail, with_database
from cli.progress import display
from db.driver.database import Database
from services.transfers.formats.jira.other_fields import CUSTOM
from services.transfers.records import SHOWN, Named
from services.transfers.runs import ImportOptions, import_jira
from services.transfers.summary import Summary

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
    map_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Import the project OLD under the key NEW, where OLD is taken or cannot be a key; may be repeated.",
        ),
    ] = None,
    include_restricted: Annotated[
        bool,
        typer.Option(
            "--include-restricted",
            help="Bring in issues with a security level, and comments for a role, a group or a service desk's agents, "
            "too. Every member of the project can read them here. They are left out, and counted, without this.",
        ),
    ] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show only the summary.")] = False,
) -> None:
    """Import issues, comments and people from an archive of Jira's REST documents.

    Run again, it changes nothing that is there; cut off, it goes on where it was.
    """
    if not 1 <= len(source) <= 50:
        fail("--source must have 1 to 50 characters")
    options = ImportOptions(
        source=source,
        projects=frozenset(key.upper() for key in project or ()),
        owner=owner,
        batch_size=batch,
        keys=_keys(map_key or ()),
        include_restricted=include_restricted,
    )

    async def work(database: Database) -> Summary:
        with display(wanted=not no_progress) as progress:
            return await import_jira(database, archive, options, on_progress=progress)

    summary = with_database(work)
    show(summary, Console(soft_wrap=True))
    problems = [f"{key} was not imported: {refusal.reason}" for key, refusal in summary.refused.items()]
    if lacking := dict.fromkeys(summary.absent + summary.unmapped):
        problems.append(f"{archive.name} holds no issues of {', '.join(lacking)}")
    if problems:
        fail("; ".join(problems))


def _keys(pairs: Sequence[str]) -> dict[str, str]:
    """The keys that projects get, of OLD=NEW."""
    keys: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.upper().partition("=")
        if not (old and equals and new):
            fail(f"--map-key takes OLD=NEW, not {pair}")
        if keys.setdefault(old, new) != new:
            fail(f"--map-key gives {old} two keys, {keys[old]} and {new}")
    return keys


def show(summary: Summary, console: Console) -> None:
    """The summary, as tables: what was written, what was not, and what is to be known of it."""
    counts = summary.counts
    written = Table("", "New", "Unchanged", title="Imported", title_justify="left")
    for column in written.columns[1:]:
        column.justify = "right"
    for label, new, known in (
        ("Projects", counts.projects, counts.projects_known),
        ("  with a record of their own", summary.descriptions, summary.descriptions_known),
        ("People", counts.people, counts.people_known),
        ("Members of projects", counts.members, counts.members_known),
        ("Tags", counts.tags, counts.tags_known),
        ("Tasks", counts.tasks, counts.tasks_known),
        ("  of them subtasks", counts.subtasks, counts.subtasks_known),
        ("  with a due date", counts.due_dates, counts.due_dates_known),
        ("Comments", counts.comments, counts.comments_known),
        ("Relations", summary.links, summary.links_known),
    ):
        written.add_row(label, f"{new:,}", f"{known:,}")
    console.print(written)
    sections = {"Not imported": _refused(summary), "Left out": _left_out(summary), "Noted": _remarks(summary)}
    width = max(len(label) for rows in sections.values() for label, _ in rows)
    for title, rows in sections.items():
        if rows:
            lines = (title, *(f"  {label:<{width}}  {value}" for label, value in rows))
            # not markup: there are words of the archive in it
            console.print("\n".join(lines), markup=False, highlight=False)


def _refused(summary: Summary) -> list[tuple[str, str]]:
    return [
        (key, f"{refusal.tasks:,} issues and {refusal.comments:,} comments: {refusal.reason}")
        for key, refusal in summary.refused.items()
    ]


def _left_out(summary: Summary) -> list[tuple[str, str]]:
    """What the source has and Tandem has not now, with its number."""
    counts, notes = summary.counts, summary.notes
    rows = _numbers(
        ("Restricted issues (security level)", counts.restricted_tasks),
        ("Restricted comments (for a role, a group or internal, or of a restricted issue)", counts.restricted_comments),
        ("Subtasks whose parent is not here", summary.parents_missing),
        ("Links whose other issue is not here", summary.links_missing),
        ("Links of projects that are archived here", summary.links_archived),
        ("Links that would close a circle", summary.links_refused),
        ("Links between tasks that were here before and are not related", counts.links_unmade),
        ("Recurrences without a due date, or by a rule that does not come again", counts.recurrences_left_out),
        ("Comments that Jira counted and the archive lacks", notes.comments_not_in_archive),
        ("Times that could not be read", notes.bad_times),
        ("Issues that are none, or whose number is too high", notes.not_issues),
        ("Other files", notes.other_files),
    )
    custom = {label: number for label, number in notes.left_out.items() if label.startswith(CUSTOM)}
    for label, number in sorted(notes.left_out.items()):
        if label not in custom:
            rows.append((label[:1].upper() + label[1:], f"{number:,}"))
    if custom:
        which = _some([f"{label} ({number:,})" for label, number in Counter(custom).most_common()])
        rows.append(("Values of custom fields", f"{sum(custom.values()):,}: {which}"))
    if notes.unreadable:
        where = [f"{place} ({number:,})" for place, number in notes.unreadable.most_common()]
        rows.append(("Values of another kind than they should be", _some(where)))
    return rows


def _remarks(summary: Summary) -> list[tuple[str, str]]:
    counts, notes = summary.counts, summary.notes
    remarks = _numbers(
        ("Restricted issues that an earlier run brought in, still here", counts.restricted_tasks_known),
        ("Restricted comments that an earlier run brought in, still here", counts.restricted_comments_known),
        ("Restricted issues that every member of the project can read now", counts.widened_tasks),
        ("Restricted comments that every member of the project can read now", counts.widened_comments),
        ("Parents that came later in the archive", summary.parents_linked),
        ("Tasks with a new number, theirs was taken", counts.renumbered),
        ("Empty comments, kept", notes.empty_comments),
        ("Comments without an author, kept", notes.comments_without_author),
        ("People whom Jira deactivated, whose accounts can be claimed here all the same", notes.inactive_people),
        ("Titles and names made one line of visible characters", notes.tidied),
        *((f"{what.capitalize()} longer than the API takes them, kept", n) for what, n in notes.too_long.items()),
        *((f"{what.capitalize()} shortened", number) for what, number in notes.shortened.items()),
    )
    if notes.cleaned:
        where = [f"{place} ({count})" for place, count in notes.cleaned.most_common()]
        remarks.append(("Characters removed that cannot be stored", _some(where)))
    if notes.unknown:
        words = [f"{field} “{word}” ({count})" for (field, word), count in notes.unknown.most_common()]
        remarks.append(("Words not understood", _some(words)))
    for old, key in summary.kept_keys.items():
        remarks.append((f"{old} is here since an earlier run, and keeps its key", key))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return [*remarks, ("Seconds", f"{summary.seconds:,.1f}"), ("Peak memory", f"{peak:,.0f} MB")]


def _numbers(*rows: tuple[str, int | Named]) -> list[tuple[str, str]]:
    """Those that there are any of."""
    shown = []
    for label, number in rows:
        if isinstance(number, Named):
            if number.count:
                shown.append((label, f"{number.count:,}: {_some(number.names, number.count)}"))
        elif number:
            shown.append((label, f"{number:,}"))
    return shown


def _some(items: Sequence[str], count: int | None = None) -> str:
    more = (count or len(items)) - min(SHOWN, len(items))
    return ", ".join(items[:SHOWN]) + (f" and {more:,} more" if more else "")
