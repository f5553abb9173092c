"""What belongs to the request in hand and would otherwise be an argument of every function."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The ``X-Request-ID`` of the request being served; None in commands and background work."""
suggesting: ContextVar[bool] = ContextVar("suggesting", default=True)
"""Whether sentences say which name may be meant: not to requests where the schema is not shown."""
