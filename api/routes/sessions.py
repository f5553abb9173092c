from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import BaseModel, Field

from api.addresses import client_of
from api.caching import Kind, answers
from api.dependencies import AnyCaller, AppState, Caller, ListQuery, Reading, SessionPath, Writing, add_links, add_total
from api.media_types import StrictRoute
from services import sessions
from services.sessions import (
    Login,
    LoginName,
    LoginPassword,
    RefreshTokenInput,
    SessionOut,
    SessionRecord,
    TokenOut,
    TokenPair,
)

router = APIRouter(route_class=StrictRoute, tags=["sessions"])


class PasswordForm(BaseModel):
    """The form of OAuth 2.0's password grant (RFC 6749, section 4.3.2)."""

    username: LoginName
    password: LoginPassword
    grant_type: str | None = Field(None, pattern="^password$", description='"password", or left out.')
    scope: str = Field("", max_length=1000, description="Accepted and ignored: a login may do all its account may.")
    client_id: str | None = Field(None, max_length=1000, description="Accepted and ignored.")
    client_secret: str | None = Field(None, max_length=1000, description="Accepted and ignored.")


@router.post("/token", response_model=TokenOut)
@answers(Kind.CREDENTIAL)
async def create_token(
    form: Annotated[PasswordForm, Form()], actor: AnyCaller, state: AppState, request: Request
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
    body: RefreshTokenInput, actor: AnyCaller, session: Writing, state: AppState, request: Request
) -> TokenPair:
    """Exchange a refresh token for new tokens. It works once: using it again ends the session."""
    return await sessions.refresh(session, actor, body, security=state.security, client=client_of(request))


@router.post("/token/revoke", status_code=204)
async def revoke_token(
    body: RefreshTokenInput, actor: AnyCaller, session: Writing, state: AppState, request: Request
) -> None:
    """Log out: end the session of a refresh token (RFC 7009). An unknown token is no error."""
    await sessions.revoke(session, actor, body, security=state.security, client=client_of(request))


@router.get("/users/me/sessions", response_model=list[SessionOut])
async def list_sessions(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[SessionRecord]:
    """The caller's live sessions, newest first."""
    page = await sessions.list_(session, actor, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: sessions.count(session, actor))
    return page.items


@router.delete("/users/me/sessions/{session_id}", status_code=204)
async def end_session(session_id: SessionPath, actor: Caller, session: Writing) -> None:
    """End one of the caller's sessions: its tokens stop working everywhere within a second."""
    await sessions.end(session, actor, session_id)
