"""Python's collector of garbage, while a server starts and from then on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def rest() -> None:
    """Have it rest until ``settle``: nothing that is imported is garbage, and looking for it a third of the start."""
    gc.disable()


def settle() -> None:
    """Let it leave alone what is there for good, and look less often: a page of tasks is 700 objects."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@contextmanager
def resting() -> Iterator[None]:
    """Have it rest while something is imported or made that stays."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
