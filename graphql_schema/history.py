from datetime import datetime

from strawberry.scalars import JSON

from graphql_schema.base import Node, attribute, described
from graphql_schema.loading import loaded
from graphql_schema.prices import listed
from graphql_schema.users import User
from services import events, history
from services.events import ChangeOut, EventOut, EventRecord


@described(ChangeOut)
class Change:
    field: str
    before: JSON | None
    after: JSON | None


@described(EventOut, record=EventRecord)
class Event(Node):
    database_id: int = attribute("id")
    event_id: str
    kind: str
    entity_type: str
    entity_id: int
    entity_version: int | None
    task_id: int | None
    project_id: int | None
    actor_method: str
    request_id: str | None
    occurred_at: datetime
    changes: list[Change] = listed(events.MAX_CHANGES)

    actor: User | None = loaded(
        "event.actor",
        history.actors,
        selective="User",
        description="The user who did it; null for the system, and for accounts that are gone.",
    )
