"""The inputs of the filter language: what several lists compare fields with is one input for all of them."""

from functools import cache
from typing import Annotated, Any

import strawberry

from graphql_schema.shared.base import Nested, service_input
from services.shared.filters import Filter
from services.shared.inputs import Input


def condition_inputs(filter_: type[Input]) -> Nested:
    """The inputs of the conditions that a service's filter is made of, by the services' models of them."""
    models = dict.fromkeys(field.annotation for field in filter_.model_fields.values())
    return {
        model: _input(model)
        for model in models
        if isinstance(model, type) and issubclass(model, Input) and not issubclass(model, (filter_, Filter))
    }


@cache
def _input(model: type[Input]) -> type[Input]:
    return service_input(condition_inputs(model))(type(model.__name__, (model,), {"__module__": __name__}))


@cache
def filter_argument(model: type[Filter]) -> Any:
    """The type of an argument that is a service's filter."""
    made: Any = service_input(condition_inputs(model))(type(model.__name__, (model,), {"__module__": __name__}))
    return Annotated[made | None, strawberry.argument(description="Only those that meet this.")]


def key_of(filter_: Filter | None) -> str | None:
    """What a filter has in common with one that asks for the same."""
    return None if filter_ is None else filter_.model_dump_json(exclude_unset=True)


def options_of(filter_: Filter | None) -> dict[str, Filter]:
    """How a service's list takes a filter."""
    return {} if filter_ is None else {"filter": filter_}
