"""A whole import, from the file to the summary."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from db.driver.database import Database
from db.models import User
from db.upkeep import analyze
from services.shared.errors import BadUserInput
from services.shared.text import fold_username
from services.transfers import links, projects, sources, subtasks
from services.transfers.archives import Archive, ArchiveError
from services.transfers.formats.jira.reader import JiraReader
from services.transfers.known import WriterOptions
from services.transfers.records import ImportedProject, ImportedTask
from services.transfers.summary import Progress, Refusal, Summary
from services.transfers.writer import Writer, Written

BATCH_CHARACTERS = 8_000_000
"""A batch ends early when its texts are longer than this, so that memory is bounded by more than a count."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import, and as what. ``source`` tells several Jira installations apart.

    ``keys`` are those that projects get here instead of their own; ``include_restricted`` brings in tasks and comments
    that are not for every member of their project, so that they are.
    """

    source: str = "jira"
    projects: frozenset[str] = frozenset()
    owner: str | None = None
    batch_size: int = 500
    keys: Mapping[str, str] = field(default_factory=dict)
    include_restricted: bool = False


async def import_jira(
    database: Database,
    path: Path,
    options: ImportOptions,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Summary:
    """Bring in the tasks of a Jira archive. What an earlier run wrote stays as it is.

    Commits batch by batch: after a failure, what was committed stays, and another run continues. Projects
    that cannot be imported are told by the summary, and the others go on. Raises ``ArchiveError`` for an archive that
    cannot be read (to its end) or holds nothing that was asked for, ``BadUserInput`` where there is nobody to own the
    projects, and for keys that projects cannot have.
    """
    started = time.monotonic()
    check_keys(options.keys)
    owner_id = await find_owner(database, options.owner)
    summary = Summary()
    reader = JiraReader(options.projects)
    summary.notes = reader.notes
    how = WriterOptions(options.source, owner_id, options.keys, options.include_restricted)
    run = _Run(database, options, Writer(database, how), summary)
    with Archive(path) as archive:
        for file in archive.files():
            record = reader.read(file)
            if isinstance(record, ImportedTask):
                await run.add(record)
            elif isinstance(record, ImportedProject):
                run.describe(record)
            on_progress(Progress(archive.position, archive.size, run.tasks, run.comments))
    await run.finish()
    on_progress(Progress(archive.size, archive.size, run.tasks, run.comments))
    if not run.found and not options.projects:
        raise ArchiveError(f"{path.name} holds no Jira issues (files such as KEY-1.json)")
    summary.absent = tuple(sorted(options.projects - run.found))
    summary.unmapped = tuple(sorted(options.keys.keys() - run.found))
    summary.seconds = time.monotonic() - started
    return summary


class _Run:
    def __init__(self, database: Database, options: ImportOptions, writer: Writer, summary: Summary) -> None:
        self.tasks = self.comments = 0
        self.found: set[str] = set()
        self._database = database
        self._options = options
        self._writer = writer
        self._summary = summary
        self._batch: list[ImportedTask] = []
        self._characters = 0
        self._left_over: list[ImportedTask] = []

    async def add(self, task: ImportedTask) -> None:
        self.found.add(task.project.key)
        self.tasks += 1
        self.comments += len(task.comments)
        self._batch.append(task)
        self._characters += len(task.description or "") + sum(len(comment.body) for comment in task.comments)
        if len(self._batch) >= self._options.batch_size or self._characters >= BATCH_CHARACTERS:
            await self._flush()

    def describe(self, project: ImportedProject) -> None:
        """A project's own record, which may come before its tasks or after."""
        self._writer.descriptions[project.key] = project

    async def finish(self) -> None:
        await self._flush()
        # only now is it known which numbers the archive itself needs
        for start in range(0, len(self._left_over), self._options.batch_size):
            some = self._left_over[start : start + self._options.batch_size]
            self._take(await self._writer.write(some, renumber=True))
        await self._describe_projects()
        summary, source = self._summary, self._options.source
        summary.parents_linked = await subtasks.link(self._database, source)
        await links.link(self._database, source, summary)
        summary.links_known += summary.counts.links_known
        summary.links_refused += summary.counts.links_refused
        async with self._database.reading() as session:
            summary.parents_missing = await sources.count_awaited(session, source, "awaited_parent")
            here = await projects.keys_here(session, source, self._options.keys)
        summary.kept_keys = {
            key: here[key] for key, wanted in self._options.keys.items() if here.get(key, wanted) != wanted
        }
        if summary.counts.tasks:
            await analyze(self._database)

    async def _describe_projects(self) -> None:
        described = self._writer.described
        self._summary.descriptions = len(described)
        for key, project in self._writer.descriptions.items():
            if key not in described:
                async with self._database.writing() as session:
                    now_told = await projects.describe(session, self._options.source, project)
                self._summary.descriptions += now_told is True
                self._summary.descriptions_known += now_told is False

    async def _flush(self) -> None:
        batch, self._batch, self._characters = self._batch, [], 0
        if batch:
            self._take(await self._writer.write(batch))

    def _take(self, written: Written) -> None:
        self._summary.counts.add(written.counts)
        self._left_over += written.left_over
        for key, refusal in written.refused.items():
            known = self._summary.refused.setdefault(key, Refusal(refusal.reason))
            known.tasks += refusal.tasks
            known.comments += refusal.comments


def check_keys(keys: Mapping[str, str]) -> None:
    """Raises ``BadUserInput`` for keys that no project can have, or two projects at once."""
    for key in keys.values():
        if not projects.is_key(key):
            raise BadUserInput(f"{key} cannot be the key of a project: {projects.KEY_RULE}")
    doubled = [key for key, count in Counter(keys.values()).items() if count > 1]
    if doubled:
        raise BadUserInput(f"{doubled[0]} is given to more than one project")


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
