from datetime import datetime

from strawberry.scalars import JSON

from graphql_schema.shared.base import Node, attribute, output_type
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import listed
from graphql_schema.users import User
from services import history
from services.events import log
from services.events.log import ChangeOut, EventOut, EventRecord


@output_type(ChangeOut)
class Change:
    field: str
    before: JSON | None
    after: JSON | None


@output_type(EventOut, record=EventRecord)
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
    changes: list[Change] = listed(log.MAX_CHANGES)

    actor: User | None = relation_field(
        "event.actor",
        history.actors,
        selective="User",
        description="The user who did it; null for the system, and for accounts that are gone.",
    )


PART = Part()
