from datetime import datetime

import strawberry
from pydantic import Field

from graphql_schema.shared.base import Node, as_output, attribute, output_type, service_input
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, priced
from graphql_schema.shared.root_fields import list_field, removal_field
from services import sessions
from services.sessions import Login, SessionFilter, SessionOut, SessionRecord, TokenOut
from services.shared.inputs import Input, SessionId
from services.shared.prices import PASSWORD


@output_type(SessionOut, record=SessionRecord)
class Session(Node):
    database_id: int = attribute("id")
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


@output_type(TokenOut)
class TokenPayload:
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


@service_input()
class LoginInput(Login): ...


@service_input()
class RefreshTokenInput(sessions.RefreshTokenInput): ...


@strawberry.type(description="That the session has ended.")
class RevokeTokenPayload:
    revoked: bool = strawberry.field(description="Always true, also for an unknown token (RFC 7009).")


@service_input()
class EndSessionInput(Input):
    """Ends a session."""

    id: SessionId = Field(description="The id.")


@strawberry.type
class SessionQueries:
    sessions: Connection[Session] = list_field(
        sessions.list_, sessions.count, SessionFilter, "The caller's live sessions, newest first."
    )


@strawberry.type
class SessionMutations:
    @strawberry.mutation(description="Log in with username and password.", metadata=priced(Price(call=PASSWORD)))
    async def login(self, info: Info, input: LoginInput) -> TokenPayload | None:
        context = info.context
        return as_output(
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
            return as_output(tokens)

    @strawberry.mutation(description="Log out: end the session of a refresh token.")
    async def revoke_token(self, info: Info, input: RefreshTokenInput) -> RevokeTokenPayload | None:
        context = info.context
        async with context.writing() as session:
            await sessions.revoke(session, context.actor, input, security=context.security, client=context.client)
        return RevokeTokenPayload(revoked=True)

    end_session = removal_field(
        Session,
        sessions.end,
        EndSessionInput,
        "End one of the caller's sessions.",
        payload="The session that has ended.",
        name="ended_session_id",
        thing="session",
    )


PART = Part(queries=SessionQueries, mutations=SessionMutations)
