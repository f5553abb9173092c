from typing import Annotated

from pydantic import Field

from services.idempotency import KeyText

IdempotencyKey = Annotated[
    KeyText,
    Field(
        description="Of the client's choice, e.g. a UUID: repeating the mutation with it within 24 hours answers the "
        "same and changes nothing; REST's Idempotency-Key."
    ),
]
"""As a field of the inputs of the mutations that REST has as POST."""
