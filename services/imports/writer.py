"""Writes records in batches, each in one transaction: an issue with all that belongs to it. A run may end anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from db.engine import Database
from services.imports.batches import Batch, Known, WriterOptions
from services.imports.records import Issue, Place
from services.imports.summary import Counts, Refusal

ATTEMPTS = 3


class Written(NamedTuple):
    counts: Counts
    left_over: list[Issue]
    """Issues whose number another task has."""
    refused: dict[str, Refusal]
    """Projects that cannot be written to, by their keys in the source."""


class Writer:
    """Writes the issues of one source."""

    def __init__(self, database: Database, options: WriterOptions) -> None:
        self.places: dict[str, Place] = {}
        """What is known of projects from their own records, by their keys."""
        self.described: set[str] = set()
        """Keys of projects that were created with what is known from their own records."""
        self._database = database
        self._options = options
        self._known = Known()
        # each is named by both of its issues, and counted once; a hash for each is all that is kept of them
        self._links_met: set[int] = set()

    async def write(self, issues: Sequence[Issue], *, renumber: bool = False) -> Written:
        """Write those that are new: all of them, or none.

        Issues left over because another task has their number get, with ``renumber``, the project's next ones.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.writing() as session:
                    session.takes_long()
                    batch = Batch(session, self._options, self._known, self.places, self._links_met)
                    left_over = await batch.write(issues, renumber=renumber)
            except IntegrityError:
                # somebody wrote a row of the same name just now: look again
                self._known = Known()
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self._known = Known()
                raise
            else:
                self.described |= batch.described
                self._links_met |= batch.links_met
                return Written(batch.counts, left_over, batch.refused)
        raise AssertionError("unreachable")
