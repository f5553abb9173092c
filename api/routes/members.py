from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor, TellingActor
from api.dependencies.idempotency import IdempotentTelling
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import ProjectPath, UserPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.route import StrictRoute
from services import members
from services.members import MemberAdd, MemberFilter, MemberOut, MemberRecord, MemberUpdate

router = APIRouter(route_class=StrictRoute, prefix="/projects/{project_id}/members", tags=["members"])


_LIST = ListShape(MemberOut, "a member", filter=MemberFilter)


@router.get("", response_model=list[MemberOut])
async def list_members(
    project_id: ProjectPath, listing: Annotated[ListCall[MemberFilter], Depends(_LIST.listing)]
) -> Sequence[MemberRecord] | Response:
    """The people in a project, longest first."""
    return await listing(members.list_, members.count, project_id)


async def query_members(
    project_id: ProjectPath, body: MemberFilter, listing: Annotated[ListCall[MemberFilter], Depends(_LIST.querying)]
) -> Sequence[MemberRecord] | Response:
    """As GET /projects/{project_id}/members, with the filter as the body. It changes nothing."""
    return await listing.by(body)(members.list_, members.count, project_id)


add_query(router, "", query_members, list[MemberOut])


@router.post("", status_code=201, response_model=MemberOut)
async def add_member(project_id: ProjectPath, body: MemberAdd, once: IdempotentTelling) -> MemberRecord:
    """Add a person by username. Admins and owners may."""
    member = await once(members.add, project_id, body)
    return once.located(f"/projects/{project_id}/members/{member.user.id}", member)


@router.get("/{user_id}", response_model=MemberOut)
async def get_member(
    project_id: ProjectPath, user_id: UserPath, actor: CurrentActor, session: ReadSession
) -> MemberRecord:
    """One person in a project."""
    return await members.get(session, actor, project_id, user_id)


@router.patch("/{user_id}", response_model=MemberOut)
async def update_member(
    project_id: ProjectPath, user_id: UserPath, body: MemberUpdate, actor: TellingActor, session: WriteSession
) -> MemberRecord:
    """Change a person's role. Nobody gives a role above their own."""
    return await members.update(session, actor, project_id, user_id, body)


@router.delete("/{user_id}", status_code=204)
async def remove_member(project_id: ProjectPath, user_id: UserPath, actor: TellingActor, session: WriteSession) -> None:
    """Remove a person from a project, or leave it."""
    await members.remove(session, actor, project_id, user_id)
