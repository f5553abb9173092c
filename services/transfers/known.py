"""What the batches of a run have in common: how to write, and what is known by now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.transfers.projects import KnownProject


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How to write. The owner (an account's id) becomes owner of projects that are created."""

    source: str
    owner_id: int
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys that projects get here instead of their own."""
    include_restricted: bool = False
    """Whether to bring in what is not for every member of a project, so that it is."""


@dataclass(slots=True)
class Known:
    """What earlier batches found in the database or put there. Forgotten when a batch fails."""

    projects: dict[str, KnownProject] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    tags: dict[tuple[int, str], int] = field(default_factory=dict)
    members: set[tuple[int, int]] = field(default_factory=set)
