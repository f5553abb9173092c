"""What a reader hands to the writer, whatever the source."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime

from services.relations import RelationKind
from services.tasks.models import TaskStatus

SHOWN = 12
"""Of what may be named without end, so many are named."""


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """Somebody the source knows by ``external_id``. ``name`` is the start of a username."""

    external_id: str
    name: str
    full_name: str | None
    timezone: str


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """A project of the source, which is known by its key there. Tasks know little more of it, or nothing."""

    key: str
    name: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedComment:
    """A comment. ``restricted`` ones are not for everybody who may read the task."""

    external_id: str
    author: ImportedUser | None
    body: str
    created_at: datetime
    edited_at: datetime | None
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class ImportedRelation:
    """How one task (the source) relates to another, by their external ids."""

    kind: RelationKind
    source: str
    target: str

    @property
    def key(self) -> str:
        """What both tasks call it; ``relates_to`` has no direction."""
        ends = [self.source, self.target]
        return "/".join((self.kind, *(sorted(ends) if self.kind is RelationKind.RELATES_TO else ends)))


@dataclass(frozen=True, slots=True)
class ImportedTask:
    """A task with all that belongs to it, by the names that services give it; ``ref`` is what the source calls it.

    Instants are in UTC, texts such as the service takes them. ``restricted`` ones are not for everybody who may read
    the project.
    """

    external_id: str
    project: ImportedProject
    ref: str
    number: int
    title: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: int = 1
    start_at: datetime | None = None
    start_on: date | None = None
    due_at: datetime | None = None
    due_on: date | None = None
    completed_at: datetime | None = None
    created_by: ImportedUser | None = None
    assignees: tuple[ImportedUser, ...] = ()
    tags: tuple[str, ...] = ()
    parent_external_id: str | None = None
    comments: tuple[ImportedComment, ...] = ()
    relations: tuple[ImportedRelation, ...] = ()
    restricted: bool = False

    @property
    def has_due_date(self) -> bool:
        """Whether it is due at all, at an instant or on a day."""
        return self.due_at is not None or self.due_on is not None

    @property
    def parties(self) -> list[ImportedUser]:
        """Who created it and whom it is assigned to, each once or more."""
        return [*self.assignees] if self.created_by is None else [self.created_by, *self.assignees]

    @property
    def people(self) -> list[ImportedUser]:
        """Who appears in it, each once or more."""
        return [*self.parties, *(comment.author for comment in self.comments if comment.author is not None)]


@dataclass(slots=True)
class Named:
    """How many there were, and what the first of them are called: there may be a million."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more, and keep its name if it is one of the first."""
        self.count += 1
        if len(self.names) < SHOWN:
            self.names.append(name)


@dataclass(slots=True)
class Notes:
    """What a reader came across that somebody should know of."""

    left_out: Counter[str] = field(default_factory=Counter)
    """What the source has and there is no place for: how many, by what it is called."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """Values of another shape than they should have, left out: how many, by where they were."""
    cleaned: Counter[str] = field(default_factory=Counter)
    """Characters taken out because no database stores them, by where they were."""
    too_long: Counter[str] = field(default_factory=Counter)
    """What is longer than the API would take it, and kept whole all the same."""
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Words that were not understood: (field, word)."""
    not_issues: Named = field(default_factory=Named)
    other_files: Named = field(default_factory=Named)
    bad_times: Named = field(default_factory=Named)
    tidied: int = 0
    """Titles and names that were no single line of visible characters."""
    shortened: Counter[str] = field(default_factory=Counter)
    empty_comments: int = 0
    comments_without_author: int = 0
    comments_not_in_archive: int = 0
    inactive_people: int = 0
