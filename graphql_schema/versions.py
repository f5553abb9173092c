"""Optimistic concurrency: what REST's ``If-Match`` says, as an input."""

from services.inputs import ExpectedVersion

__all__ = ["ExpectedVersion"]
