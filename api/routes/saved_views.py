from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.addresses import locate
from api.dependencies import (
    Caller,
    ExpectedVersion,
    KnownTags,
    ListQuery,
    Reading,
    Repeat,
    SavedViewPath,
    Writing,
    add_links,
    add_total,
    tagged,
    unless_known,
)
from api.media_types import StrictRoute
from services import saved_views
from services.saved_views import SavedViewCreate, SavedViewOut, SavedViewRecord, SavedViewUpdate

router = APIRouter(route_class=StrictRoute, prefix="/saved-views", tags=["saved views"])


@router.get("", response_model=list[SavedViewOut])
async def list_saved_views(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[SavedViewRecord]:
    """The caller's saved views, oldest first."""
    page = await saved_views.list_(session, actor, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: saved_views.count(session, actor))
    return page.items


@router.post("", status_code=201, response_model=SavedViewOut)
async def create_saved_view(
    body: SavedViewCreate, once: Repeat, request: Request, response: Response
) -> SavedViewRecord:
    """Save a filter and an order under a name; GET /tasks?saved_view_id= shows it."""
    view = await once(saved_views.create, body)
    locate(request, response, f"/saved-views/{view.id}")
    return tagged(response, view, view.version)


@router.get("/{saved_view_id}", response_model=SavedViewOut)
async def get_saved_view(
    saved_view_id: SavedViewPath, actor: Caller, session: Reading, response: Response, known: KnownTags = None
) -> SavedViewRecord | Response:
    """One of the caller's saved views."""
    view = await saved_views.get(session, actor, saved_view_id)
    return unless_known(response, view, view.version, known)


@router.patch("/{saved_view_id}", response_model=SavedViewOut)
async def update_saved_view(
    saved_view_id: SavedViewPath,
    body: SavedViewUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
) -> SavedViewRecord:
    """Change a saved view; fields that are left out stay as they are."""
    view = await saved_views.update(session, actor, saved_view_id, body, expected_version=expected)
    return tagged(response, view, view.version)


@router.delete("/{saved_view_id}", status_code=204)
async def delete_saved_view(
    saved_view_id: SavedViewPath, actor: Caller, session: Writing, expected: ExpectedVersion
) -> None:
    """Delete a saved view."""
    await saved_views.delete(session, actor, saved_view_id, expected_version=expected)
