"""The arguments of lists of things that other systems have ids for: shorthands of conditions."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import strawberry
from pydantic import BaseModel, ValidationError

from graphql_schema.shared.connections import none_if_unset
from services.shared.errors import from_validation
from services.shared.external_ids import ExternalText
from services.shared.filters import Filter

F = TypeVar("F", bound=Filter)
ExternalSourceArgument = Annotated[
    str | None, strawberry.argument(description="Only those whose external id is of this system.")
]
ExternalIdArgument = Annotated[str | None, strawberry.argument(description="Only those that are called so there.")]


class _External(BaseModel):
    external_source: ExternalText | None
    external_id: ExternalText | None


def with_external(
    model: type[F],
    given: F | None,
    external_source: str | None,
    external_id: str | None,
    conditions: Sequence[dict[str, Any]] = (),
) -> F | None:
    """A filter, with the conditions that these arguments, and others, stand for. Raises ``BadUserInput``."""
    sent = {"external_source": none_if_unset(external_source), "external_id": none_if_unset(external_id)}
    try:
        names = _External.model_validate(sent)
    except ValidationError as error:
        raise from_validation(error) from None
    all_: list[Any] = [*conditions, *({name: {"eq": value}} for name, value in names if value is not None)]
    if not all_:
        return given
    return model.model_validate({"and": all_ if given is None else [*all_, given]})
