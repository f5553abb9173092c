from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Caller, ListQuery, Reading, add_links, add_total
from api.media_types import StrictRoute
from services import security_events
from services.events import EventOut, EventRecord

router = APIRouter(route_class=StrictRoute, tags=["sessions"])


@router.get("/users/me/security-events", response_model=list[EventOut])
async def list_security_events(
    query: Annotated[ListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[EventRecord]:
    """What happened to the security of the caller's account, newest first: logins and refused ones, sessions, keys."""
    page = await security_events.list_(session, actor, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: security_events.count(session, actor))
    return page.items
