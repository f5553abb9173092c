from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from pydantic import BaseModel, Field

from api.dependencies.auth import CurrentActor, OptionalActor
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import SessionPath
from api.dependencies.sessions import WriteSession
from api.dependencies.state import AppState
from api.http.addresses import client_of
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from core.sentences import pattern
from services import sessions
from services.sessions import (
    Login,
    LoginPassword,
    RefreshTokenInput,
    SessionFilter,
    SessionOut,
    SessionRecord,
    TokenOut,
    TokenPair,
)
from services.users.models import LoginName

router = APIRouter(route_class=StrictRoute, tags=["sessions"])


class PasswordForm(BaseModel):
    """The form of OAuth 2.0's password grant (RFC 6749, section 4.3.2)."""

    username: LoginName
    password: LoginPassword
    grant_type: str | None = Field(
        None,
        pattern=pattern("^password$", 'must be "password", or be left out'),
        description='"password", or left out.',
    )
    scope: str = Field("", max_length=1000, description="Accepted and ignored: a login may do all its account may.")
    client_id: str | None = Field(None, max_length=1000, description="Accepted and ignored.")
    client_secret: str | None = Field(None, max_length=1000, description="Accepted and ignored.")


@router.post("/token", response_model=TokenOut)
@answers(Kind.CREDENTIAL)
async def create_token(
    form: Annotated[PasswordForm, Form()], actor: OptionalActor, state: AppState, request: Request
) -> TokenPair:
    """Log in with username and password: a short access token, and a refresh token for the next one."""
    return await sessions.login(
        state.database,
        actor,
        Login(username=form.username, password=form.password),
        security=state.security,
        client=client_of(request),
        user_agent=request.headers.get("user-agent"),
    )


@router.post("/token/refresh", response_model=TokenOut)
@answers(Kind.CREDENTIAL)
async def refresh_token(
    body: RefreshTokenInput, actor: OptionalActor, session: WriteSession, state: AppState, request: Request
) -> TokenPair:
    """Exchange a refresh token for new tokens. It works once: using it again ends the session."""
    return await sessions.refresh(session, actor, body, security=state.security, client=client_of(request))


@router.post("/token/revoke", status_code=204)
async def revoke_token(
    body: RefreshTokenInput, actor: OptionalActor, session: WriteSession, state: AppState, request: Request
) -> None:
    """Log out: end the session of a refresh token (RFC 7009). An unknown token is no error."""
    await sessions.revoke(session, actor, body, security=state.security, client=client_of(request))


# they end as time passes
_LIST = ListShape(SessionOut, "a session", filter=SessionFilter, told=False)


@router.get("/users/me/sessions", response_model=list[SessionOut])
async def list_sessions(
    listing: Annotated[ListCall[SessionFilter], Depends(_LIST.listing)],
) -> Sequence[SessionRecord] | Response:
    """The caller's live sessions, newest first."""
    return await listing(sessions.list_, sessions.count)


async def query_sessions(
    body: SessionFilter, listing: Annotated[ListCall[SessionFilter], Depends(_LIST.querying)]
) -> Sequence[SessionRecord] | Response:
    """As GET /users/me/sessions, with the filter as the body. It changes nothing."""
    return await listing.by(body)(sessions.list_, sessions.count)


add_query(router, "/users/me/sessions", query_sessions, list[SessionOut])


@router.delete("/users/me/sessions/{session_id}", status_code=204)
async def end_session(session_id: SessionPath, actor: CurrentActor, session: WriteSession) -> None:
    """End one of the caller's sessions: its tokens stop working everywhere within a second."""
    await sessions.end(session, actor, session_id)
