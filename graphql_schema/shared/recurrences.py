"""How a task recurs, as inputs take it."""

from graphql_schema.shared.base import enumeration, service_input
from services.recurrences.models import CreateNext, Recurrence, RepeatFrom

enumeration(RepeatFrom, "From where the next task of a series is counted.")
enumeration(CreateNext, "What makes the next task of a series.")


@service_input()
class RecurrenceInput(Recurrence):
    """How a task recurs."""


RECURRENCE = {Recurrence: RecurrenceInput}
"""What stands for the service's model in other inputs."""
