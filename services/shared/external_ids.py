"""What things are called elsewhere: a source, which is another system, and the id that the thing has there."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from services.shared.errors import BadUserInput
from services.shared.inputs import Composed, Line, Text

ExternalSource = Annotated[
    Line,
    Field(max_length=50, description="The system that its external_id is of; both or neither.", examples=["crm"]),
]
WHAT_IT_IS_CALLED = "What that system calls it, to the letter; unique for each source."
ExternalId = Annotated[
    Line,
    Field(
        max_length=255,
        description=WHAT_IT_IS_CALLED,
        examples=["C-1042"],
    ),
]
ExternalText = Annotated[Text, Composed, Field(max_length=255)]
"""What either is compared with."""
NAMES = frozenset({"external_source", "external_id"})


def require_pair(source: str | None, external_id: str | None) -> None:
    """Raises ``BadUserInput`` for one of them without the other."""
    if (source is None) != (external_id is None):
        missing = "external_source" if source is None else "external_id"
        raise BadUserInput.at(f"/{missing}", "external_source and external_id go together: both or neither", "pair")


def check_pair(before: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
    """As ``require_pair``, of what a thing has after a change."""
    if not NAMES.isdisjoint(sent):
        after = {**before, **sent}
        require_pair(after["external_source"], after["external_id"])
