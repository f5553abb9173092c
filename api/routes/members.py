from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.addresses import locate
from api.dependencies import (
    AppState,
    Caller,
    ListQuery,
    ProjectPath,
    Reading,
    Repeat,
    UserPath,
    Writing,
    add_links,
    add_total,
)
from api.media_types import StrictRoute
from services import members, probes
from services.members import MemberAdd, MemberOut, MemberRecord, MemberUpdate

router = APIRouter(route_class=StrictRoute, prefix="/projects/{project_id}/members", tags=["members"])


@router.get("", response_model=list[MemberOut])
async def list_members(
    project_id: ProjectPath,
    query: Annotated[ListQuery, Query()],
    actor: Caller,
    session: Reading,
    request: Request,
    response: Response,
) -> Sequence[MemberRecord]:
    """The people in a project, longest first."""
    page = await members.list_(session, actor, project_id, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: members.count(session, actor, project_id))
    return page.items


@router.post("", status_code=201, response_model=MemberOut)
async def add_member(
    project_id: ProjectPath,
    body: MemberAdd,
    once: Repeat,
    actor: Caller,
    state: AppState,
    request: Request,
    response: Response,
) -> MemberRecord:
    """Add a person by id or username. Admins and owners may."""
    async with probes.bounded(state.security.limits, actor):
        member = await once(members.add, project_id, body)
    locate(request, response, f"/projects/{project_id}/members/{member.user.id}")
    return member


@router.get("/{user_id}", response_model=MemberOut)
async def get_member(project_id: ProjectPath, user_id: UserPath, actor: Caller, session: Reading) -> MemberRecord:
    """One person in a project."""
    return await members.get(session, actor, project_id, user_id)


@router.patch("/{user_id}", response_model=MemberOut)
async def update_member(
    project_id: ProjectPath, user_id: UserPath, body: MemberUpdate, actor: Caller, session: Writing
) -> MemberRecord:
    """Change a person's role. Nobody gives a role above their own."""
    return await members.update(session, actor, project_id, user_id, body)


@router.delete("/{user_id}", status_code=204)
async def remove_member(project_id: ProjectPath, user_id: UserPath, actor: Caller, session: Writing) -> None:
    """Remove a person from a project, or leave it."""
    await members.remove(session, actor, project_id, user_id)
