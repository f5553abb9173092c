"""What results have in common. Descriptions are written here once; both doors print them."""

from datetime import datetime
from typing import Annotated

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


class Output(BaseModel):
    """A representation, read from a record's attributes."""

    model_config = ConfigDict(from_attributes=True)
