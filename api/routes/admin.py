from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.dependencies import AppState, Caller, ListQuery, Reading, UserPath, Writing, add_links
from api.media_types import StrictRoute
from services import users
from services.tasks import commands
from services.users import UserAdminUpdate, UserOut, UserRecord

router = APIRouter(route_class=StrictRoute, prefix="/admin", tags=["admin"])


class Message(BaseModel):
    """A sentence."""

    message: str = Field(description="What was done.", examples=["All tasks deleted"])


@router.delete("/clear-tasks")
async def clear_tasks(actor: Caller, session: Writing) -> Message:
    """Delete every task of every user, for good. Takes an X-API-Key with the scope admin."""
    await commands.clear(session, actor)
    return Message(message="All tasks deleted")


@router.get("/users", response_model=list[UserOut])
async def list_users(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[UserRecord]:
    """Every account, oldest first. Administrators only."""
    page = await users.list_(session, actor, query.page())
    add_links(request, response, page)
    return page.items


@router.patch("/users/{user_id}", response_model=UserOut)
async def update_user(
    user_id: UserPath, body: UserAdminUpdate, actor: Caller, session: Writing, state: AppState
) -> UserRecord:
    """Disable or enable an account. Administrators only."""
    user = await users.admin_update(session, actor, user_id, body)
    state.authenticator.forget()
    return user
