import strawberry
from strawberry import UNSET

from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.history import Event
from graphql_schema.loading import PAGED
from graphql_schema.prices import priced
from services import security_events


@strawberry.type
class SecurityEventQueries:
    @strawberry.field(
        description="What happened to the security of the caller's account, newest first: logins and refused ones, "
        "sessions, keys.",
        metadata=priced(PAGED),
    )
    async def security_events(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[Event]:
        context, request = info.context, page_request(first, after, last, before)

        async def count() -> int:
            async with context.reading() as session:
                return await security_events.count(session, context.actor)

        async with context.reading() as session:
            return connect(await security_events.list_(session, context.actor, request), count)
