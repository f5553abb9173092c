"""The caller."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from api.dependencies.parameters import Notify
from api.dependencies.state import AppState
from api.http.headers import headers_of
from api.middleware.request import count_request
from services.authentication import Credentials
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import Forbidden, TandemError, Unauthenticated


async def get_actor(request: Request, state: AppState) -> Actor:
    """The caller, from ``X-API-Key`` or ``Authorization: Bearer``; GraphQL's context is made from this too."""
    credentials = _credentials(headers_of(request.scope))
    try:
        actor = await state.authenticator.authenticate(credentials)
    except TandemError:
        # whoever tries credentials out is counted too
        await count_request(request.scope, state, ANONYMOUS)
        raise
    await count_request(request.scope, state, actor)
    return actor


def _credentials(headers: Mapping[bytes, bytes]) -> Credentials:
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    return Credentials(
        None if authorization is None else authorization.decode("latin-1"),
        None if api_key is None else api_key.decode("latin-1"),
    )


CurrentActor = Annotated[Actor, Depends(get_actor)]


async def get_telling_actor(actor: CurrentActor, notify: Notify = True) -> Actor:
    """The caller of what people may be told of, who says whether they are."""
    return actor.telling(notify)


TellingActor = Annotated[Actor, Depends(get_telling_actor)]


async def get_actor_if_any(request: Request, state: AppState) -> Actor:
    """The caller of an operation that needs none: a stale token must not keep a client from refreshing it."""
    try:
        return await get_actor(request, state)
    except (Unauthenticated, Forbidden):
        return ANONYMOUS


OptionalActor = Annotated[Actor, Depends(get_actor_if_any)]
