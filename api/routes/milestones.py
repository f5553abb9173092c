from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import ProjectPath, path_id
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedWrite
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services import milestones
from services.milestones import MilestoneCreate, MilestoneFilter, MilestoneOut, MilestoneRecord, MilestoneUpdate

router = APIRouter(route_class=StrictRoute, tags=["milestones"])
MilestonePath = Annotated[int, path_id("milestone")]


_LIST = ListShape(MilestoneOut, "a milestone", filter=MilestoneFilter)


@router.get("/projects/{project_id}/milestones", response_model=list[MilestoneOut])
async def list_milestones(
    project_id: ProjectPath, listing: Annotated[ListCall[MilestoneFilter], Depends(_LIST.listing)]
) -> Sequence[MilestoneRecord] | Response:
    """A project's milestones, oldest first."""
    return await listing(milestones.list_, milestones.count, project_id)


async def query_milestones(
    project_id: ProjectPath,
    body: MilestoneFilter,
    listing: Annotated[ListCall[MilestoneFilter], Depends(_LIST.querying)],
) -> Sequence[MilestoneRecord] | Response:
    """As GET /projects/{project_id}/milestones, with the filter as the body. It changes nothing."""
    return await listing.by(body)(milestones.list_, milestones.count, project_id)


add_query(router, "/projects/{project_id}/milestones", query_milestones, list[MilestoneOut])


@router.post("/projects/{project_id}/milestones", status_code=201, response_model=MilestoneOut)
async def create_milestone(project_id: ProjectPath, body: MilestoneCreate, once: Idempotent) -> MilestoneRecord:
    """Create a milestone in a project."""
    milestone = await once(milestones.create, project_id, body)
    return once.located(f"/milestones/{milestone.id}", milestone)


@router.get("/milestones/{milestone_id}", response_model=MilestoneOut)
async def get_milestone(milestone_id: MilestonePath, read: VersionedRead) -> MilestoneRecord | Response:
    """A milestone."""
    return await read(milestones.get, milestone_id)


@router.patch("/milestones/{milestone_id}", response_model=MilestoneOut)
async def update_milestone(
    milestone_id: MilestonePath, body: MilestoneUpdate, write: VersionedWrite
) -> MilestoneRecord:
    """Change a milestone; fields that are left out stay as they are."""
    return await write(milestones.update, milestone_id, body, expected_version=write.expected)


@router.delete("/milestones/{milestone_id}", status_code=204)
async def delete_milestone(
    milestone_id: MilestonePath, actor: CurrentActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a milestone, and take it off its tasks."""
    await milestones.delete(session, actor, milestone_id, expected_version=expected)
