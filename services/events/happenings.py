"""What followers are told of an event: which thing changed, how, and in which of its fields, but no value of them.

Who may read a thing is asked when it is read; that it changed may be told to whoever may read its project.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import Field

from db.json_keys import json_keys
from db.models import Event
from services.shared.outputs import Output

FIELDS = 16
"""The fields of one event: a task has fewer that change."""
_MARK = 8


class HappeningOut(Output):
    """One change, as followers are told of it: what changed, and in which fields. The thing itself is to be read."""

    cursor: str = Field(description="Where to go on after it.", examples=["1207-5f0c3a9e"])
    event_id: str = Field(description="The stable id of the event (UUIDv7): what comes twice has the same.")
    kind: str = Field(description="What happened, e.g. task.updated.")
    entity_type: str = Field(description="The kind of thing that changed, e.g. task or comment.")
    entity_id: int = Field(description="The database id of the thing that changed; of a member, the user's.")
    entity_version: int | None = Field(description="The version of the thing after the change, where it has one.")
    task_id: int | None = Field(description="The task that the change belongs to.")
    project_id: int | None = Field(description="The project that the change belongs to.")
    actor_id: int | None = Field(description="The user who did it; null for the system.")
    occurred_at: datetime = Field(description="When it happened, in UTC.")
    fields: list[str] = Field(description="The names of the fields that changed, as REST spells them.")


class Happening(NamedTuple):
    """An event as followers are told of it."""

    position: int
    event_id: str
    kind: str
    entity_type: str
    entity_id: int
    entity_version: int | None
    task_id: int | None
    project_id: int | None
    actor_id: int | None
    occurred_at: datetime
    account_id: int | None
    """The account whose security it concerns: nobody who follows is told."""
    fields: Sequence[str]

    @property
    def cursor(self) -> str:
        return cursor_at(self.position, self.event_id)

    @property
    def comment_id(self) -> int | None:
        return self._of("comment")

    @property
    def tag_id(self) -> int | None:
        return self._of("tag")

    @property
    def milestone_id(self) -> int | None:
        return self._of("milestone")

    @property
    def relation_id(self) -> int | None:
        return self._of("relation")

    def _of(self, entity_type: str) -> int | None:
        return self.entity_id if self.entity_type == entity_type else None


COLUMNS = (*(getattr(Event, name) for name in Happening._fields[:-1]), json_keys(Event.changes).label("fields"))


def cursor_at(position: int, event_id: str) -> str:
    """The cursor of a position. It names the event there, too: where a dump of yesterday was restored, positions are
    given anew, and whoever has read further than that is to be told."""
    return f"{position}-{event_id[-_MARK:]}"


def is_of(mark: str, event_id: str) -> bool:
    """Whether a cursor's mark is that of an event."""
    return event_id[-_MARK:] == mark
