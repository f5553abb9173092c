from datetime import date, datetime
from typing import Annotated

import strawberry
from pydantic import ValidationError

from graphql_schema.shared.base import as_output, output_type, service_input, to_service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.ids import NodeId, parse_id
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, priced
from graphql_schema.shared.root_fields import none_if_missing
from graphql_schema.tasks import Task
from services.recurrences import models, queries
from services.recurrences.models import LIMIT, MAX_OCCURRENCES, OccurrenceOut, Occurrences, RecurrenceOut
from services.shared.errors import from_error_list
from services.shared.prices import RECURRING

_PRICE = priced(Price(rows=MAX_OCCURRENCES, call=RECURRING))


@output_type(RecurrenceOut)
class Recurrence:
    series_id: int
    rule: str
    timezone: str
    repeat_from: models.RepeatFrom
    create_next: models.CreateNext
    number: int
    occurrence: str


@output_type(OccurrenceOut)
class Occurrence:
    number: int
    start_at: datetime | None
    start_on: date | None
    due_at: datetime | None
    due_on: date | None


@service_input()
class OccurrencesInput(Occurrences):
    """Asks when a task would recur that has these dates."""


@strawberry.type
class TaskRecurrence:
    recurrence: Recurrence | None = relation_field(
        "task.recurrence", queries.of_tasks, description="How it recurs; null where it does not."
    )


@strawberry.type
class RecurrenceQueries:
    @strawberry.field(
        description="The tasks that are to follow one that recurs; null where there is no such task.", metadata=_PRICE
    )
    async def task_occurrences(
        self,
        info: Info,
        id: NodeId,
        limit: Annotated[
            int, strawberry.argument(description=f"How many at most, 1 to {MAX_OCCURRENCES}.")
        ] = MAX_OCCURRENCES,
    ) -> list[Occurrence] | None:
        task_id = parse_id("Task", id)
        try:
            LIMIT.validate_python(limit)
        except ValidationError as error:
            raise from_error_list({**each, "loc": ["limit"]} for each in error.errors(include_url=False)) from None
        async with info.context.reading() as session:
            found = queries.of_task(session, info.context.actor, task_id, limit)
            return as_output(await none_if_missing(found))

    @strawberry.field(
        description="The tasks that would follow one that has these dates, if it recurred so.", metadata=_PRICE
    )
    async def occurrences(
        self, info: Info, input: Annotated[OccurrencesInput, strawberry.argument(description="The rule and the dates.")]
    ) -> list[Occurrence]:
        async with info.context.reading() as session:
            asked = to_service_input(Occurrences, input)
            return as_output(await queries.of_rule(session, info.context.actor, asked))


PART = Part(queries=RecurrenceQueries, extends={Task: TaskRecurrence})
