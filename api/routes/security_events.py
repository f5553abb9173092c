from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.lists import ListCall, ListShape, add_query
from api.http.route import StrictRoute
from services import security_events
from services.events.log import EventFilter, EventOut, EventRecord

router = APIRouter(route_class=StrictRoute, tags=["sessions"])


# they are told of to nobody who follows
_LIST = ListShape(EventOut, "an event", filter=EventFilter, told=False)


@router.get("/users/me/security-events", response_model=list[EventOut])
async def list_security_events(
    listing: Annotated[ListCall[EventFilter], Depends(_LIST.listing)],
) -> Sequence[EventRecord] | Response:
    """What happened to the security of the caller's account, newest first: logins and refused ones, sessions, keys."""
    return await listing(security_events.list_, security_events.count)


async def query_security_events(
    body: EventFilter, listing: Annotated[ListCall[EventFilter], Depends(_LIST.querying)]
) -> Sequence[EventRecord] | Response:
    """As GET /users/me/security-events, with the filter as the body. It changes nothing."""
    return await listing.by(body)(security_events.list_, security_events.count)


add_query(router, "/users/me/security-events", query_security_events, list[EventOut])
