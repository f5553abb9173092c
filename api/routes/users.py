from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.addresses import client_of, locate
from api.caching import Kind, answers
from api.dependencies import AnyCaller, AppState, Caller, ListQuery, Reading, UserPath, Writing, add_links, add_total
from api.media_types import StrictRoute
from services import probes
from services.users import commands, queries
from services.users.models import PasswordChange, UserCreate, UserOut, UserRecord, UserUpdate

router = APIRouter(route_class=StrictRoute, tags=["users"])


@router.post("/users", status_code=201, response_model=UserOut)
@answers(Kind.CREDENTIAL)
async def register_user(
    body: UserCreate, actor: AnyCaller, state: AppState, request: Request, response: Response
) -> UserRecord:
    """Register an account, with its Inbox. No login is needed."""
    user = await commands.register(state.database, actor, body, security=state.security, client=client_of(request))
    locate(request, response, "/users/me")
    return user


@router.get("/users/me", response_model=UserOut)
async def get_me(actor: Caller, session: Reading) -> UserRecord:
    """The caller's account."""
    return await queries.me(session, actor)


@router.patch("/users/me", response_model=UserOut)
async def update_me(body: UserUpdate, actor: Caller, session: Writing, state: AppState) -> UserRecord:
    """Change the caller's profile; fields that are left out stay as they are."""
    async with probes.bounded(state.security.limits, actor):
        return await commands.update_me(session, actor, body)


@router.post("/users/me/password", response_model=UserOut)
async def change_password(body: PasswordChange, actor: Caller, state: AppState) -> UserRecord:
    """Change the caller's password and end every other session."""
    return await commands.change_password(state.database, actor, body, security=state.security)


@router.get("/users", response_model=list[UserOut])
async def list_users(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[UserRecord]:
    """The people the caller shares projects with, oldest account first; all people for administrators."""
    page = await queries.list_(session, actor, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: queries.count(session, actor))
    return page.items


@router.get("/users/{user_id}", response_model=UserOut)
async def get_user(user_id: UserPath, actor: Caller, session: Reading) -> UserRecord:
    """An account that the caller shares a project with."""
    return await queries.get(session, actor, user_id)
