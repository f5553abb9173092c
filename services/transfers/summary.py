"""What a run of an import did."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields

from services.transfers.records import ImportedTask, Notes


@dataclass(slots=True)
class Counts:
    """Rows written, and (``…_known``) things of the archive that an earlier run had written."""

    projects: int = 0
    projects_known: int = 0
    people: int = 0
    people_known: int = 0
    members: int = 0
    members_known: int = 0
    tags: int = 0
    tags_known: int = 0
    tasks: int = 0
    tasks_known: int = 0
    subtasks: int = 0
    subtasks_known: int = 0
    due_dates: int = 0
    due_dates_known: int = 0
    comments: int = 0
    comments_known: int = 0
    links_known: int = 0
    """Links that an earlier run had seen to."""
    links_refused: int = 0
    """Links that an earlier run had refused, because a circle would have closed."""
    links_unmade: int = 0
    """Links between tasks that were there both, which nobody related: what is there is not touched."""
    renumbered: int = 0
    recurrences_left_out: int = 0
    """Of tasks without a due date, or by rules that do not come again."""
    restricted_tasks: int = 0
    restricted_comments: int = 0
    restricted_tasks_known: int = 0
    """Left out, and here all the same: an earlier run brought them in."""
    restricted_comments_known: int = 0
    widened_tasks: int = 0
    """Restricted ones that were asked for, and can be read by every member now."""
    widened_comments: int = 0

    def count_new(self, tasks: Collection[ImportedTask]) -> None:
        """Add tasks that were brought in."""
        self.tasks += len(tasks)
        self.subtasks += sum(task.parent_external_id is not None for task in tasks)
        self.due_dates += sum(task.has_due_date for task in tasks)
        self.widened_tasks += sum(task.restricted for task in tasks)

    def add(self, other: "Counts") -> None:
        """Add the numbers of another part of the run."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Refusal:
    """What of a project was not imported, and why."""

    reason: str
    tasks: int = 0
    comments: int = 0


@dataclass(slots=True)
class Summary:
    """The whole run: what was written, what was odd, and how long it took."""

    counts: Counts = field(default_factory=Counts)
    notes: Notes = field(default_factory=Notes)
    descriptions: int = 0
    """Projects whose name and description were taken from their own record."""
    descriptions_known: int = 0
    parents_linked: int = 0
    parents_missing: int = 0
    """Subtasks in the database whose parent is not (a task of the same project)."""
    links: int = 0
    """Relations between tasks that were made of links."""
    links_known: int = 0
    links_refused: int = 0
    """Links that would have closed a circle of blocking or duplicating."""
    links_archived: int = 0
    """Links that wait because a project of theirs is archived here."""
    links_missing: int = 0
    """Links in the database whose other task is not."""
    absent: tuple[str, ...] = ()
    """Projects that were asked for, of which the archive holds nothing."""
    unmapped: tuple[str, ...] = ()
    """Keys that were to be mapped, of which the archive holds nothing."""
    kept_keys: dict[str, str] = field(default_factory=dict)
    """Keys that were to be mapped, of projects that are here under another key already."""
    refused: dict[str, Refusal] = field(default_factory=dict)
    """Projects that could not be imported, or not any further, by their keys in the source."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: bytes of the file read, of all, and what was found until now."""

    position: int
    size: int
    tasks: int
    comments: int
