from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies.auth import CurrentActor
from api.dependencies.parameters import UserPath
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services.shared.node_ids import MAX_DATABASE_ID
from services.tasks import commands
from services.users import commands as users
from services.users.models import UserAdminUpdate, UserOut, UserRecord

router = APIRouter(route_class=StrictRoute, prefix="/admin", tags=["admin"])


class Message(BaseModel):
    """A sentence."""

    message: str = Field(description="What was done.", examples=["All tasks deleted"])


@router.delete("/clear-tasks", response_model=Message)
async def clear_tasks(
    actor: CurrentActor,
    session: WriteSession,
    project_id: Annotated[
        int | None, Query(ge=1, le=MAX_DATABASE_ID, description="Only this project's tasks; all if left out.")
    ] = None,
) -> Message:
    """Delete every task of every user, or of one project, for good. Takes an X-API-Key with the scope admin."""
    await commands.clear(session, actor, project_id=project_id)
    return Message(message="All tasks deleted")


@router.patch("/users/{user_id}", response_model=UserOut)
async def update_user(
    user_id: UserPath, body: UserAdminUpdate, actor: CurrentActor, session: WriteSession
) -> UserRecord:
    """Disable or enable an account. Administrators only."""
    return await users.admin_update(session, actor, user_id, body)
