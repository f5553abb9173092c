from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import ProjectPath, TagPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.route import StrictRoute
from services import tags
from services.tags import MAX_TAGS, TagCreate, TagFilter, TagOut, TagRecord, TagUpdate

router = APIRouter(route_class=StrictRoute, tags=["tags"])


_LIST = ListShape(TagOut, "a tag", filter=TagFilter, paged=False)


@router.get("/projects/{project_id}/tags", response_model=list[TagOut])
async def list_tags(
    project_id: ProjectPath, listing: Annotated[ListCall[TagFilter], Depends(_LIST.listing)]
) -> Sequence[TagRecord] | Response:
    """All tags of a project, by name."""
    return await listing.whole(tags.list_, project_id, most=MAX_TAGS)


async def query_tags(
    project_id: ProjectPath, body: TagFilter, listing: Annotated[ListCall[TagFilter], Depends(_LIST.querying)]
) -> Sequence[TagRecord] | Response:
    """As GET /projects/{project_id}/tags, with the filter as the body. It changes nothing."""
    return await listing.by(body).whole(tags.list_, project_id, most=MAX_TAGS)


add_query(router, "/projects/{project_id}/tags", query_tags, list[TagOut])


@router.post("/projects/{project_id}/tags", status_code=201, response_model=TagOut)
async def create_tag(project_id: ProjectPath, body: TagCreate, once: Idempotent) -> TagRecord:
    """Create a tag in a project."""
    tag = await once(tags.create, project_id, body)
    return once.located(f"/tags/{tag.id}", tag)


@router.get("/tags/{tag_id}", response_model=TagOut)
async def get_tag(tag_id: TagPath, actor: CurrentActor, session: ReadSession) -> TagRecord:
    """A tag."""
    return await tags.get(session, actor, tag_id)


@router.patch("/tags/{tag_id}", response_model=TagOut)
async def update_tag(tag_id: TagPath, body: TagUpdate, actor: CurrentActor, session: WriteSession) -> TagRecord:
    """Rename or recolour a tag; fields that are left out stay as they are."""
    return await tags.update(session, actor, tag_id, body)


@router.delete("/tags/{tag_id}", status_code=204)
async def delete_tag(tag_id: TagPath, actor: CurrentActor, session: WriteSession) -> None:
    """Delete a tag, and take it off its tasks."""
    await tags.delete(session, actor, tag_id)
