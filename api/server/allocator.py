"""The C library's allocator, where it is glibc: memory that is needed for a moment is given back.

Hashing a password takes 19 MiB for some tens of milliseconds. glibc maps the first such piece by itself and unmaps it,
and from then on keeps as much for the next: after a single login a process held 19 MiB more, for each of the threads
that hash. With thresholds of our own it goes on unmapping them, for about 5 ms of processor time a login.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
LARGE = 4 << 20
"""Bytes from which on a piece of memory is mapped by itself; an answer may have so many."""
SPARE = 16 << 20
"""Bytes at the end of the heap that are kept for what comes next."""


def settle() -> None:
    """Have large pieces given back as soon as they are free, and now what the start has left."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE)
        library.mallopt(_TRIM_THRESHOLD, SPARE)
        library.malloc_trim(0)
    except (OSError, AttributeError):
        return  # another library, which does as it does
