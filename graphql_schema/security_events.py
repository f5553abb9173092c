import strawberry

from graphql_schema.history import Event
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import list_field
from services import security_events
from services.events.log import EventFilter


@strawberry.type
class SecurityEventQueries:
    security_events: Connection[Event] = list_field(
        security_events.list_,
        security_events.count,
        EventFilter,
        "What happened to the security of the caller's account, newest first: logins and refused ones, sessions, keys.",
    )


PART = Part(queries=SecurityEventQueries)
