"""Ids in arguments and inputs."""

from typing import Annotated

import strawberry

from services.shared import node_ids
from services.shared.errors import BadUserInput

NodeId = Annotated[strawberry.ID, strawberry.argument(description="The global id.")]


def parse_id(type_name: str, value: str, *, pointer: str = "/id") -> int:
    """The database id in a global one. Raises ``BadUserInput`` for one of another type, or of none."""
    decoded = node_ids.decode(value)
    if decoded is None or decoded[0] != type_name:
        raise BadUserInput.at(pointer, f"not the id of a {type_name}")
    return decoded[1]
