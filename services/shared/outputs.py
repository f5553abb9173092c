"""What results have in common. Descriptions are written here once; both doors print them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

DatabaseId = Annotated[int, Field(description="The id in the database.", examples=[12])]
NodeId = Annotated[str, Field(description="The global id: the same text on both doors.", examples=["VGFzazoxMg=="])]
CreatedAt = Annotated[datetime, Field(description="When it was created, in UTC.")]
UpdatedAt = Annotated[datetime, Field(description="When it was last changed, in UTC.")]
Version = Annotated[
    int,
    Field(description="Counts changes; the ETag, and what expectedVersion is compared with.", examples=[1]),
]

LONG_TEXTS = frozenset({"description", "body", "before", "after"})
"""The members of answers that may be texts of tens of thousands of characters, on both doors."""


R = TypeVar("R")
Computed = Callable[[Any], R]
RARELY: WeakKeyDictionary[Callable[..., Any], tuple[str, str]] = WeakKeyDictionary()
"""Functions of properties of records that compute something only where a field is true, with that field; and the field,
or nothing, which is the value elsewhere: writers of many records ask for these first."""


def unless(field: str, otherwise: str) -> Callable[[Computed[R]], Computed[R]]:
    """Says of a property of a named tuple that it is another field, unless a field is true."""

    def mark(compute: Computed[R]) -> Computed[R]:
        RARELY[compute] = field, otherwise
        return compute

    return mark


def only_if(field: str) -> Callable[[Computed[R]], Computed[R]]:
    """Says of a property of a named tuple that it is None, unless a field is true."""
    return unless(field, "")


class Output(BaseModel):
    """A representation, read from a record's attributes."""

    model_config = ConfigDict(from_attributes=True)
