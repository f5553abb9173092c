"""Writes records in batches, each in one transaction: tasks with all that belongs to them. A run may end anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from db.driver.database import Database
from services.transfers.batches import Batch
from services.transfers.known import Known, WriterOptions
from services.transfers.records import ImportedProject, ImportedTask
from services.transfers.summary import Counts, Refusal

ATTEMPTS = 3


class Written(NamedTuple):
    """What became of a batch."""

    counts: Counts
    left_over: list[ImportedTask]
    """Tasks whose number another task has."""
    refused: dict[str, Refusal]
    """Projects that cannot be written to, by their keys in the source."""


class Writer:
    """Writes the tasks of one source."""

    def __init__(self, database: Database, options: WriterOptions) -> None:
        self.descriptions: dict[str, ImportedProject] = {}
        """What is known of projects from their own records, by their keys."""
        self.described: set[str] = set()
        """Keys of projects that were created with what is known from their own records."""
        self._database = database
        self._options = options
        self._known = Known()
        # each is named by both of its tasks, and counted once; a hash for each is all that is kept of them
        self._links_met: set[int] = set()

    async def write(self, tasks: Sequence[ImportedTask], *, renumber: bool = False) -> Written:
        """Write those that are new: all of them, or none.

        Tasks left over because another task has their number get, with ``renumber``, the project's next ones.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.writing() as session:
                    session.takes_long()
                    batch = Batch(session, self._options, self._known, self.descriptions, self._links_met)
                    left_over = await batch.write(tasks, renumber=renumber)
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
