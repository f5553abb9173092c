"""Turns of several processes that write one SQLite file.

SQLite itself lets whoever comes at the right moment: one that finds the file locked sleeps and tries again, up to a
tenth of a second later, and a process that is busy has begun its next transaction by then. Of four processes one
waited for seconds. Here they queue with the kernel, by locks on a file beside the database that wake whoever waits:
one byte is the turn itself, held for a transaction, the other the place of the one who is next. Nobody takes a turn
past somebody who has that place, so two who are both busy alternate.

The locks are those of an open file (Linux: ``F_OFD_SETLK``), gone with the process that held them. The file holds
nothing, and may be removed while no server runs. Other programs know nothing of it: SQLite's own lock is what keeps
transactions apart, with or without.
"""

import errno
import fcntl
import logging
import os
import struct

logger = logging.getLogger("tandem.database")

SUFFIX = "-turns"
_TAKE: int | None = getattr(fcntl, "F_OFD_SETLK", None)
_WAIT: int | None = getattr(fcntl, "F_OFD_SETLKW", None)


def _lock(kind: int, first: int, number: int) -> bytes:
    """A ``struct flock``: so many bytes from one on."""
    return struct.pack("hhqqi", kind, os.SEEK_SET, first, number, 0)


_BOTH = _lock(fcntl.F_WRLCK, 0, 2)
_NEXT, _TURN = _lock(fcntl.F_WRLCK, 0, 1), _lock(fcntl.F_WRLCK, 1, 1)
_NOT_NEXT, _NOT_TURN = _lock(fcntl.F_UNLCK, 0, 1), _lock(fcntl.F_UNLCK, 1, 1)


class Turns:
    """One process's part in it. Where there is no such file to be had, or no such locks, it is always one's turn."""

    def __init__(self, path: str) -> None:
        self.held = False
        """Whether it is one's turn."""
        self._descriptor: int | None = None
        if _TAKE is None:
            return
        try:
            self._descriptor = os.open(f"{path}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        except OSError as error:
            if error.errno != errno.EROFS:  # where nothing can be written, there is nobody to take turns with
                logger.warning("processes that write do not take turns: %s", error)

    def take(self) -> bool:
        """Whether it is one's turn, without waiting."""
        if self._descriptor is None or _TAKE is None:
            return True
        try:
            fcntl.fcntl(self._descriptor, _TAKE, _BOTH)
        except OSError:
            return False
        fcntl.fcntl(self._descriptor, _TAKE, _NOT_NEXT)
        self.held = True
        return True

    def wait(self) -> None:
        """Until it is one's turn. For a thread."""
        if self._descriptor is None or _TAKE is None or _WAIT is None:
            return
        fcntl.fcntl(self._descriptor, _WAIT, _NEXT)
        fcntl.fcntl(self._descriptor, _WAIT, _TURN)
        fcntl.fcntl(self._descriptor, _TAKE, _NOT_NEXT)
        self.held = True

    def end(self) -> None:
        """Let the next one."""
        if self.held and self._descriptor is not None and _TAKE is not None:
            self.held = False
            fcntl.fcntl(self._descriptor, _TAKE, _NOT_TURN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
