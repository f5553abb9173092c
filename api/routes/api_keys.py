from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import KeyPath
from api.dependencies.sessions import WriteSession
from api.http.cache_control import Kind, answers
from api.http.route import StrictRoute
from services import api_keys
from services.api_keys import (
    ApiKeyCreate,
    ApiKeyFilter,
    ApiKeyOut,
    ApiKeyRecord,
    ApiKeyRotate,
    ApiKeyUpdate,
    NewApiKeyOut,
)

router = APIRouter(route_class=StrictRoute, prefix="/users/me/api-keys", tags=["api keys"])


# their last use is told of to nobody
_LIST = ListShape(ApiKeyOut, "an API key", filter=ApiKeyFilter, told=False)


@router.get("", response_model=list[ApiKeyOut])
async def list_api_keys(
    listing: Annotated[ListCall[ApiKeyFilter], Depends(_LIST.listing)],
) -> Sequence[ApiKeyRecord] | Response:
    """The caller's API keys, newest first, without their secrets."""
    return await listing(api_keys.list_, api_keys.count)


async def query_api_keys(
    body: ApiKeyFilter, listing: Annotated[ListCall[ApiKeyFilter], Depends(_LIST.querying)]
) -> Sequence[ApiKeyRecord] | Response:
    """As GET /users/me/api-keys, with the filter as the body. It changes nothing."""
    return await listing.by(body)(api_keys.list_, api_keys.count)


add_query(router, "", query_api_keys, list[ApiKeyOut])


@router.post("", status_code=201, response_model=NewApiKeyOut)
@answers(Kind.CREDENTIAL)
async def create_api_key(body: ApiKeyCreate, actor: CurrentActor, session: WriteSession) -> ApiKeyRecord:
    """Make an API key. Its secret is in this answer and nowhere else."""
    return await api_keys.create(session, actor, body)


@router.patch("/{key_id}", response_model=ApiKeyOut)
async def update_api_key(
    key_id: KeyPath, body: ApiKeyUpdate, actor: CurrentActor, session: WriteSession
) -> ApiKeyRecord:
    """Rename an API key, or have it be for other projects; fields that are left out stay as they are."""
    return await api_keys.update(session, actor, key_id, body)


@router.post("/{key_id}/rotate", response_model=NewApiKeyOut)
@answers(Kind.CREDENTIAL)
async def rotate_api_key(
    key_id: KeyPath,
    body: Annotated[ApiKeyRotate, Body(default_factory=ApiKeyRotate)],
    actor: CurrentActor,
    session: WriteSession,
) -> ApiKeyRecord:
    """Give an API key another secret, which is in this answer and nowhere else. The one before ends at once, or after
    grace_seconds."""
    return await api_keys.rotate(session, actor, key_id, body)


@router.delete("/{key_id}", status_code=204)
async def delete_api_key(key_id: KeyPath, actor: CurrentActor, session: WriteSession) -> None:
    """Delete an API key: it stops working everywhere within a second."""
    await api_keys.delete(session, actor, key_id)
