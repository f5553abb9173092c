"""Timers that need not be exact fire together: what a process costs that has nothing to do is how often it is woken, 60
to 180 µs each time, and hardly what for."""

from math import floor

TICK = 0.05
"""Seconds from one to the next."""


def next_tick(moment: float) -> float:
    """When the tick comes that is next after a moment of the event loop's clock, or the one after it where that is only
    just to come: timers fire a millisecond early, too."""
    return floor(moment / TICK + 1.1) * TICK
