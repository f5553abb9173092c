"""Python's threads: how long one that computes keeps the others waiting.

One of them runs at a time. Whoever waits for the lock, as the event loop does each time that it comes back from the
database or from a socket, asks for it after 5 ms, unless Python is told otherwise: while something is computed aside
(``core/aside.py``), a request that asks the database three times took 16 ms instead of 0.2.
"""

import sys

SECONDS = 0.0005
"""Less than this changes nothing for those who wait. Nobody waits where one thread alone computes: it costs nothing."""


def settle() -> None:
    """Let threads have their turns sooner."""
    sys.setswitchinterval(SECONDS)
