"""Writing very many rows: in parts, with turns for others between them."""

from collections.abc import Mapping, Sequence

from core import turns
from db.driver.sessions import Session, Written

PART = 1_000
"""How many rows are made ready for the database at once: a few milliseconds of it."""


async def write_all(session: Session, statement: Written, rows: Sequence[Mapping[str, object]]) -> None:
    """Run a statement once for each of the rows, in their order; with none, nothing happens."""
    if len(rows) <= PART:
        if rows:
            await session.execute(statement, rows)
        return
    for some in turns.parts(rows, PART):
        await turns.pause()
        await session.execute(statement, some)
