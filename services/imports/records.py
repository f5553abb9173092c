"""What a reader hands to the writer, whatever the source."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the source knows by ``external_id``. ``name`` is the start of a username."""

    external_id: str
    name: str
    full_name: str | None
    timezone: str


@dataclass(frozen=True, slots=True)
class Place:
    """A project of the source, which is known by its key. Some records of it tell its description, some do not."""

    key: str
    name: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment."""

    external_id: str
    author: Person | None
    body: str
    created_at: datetime
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class Link:
    """How one issue (the source) relates to another, by their external ids."""

    kind: str
    source: str
    target: str

    @property
    def key(self) -> str:
        """What both issues call it; ``relates_to`` has no direction."""
        ends = sorted((self.source, self.target)) if self.kind == "relates_to" else (self.source, self.target)
        return "/".join((self.kind, *ends))


@dataclass(frozen=True, slots=True)
class Issue:
    """A task with all that belongs to it."""

    external_id: str
    place: Place
    ref: str
    number: int
    title: str
    description: str | None
    status: str
    priority: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    reporter: Person | None
    assignee: Person | None
    labels: tuple[str, ...]
    parent_external_id: str | None
    remarks: tuple[Remark, ...]
    links: tuple[Link, ...] = ()

    @property
    def people(self) -> list[Person]:
        """Who appears in it, each once or more."""
        found = [self.reporter, self.assignee, *(remark.author for remark in self.remarks)]
        return [person for person in found if person is not None]


@dataclass(slots=True)
class Notes:
    """What a reader came across that somebody should know of."""

    cleaned: Counter[str] = field(default_factory=Counter)
    """Characters taken out because no database stores them, by where they were."""
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Words that were not understood: (field, word)."""
    not_issues: int = 0
    bad_times: int = 0
    shortened_labels: int = 0
    empty_comments: int = 0
    comments_without_author: int = 0
    comments_not_in_archive: int = 0
    attachments: int = 0
