from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.caching import Kind, answers
from api.dependencies import Caller, KeyPath, ListQuery, Reading, Writing, add_links, add_total
from api.media_types import StrictRoute
from services import api_keys
from services.api_keys import ApiKeyCreate, ApiKeyOut, ApiKeyRecord, NewApiKeyOut

router = APIRouter(route_class=StrictRoute, prefix="/users/me/api-keys", tags=["api keys"])


@router.get("", response_model=list[ApiKeyOut])
async def list_api_keys(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[ApiKeyRecord]:
    """The caller's API keys, newest first, without their secrets."""
    page = await api_keys.list_(session, actor, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: api_keys.count(session, actor))
    return page.items


@router.post("", status_code=201, response_model=NewApiKeyOut)
@answers(Kind.CREDENTIAL)
async def create_api_key(body: ApiKeyCreate, actor: Caller, session: Writing) -> ApiKeyRecord:
    """Make an API key. Its secret is in this answer and nowhere else."""
    return await api_keys.create(session, actor, body)


@router.delete("/{key_id}", status_code=204)
async def delete_api_key(key_id: KeyPath, actor: Caller, session: Writing) -> None:
    """Delete an API key: it stops working everywhere within a second."""
    await api_keys.delete(session, actor, key_id)
