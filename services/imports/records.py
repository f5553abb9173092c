"""What a reader hands to the writer, whatever the source."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

SHOWN = 12
"""Of what may be named without end, so many are named."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the source knows by ``external_id``. ``name`` is the start of a username."""

    external_id: str
    name: str
    full_name: str | None
    timezone: str


@dataclass(frozen=True, slots=True)
class Place:
    """A project of the source, which is known by its key there. Issues know little more of it, or nothing."""

    key: str
    name: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment. ``restricted`` ones are not for everybody who may read the issue."""

    external_id: str
    author: Person | None
    body: str
    created_at: datetime
    edited_at: datetime | None
    restricted: bool = False


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
    """A task with all that belongs to it. ``restricted`` ones are not for everybody who may read the project."""

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
    due_at: datetime | None
    completed_at: datetime | None
    reporter: Person | None
    assignee: Person | None
    labels: tuple[str, ...]
    parent_external_id: str | None
    remarks: tuple[Remark, ...]
    links: tuple[Link, ...] = ()
    restricted: bool = False

    @property
    def people(self) -> list[Person]:
        """Who appears in it, each once or more."""
        found = [self.reporter, self.assignee, *(remark.author for remark in self.remarks)]
        return [person for person in found if person is not None]


@dataclass(slots=True)
class Named:
    """How many there were, and what the first of them are called: there may be a million."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
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
