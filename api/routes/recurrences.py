from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies.auth import CurrentActor
from api.dependencies.parameters import TaskPath
from api.dependencies.sessions import ReadSession
from api.http.route import StrictRoute
from services.recurrences import queries
from services.recurrences.models import MAX_OCCURRENCES, Limit, Occurrence, OccurrenceOut, Occurrences

router = APIRouter(route_class=StrictRoute, tags=["recurrences"])


@router.get("/tasks/{task_id}/occurrences", response_model=list[OccurrenceOut])
async def list_task_occurrences(
    task_id: TaskPath, actor: CurrentActor, session: ReadSession, limit: Annotated[Limit, Query()] = MAX_OCCURRENCES
) -> Sequence[Occurrence]:
    """The tasks that are to follow one that recurs; none after one that does not."""
    return await queries.of_task(session, actor, task_id, limit)


@router.post("/occurrences", response_model=list[OccurrenceOut])
async def preview_occurrences(body: Occurrences, actor: CurrentActor, session: ReadSession) -> Sequence[Occurrence]:
    """The tasks that would follow one that has these dates, if it recurred so. It changes nothing."""
    return await queries.of_rule(session, actor, body)
