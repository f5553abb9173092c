"""What a connection may take: bytes, seconds, places. Those that an operator may change come from the settings."""

from dataclasses import dataclass

from core.settings import Settings

MAX_HEAD = 65_536
"""Bytes of a request line with its headers, and of what a chunked body has beside its data."""
MAX_HEADERS = 200
MAX_PIPELINED = 100
"""Requests that may wait on a connection behind the one that is answered; the connection ends with the last."""
MAX_THROWN_AWAY = 262_144
"""Bytes that are still read, and thrown away, after a refusal, so that the client gets to read it."""
LINGER_SECONDS = 2.0
"""How long for."""
LEAST_TAKEN = 16_384
"""Bytes a second that a client must take of an answer that waits for it, as long as there are as many."""
FRAMING_PER_BYTE = 16
"""Bytes of framing that a byte of a chunked body may have: a chunk of one byte has five."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one process. Times are in seconds."""

    head_timeout: float = 10.0
    write_timeout: float = 30.0
    idle_while_draining: float = 5.0
    """How long a connection has to be idle to be closed while the process ends: a request may be on its way."""
    connections: int = 4_000
    running: int = 16
    """Requests that are worked on at a time."""
    waiting: int = 500
    """Requests that may wait for one of these places, in a burst."""
    shutdown_delay: float = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> "Bounds":
        return cls(
            head_timeout=settings.header_timeout_seconds,
            write_timeout=settings.write_timeout_seconds,
            connections=settings.max_connections,
            running=settings.max_requests_in_progress,
            waiting=settings.max_requests_waiting,
            shutdown_delay=settings.shutdown_delay_seconds,
        )
