from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import TaskPath
from api.http.route import StrictRoute
from services import history
from services.events.log import EventFilter, EventRecord
from services.history import EventWithActor
from services.shared.expansions import Along, Expanded

router = APIRouter(route_class=StrictRoute, tags=["history"])


_LIST = ListShape(EventWithActor, "an event", filter=EventFilter, relations={"actor": Along(history.actors)})


@router.get("/tasks/{task_id}/history", response_model=list[EventWithActor], response_model_exclude_unset=True)
async def list_task_history(
    task_id: TaskPath, listing: Annotated[ListCall[EventFilter], Depends(_LIST.listing)]
) -> Sequence[EventRecord | Expanded] | Response:
    """Every change of a task and of its comments, newest first."""
    return await listing(history.of_task, history.count, task_id)


async def query_task_history(
    task_id: TaskPath, body: EventFilter, listing: Annotated[ListCall[EventFilter], Depends(_LIST.querying)]
) -> Sequence[EventRecord | Expanded] | Response:
    """As GET /tasks/{task_id}/history, with the filter as the body. It changes nothing."""
    return await listing.by(body)(history.of_task, history.count, task_id)


add_query(
    router,
    "/tasks/{task_id}/history",
    query_task_history,
    list[EventWithActor],
    response_model_exclude_unset=True,
)
