"""Optimistic concurrency: what REST's ``If-Match`` says, as an input."""

from typing import Annotated

from pydantic import Field

from services.inputs import Int

_DESCRIPTION = "Change it only if its version is still this one; else VERSION_CONFLICT, and nothing is written."

ExpectedVersion = Annotated[Int, Field(description=_DESCRIPTION)]
