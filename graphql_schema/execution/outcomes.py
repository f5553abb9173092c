"""What an operation is asked with, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from graphql import GraphQLError

from core.json_texts import AnswerTooLarge, encode_in_pieces, too_large
from graphql_schema.execution.errors import FormattedError, format_error, from_service
from services.shared.errors import TooExpensive


class Named(NamedTuple):
    """How a request names its document (``persisted``)."""

    id: str
    is_hash: bool
    """Whether it is the document's SHA-256 in Apollo's protocol, beside which the document may be sent."""


class GraphQLRequest(NamedTuple):
    """A GraphQL-over-HTTP request, its parts of the right kinds."""

    query: str
    """The document; empty where it is only named."""
    variables: Mapping[str, object] | None = None
    operation_name: str | None = None
    strict: bool = True
    """Whether the JSON was one of RFC 8259; else there may be lone surrogates and NaN among the variables."""
    large: bool = False
    """Whether it is so large that what has to be worked out of its variables is done aside (``core.aside``)."""
    wants_cost: bool = False
    """Whether the answer is to say what the operation may cost."""
    named: Named | None = None


@dataclass(slots=True)
class Outcome:
    """A response: ``executed`` is false for a request error, whose response has no ``data`` at all."""

    data: dict[str, Any] | None = None
    errors: list[FormattedError] = field(default_factory=list)
    executed: bool = True
    heavy: bool = False
    """Whether the data may be so much that it is to be written in pieces (``write``)."""
    cost: dict[str, object] | None = None
    """What the operation may cost, where that was asked for."""
    _written: bytes | None = None

    async def write(self, most: int) -> None:
        """Write heavy data ahead, in turns with others. Where it has more than ``most`` bytes, there is an error
        instead."""
        if not self.heavy or self._written is not None:
            return
        try:
            self._written = await encode_in_pieces(self.data, most)
        except AnswerTooLarge:
            self.data, self.heavy = None, False
            self.errors = [oversize(most)]

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.errors}

    @property
    def data_survived(self) -> bool:
        """Whether any of the operation's own fields has a value."""
        return self.data is not None and any(value is not None for value in self.data.values())

    def body(self) -> dict[str, object]:
        """The response as a map (GraphQL specification, section 7), for ``encode``."""
        body: dict[str, object] = {"errors": self.errors} if self.errors else {}
        if self.executed:
            body["data"] = self.data if self._written is None or self.data is None else orjson.Fragment(self._written)
        if self.cost is not None:
            body["extensions"] = {"cost": self.cost}
        return body


def oversize(most: int) -> FormattedError:
    """The error in the place of data that has more than ``most`` bytes."""
    return format_error(from_service(TooExpensive(too_large(most))))


class RequestError(Exception):
    """The operation cannot be executed."""

    def __init__(self, *errors: GraphQLError, code: str) -> None:
        formatted = [format_error(error, default_code=code) for error in errors]
        self.outcome = Outcome(errors=formatted, executed=False)
