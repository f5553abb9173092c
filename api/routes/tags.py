from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from api.addresses import locate
from api.dependencies import Caller, ProjectPath, Reading, Repeat, TagPath, Writing
from api.media_types import StrictRoute
from services import tags
from services.tags import TagCreate, TagOut, TagRecord, TagUpdate

router = APIRouter(route_class=StrictRoute, tags=["tags"])


@router.get("/projects/{project_id}/tags", response_model=list[TagOut])
async def list_tags(project_id: ProjectPath, actor: Caller, session: Reading) -> Sequence[TagRecord]:
    """All tags of a project, by name."""
    return await tags.list_(session, actor, project_id)


@router.post("/projects/{project_id}/tags", status_code=201, response_model=TagOut)
async def create_tag(
    project_id: ProjectPath, body: TagCreate, once: Repeat, request: Request, response: Response
) -> TagRecord:
    """Create a tag in a project."""
    tag = await once(tags.create, project_id, body)
    locate(request, response, f"/tags/{tag.id}")
    return tag


@router.get("/tags/{tag_id}", response_model=TagOut)
async def get_tag(tag_id: TagPath, actor: Caller, session: Reading) -> TagRecord:
    """A tag."""
    return await tags.get(session, actor, tag_id)


@router.patch("/tags/{tag_id}", response_model=TagOut)
async def update_tag(tag_id: TagPath, body: TagUpdate, actor: Caller, session: Writing) -> TagRecord:
    """Rename or recolour a tag; fields that are left out stay as they are."""
    return await tags.update(session, actor, tag_id, body)


@router.delete("/tags/{tag_id}", status_code=204)
async def delete_tag(tag_id: TagPath, actor: Caller, session: Writing) -> None:
    """Delete a tag, and take it off its tasks."""
    await tags.delete(session, actor, tag_id)
