"""How a task recurs, as inputs take it."""

from graphql_schema.shared.base import Nested, enumeration, service_input
from services.recurrences.models import CreateNext, Recurrence, RepeatFrom

enumeration(RepeatFrom, "From where the next task of a series is counted.")
enumeration(CreateNext, "What makes the next task of a series.")


@service_input()
class RecurrenceInput(Recurrence):
    """How a task recurs."""


RECURRENCE: Nested = {Recurrence: RecurrenceInput}
"""What stands for the service's model in other inputs."""
