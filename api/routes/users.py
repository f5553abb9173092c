from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.dependencies.auth import CurrentActor, OptionalActor
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import UserPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.dependencies.state import AppState
from api.http.addresses import client_of, locate
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from services import email_verifications
from services.users import commands, deletion, queries
from services.users.deletion import AccountDeletion
from services.users.models import PasswordChange, UserCreate, UserFilter, UserOut, UserRecord, UserUpdate

router = APIRouter(route_class=StrictRoute, tags=["users"])


@router.post("/users", status_code=201, response_model=UserOut)
@answers(Kind.CREDENTIAL)
async def register_user(
    body: UserCreate, actor: OptionalActor, state: AppState, request: Request, response: Response
) -> UserRecord:
    """Register an account, with its Inbox. No login is needed."""
    user = await commands.register(state.database, actor, body, security=state.security, client=client_of(request))
    locate(request, response, "/users/me")
    return user


@router.get("/users/me", response_model=UserOut)
async def get_me(actor: CurrentActor, session: ReadSession) -> UserRecord:
    """The caller's account."""
    return await queries.me(session, actor)


@router.patch("/users/me", response_model=UserOut)
async def update_me(body: UserUpdate, actor: CurrentActor, session: WriteSession, state: AppState) -> UserRecord:
    """Change the caller's profile; fields that are left out stay as they are."""
    changed = partial(email_verifications.send, state.database, state.security)
    return await commands.update_me(session, actor, body, limits=state.security.limits, changed_email=changed)


@router.post("/users/me/password", response_model=UserOut)
async def change_password(body: PasswordChange, actor: CurrentActor, state: AppState) -> UserRecord:
    """Change the caller's password and end every other session."""
    return await commands.change_password(state.database, actor, body, security=state.security)


@router.post("/users/me/delete", status_code=204)
async def delete_me(body: AccountDeletion, actor: CurrentActor, state: AppState) -> None:
    """Delete the caller's account for good, with all that is its own. What it wrote in projects of others stays."""
    await deletion.delete_me(state.database, actor, body, security=state.security)


# accounts have what is told of to nobody, such as a confirmed address
_LIST = ListShape(UserOut, "an account", filter=UserFilter, told=False)


@router.get("/users", response_model=list[UserOut])
async def list_users(
    listing: Annotated[ListCall[UserFilter], Depends(_LIST.listing)],
) -> Sequence[UserRecord] | Response:
    """The people the caller shares projects with, oldest account first; all people for administrators."""
    return await listing(queries.list_, queries.count)


async def query_users(
    body: UserFilter, listing: Annotated[ListCall[UserFilter], Depends(_LIST.querying)]
) -> Sequence[UserRecord] | Response:
    """As GET /users, with the filter as the body. It changes nothing."""
    return await listing.by(body)(queries.list_, queries.count)


add_query(router, "/users", query_users, list[UserOut])


@router.get("/users/{user_id}", response_model=UserOut)
async def get_user(user_id: UserPath, actor: CurrentActor, session: ReadSession) -> UserRecord:
    """An account that the caller shares a project with."""
    return await queries.get(session, actor, user_id)
