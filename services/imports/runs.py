"""A whole import, from the file to the summary."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from db.engine import Database
from db.models import User
from services.errors import BadUserInput
from services.imports import links, projects, subtasks
from services.imports.archives import Archive, ArchiveError
from services.imports.jira import JiraReader
from services.imports.records import Issue, Place
from services.imports.summary import Progress, Summary
from services.imports.writer import Writer
from services.text import fold_username

BATCH_CHARACTERS = 8_000_000
"""A batch ends early when its texts are longer than this, so that memory is bounded by more than a count."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import, and as what. ``source`` tells several Jira installations apart."""

    source: str = "jira"
    projects: frozenset[str] = frozenset()
    owner: str | None = None
    batch_size: int = 500


async def import_jira(
    database: Database,
    path: Path,
    options: ImportOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Summary:
    """Bring in the issues of a Jira archive. What an earlier run wrote stays as it is.

    Commits batch by batch: after a failure, what was committed stays, and another run continues. Raises
    ``ArchiveError`` for an archive that cannot be read (to its end) or holds nothing that was asked for,
    ``BadUserInput`` where there is nobody to own the projects, ``Conflict`` for a project that cannot be imported.
    """
    started = time.monotonic()
    owner_id = await find_owner(database, options.owner)
    summary = Summary()
    reader = JiraReader(options.projects)
    summary.notes = reader.notes
    run = _Run(database, options, Writer(database, source=options.source, owner_id=owner_id), summary)
    with Archive(path) as archive:
        for file in archive.files():
            record = reader.read(file)
            if isinstance(record, Issue):
                await run.add(record)
            elif isinstance(record, Place):
                run.places.append(record)
            on_progress(Progress(archive.position, archive.size, run.issues, run.comments))
    await run.finish()
    on_progress(Progress(archive.size, archive.size, run.issues, run.comments))
    if not run.found and not options.projects:
        raise ArchiveError(f"{path.name} holds no Jira issues (files such as KEY-1.json)")
    summary.absent = tuple(sorted(options.projects - run.found))
    summary.seconds = time.monotonic() - started
    return summary


class _Run:
    def __init__(self, database: Database, options: ImportOptions, writer: Writer, summary: Summary) -> None:
        self.issues = self.comments = 0
        self.found: set[str] = set()
        self.places: list[Place] = []
        self._database = database
        self._options = options
        self._writer = writer
        self._summary = summary
        self._batch: list[Issue] = []
        self._characters = 0
        self._left_over: list[Issue] = []

    async def add(self, issue: Issue) -> None:
        self.found.add(issue.place.key)
        self.issues += 1
        self.comments += len(issue.remarks)
        self._batch.append(issue)
        self._characters += len(issue.description or "") + sum(len(remark.body) for remark in issue.remarks)
        if len(self._batch) >= self._options.batch_size or self._characters >= BATCH_CHARACTERS:
            await self._flush()

    async def finish(self) -> None:
        await self._flush()
        # only now is it known which numbers the archive itself needs
        for start in range(0, len(self._left_over), self._options.batch_size):
            some = self._left_over[start : start + self._options.batch_size]
            counts, _ = await self._writer.write(some, renumber=True)
            self._summary.counts.add(counts)
        for place in self.places:
            async with self._database.writing() as session:
                self._summary.descriptions += await projects.describe(session, self._options.source, place)
        self._summary.parents_linked = await subtasks.link(self._database, self._options.source)
        await links.link(self._database, self._options.source, self._summary)
        async with self._database.reading() as session:
            self._summary.parents_missing = await subtasks.missing(session, self._options.source)
        if self._summary.counts.tasks:
            await self._database.analyze()

    async def _flush(self) -> None:
        batch, self._batch, self._characters = self._batch, [], 0
        if batch:
            counts, left_over = await self._writer.write(batch)
            self._summary.counts.add(counts)
            self._left_over += left_over


async def find_owner(database: Database, username: str | None) -> int:
    """The account that will own the projects: the one named, or the first administrator. Raises ``BadUserInput``."""
    statement = select(User.id).where(User.disabled.is_(False)).order_by(User.id).limit(1)
    condition = User.is_admin.is_(True) if username is None else User.username_folded == fold_username(username)
    async with database.reading() as session:
        owner_id = await session.scalar(statement.where(condition))
    if owner_id is not None:
        return int(owner_id)
    if username is None:
        raise BadUserInput("There is no administrator to own the imported projects: make one with create-admin")
    raise BadUserInput(f"There is no account {username} to own the imported projects")
