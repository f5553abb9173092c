from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Caller, ListQuery, Reading, TaskPath, add_links, add_total
from api.media_types import StrictRoute
from services import history
from services.events import EventOut, EventRecord

router = APIRouter(route_class=StrictRoute, tags=["history"])


@router.get("/tasks/{task_id}/history", response_model=list[EventOut])
async def list_task_history(
    task_id: TaskPath,
    query: Annotated[ListQuery, Query()],
    actor: Caller,
    session: Reading,
    request: Request,
    response: Response,
) -> Sequence[EventRecord]:
    """Every change of a task and of its comments, newest first."""
    page = await history.of_task(session, actor, task_id, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: history.count(session, actor, task_id))
    return page.items
