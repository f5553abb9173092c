from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import SavedViewPath
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedWrite
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services import saved_views
from services.saved_views import SavedViewCreate, SavedViewFilter, SavedViewOut, SavedViewRecord, SavedViewUpdate

router = APIRouter(route_class=StrictRoute, prefix="/saved-views", tags=["saved views"])


_LIST = ListShape(SavedViewOut, "a saved view", filter=SavedViewFilter)


@router.get("", response_model=list[SavedViewOut])
async def list_saved_views(
    listing: Annotated[ListCall[SavedViewFilter], Depends(_LIST.listing)],
) -> Sequence[SavedViewRecord] | Response:
    """The caller's saved views, oldest first."""
    return await listing(saved_views.list_, saved_views.count)


async def query_saved_views(
    body: SavedViewFilter, listing: Annotated[ListCall[SavedViewFilter], Depends(_LIST.querying)]
) -> Sequence[SavedViewRecord] | Response:
    """As GET /saved-views, with the filter as the body. It changes nothing."""
    return await listing.by(body)(saved_views.list_, saved_views.count)


add_query(router, "", query_saved_views, list[SavedViewOut])


@router.post("", status_code=201, response_model=SavedViewOut)
async def create_saved_view(body: SavedViewCreate, once: Idempotent) -> SavedViewRecord:
    """Save a filter and an order under a name; GET /tasks?saved_view_id= shows it."""
    view = await once(saved_views.create, body)
    return once.located(f"/saved-views/{view.id}", view)


@router.get("/{saved_view_id}", response_model=SavedViewOut)
async def get_saved_view(saved_view_id: SavedViewPath, read: VersionedRead) -> SavedViewRecord | Response:
    """One of the caller's saved views."""
    return await read(saved_views.get, saved_view_id)


@router.patch("/{saved_view_id}", response_model=SavedViewOut)
async def update_saved_view(
    saved_view_id: SavedViewPath, body: SavedViewUpdate, write: VersionedWrite
) -> SavedViewRecord:
    """Change a saved view; fields that are left out stay as they are."""
    return await write(saved_views.update, saved_view_id, body, expected_version=write.expected)


@router.delete("/{saved_view_id}", status_code=204)
async def delete_saved_view(
    saved_view_id: SavedViewPath, actor: CurrentActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a saved view."""
    await saved_views.delete(session, actor, saved_view_id, expected_version=expected)
