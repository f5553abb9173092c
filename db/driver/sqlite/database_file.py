"""Whether the database's file is still the one that was opened.

A file that is moved or removed goes on being written by whoever has it open, and what is written is gone with the
process: nothing in SQLite's WAL mode tells (https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use).
So it is looked for once a second by those who use it. Where it is gone, they say so; where there is another one, such
as a backup that was put back, they use that.
"""

import logging
import os
import sqlite3
import time

logger = logging.getLogger("tandem.database")

LOOK_SECONDS = 1.0


class Gone(sqlite3.OperationalError):
    """There is no file at the database's path any more."""

    sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
    sqlite_errorname = "SQLITE_READONLY_DBMOVED"

    def __init__(self) -> None:
        super().__init__("the database's file was moved or removed")


class SqliteFile:
    """The file at a path, for one who keeps it open."""

    __slots__ = ("_identity", "_missing", "_path", "due")

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._missing = False
        self.due = 0.0
        """When it is to be looked for again: ``time.monotonic()``."""

    def is_another(self) -> bool:
        """Whether it is another one than when it was first looked for. Raises ``Gone`` until it is there again."""
        self.due = time.monotonic() + LOOK_SECONDS
        found = self._look()
        if found is None:
            if self._identity is None:  # it has yet to be made
                return False
            if not self._missing:
                logger.error("the database's file was moved or removed")
            self._missing, self.due = True, 0.0
            raise Gone
        before, self._identity, self._missing = self._identity, found, False
        if before is None or before == found:
            return False
        logger.warning("there is another database at its path: it is opened")
        return True

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
