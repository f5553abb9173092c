from datetime import datetime

import strawberry
from pydantic import Field
from strawberry import UNSET

from graphql_schema.base import Node, attribute, described, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.loading import PAGED
from graphql_schema.prices import Price, priced
from services import node_ids, sessions
from services.inputs import Input, SessionId
from services.prices import PASSWORD
from services.sessions import Login, RefreshTokenInput, SessionOut, SessionRecord, TokenOut


@described(SessionOut, record=SessionRecord)
class Session(Node):
    database_id: int = attribute("id")
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


@described(TokenOut)
class TokenPayload:
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


LoginInput = service_input("LoginInput")(Login)
service_input("RefreshTokenInput")(RefreshTokenInput)


@strawberry.type(description="That the session has ended.")
class RevokeTokenPayload:
    revoked: bool = strawberry.field(description="Always true, also for an unknown token (RFC 7009).")


@service_input()
class EndSessionInput(Input):
    """Ends a session."""

    id: SessionId = Field(description="The id.")


@strawberry.type(description="The session that has ended.")
class EndSessionPayload:
    ended_session_id: strawberry.ID = strawberry.field(description="The id of the session.")


@strawberry.type
class SessionQueries:
    @strawberry.field(description="The caller's live sessions, newest first.", metadata=priced(PAGED))
    async def sessions(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[Session]:
        context, request = info.context, page_request(first, after, last, before)

        async def count() -> int:
            async with context.reading() as session:
                return await sessions.count(session, context.actor)

        async with context.reading() as session:
            return connect(await sessions.list_(session, context.actor, request), count)


@strawberry.type
class SessionMutations:
    @strawberry.mutation(description="Log in with username and password.", metadata=priced(Price(call=PASSWORD)))
    async def login(self, info: Info, input: LoginInput) -> TokenPayload | None:  # type: ignore[valid-type]  # an input made at run time
        context = info.context
        return shown(
            await sessions.login(
                context.database,
                context.actor,
                input,
                security=context.security,
                client=context.client,
                user_agent=context.user_agent,
            )
        )

    @strawberry.mutation(description="Exchange a refresh token for new tokens. It works once.")
    async def refresh_token(self, info: Info, input: RefreshTokenInput) -> TokenPayload | None:
        context = info.context
        async with context.writing() as session:
            tokens = await sessions.refresh(
                session, context.actor, input, security=context.security, client=context.client
            )
            return shown(tokens)

    @strawberry.mutation(description="Log out: end the session of a refresh token.")
    async def revoke_token(self, info: Info, input: RefreshTokenInput) -> RevokeTokenPayload | None:
        context = info.context
        async with context.writing() as session:
            await sessions.revoke(session, context.actor, input, security=context.security, client=context.client)
        return RevokeTokenPayload(revoked=True)

    @strawberry.mutation(description="End one of the caller's sessions.")
    async def end_session(self, info: Info, input: EndSessionInput) -> EndSessionPayload | None:
        async with info.context.writing() as session:
            await sessions.end(session, info.context.actor, input.id)
        return EndSessionPayload(ended_session_id=strawberry.ID(node_ids.encode("Session", input.id)))
