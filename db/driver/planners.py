"""What a database makes of statements and transactions, as far as whoever writes them has to know: not which database
it is."""

from typing import Final, NamedTuple

from db.driver.dialects import DialectName


class Planner(NamedTuple):
    """How a database finds rows. Statements that were built for the same planner may be kept by it."""

    merges_ordered_selects: bool
    """UNION ALL of SELECTs, each in an index's order, is merged in that order, and ends at LIMIT: SQLite's."""
    knows_lateral: bool
    """A subquery may name what stands beside it (LATERAL)."""
    keeps_order_of_joins: bool
    """An outer join leaves rows in the order in which they come. Nothing promises that, but for an ORDER BY that says
    the same SQLite would sort whole rows."""
    seeks_pairs: bool
    """``(a, b) > (x, y)`` is a place in an index. SQLite goes to the first row of ``a = x``, and reads all of them."""
    writes_in_with: bool
    """A WITH may hold what writes, and say what it wrote to the rest of the statement: one round trip for several."""
    joins_by_estimate: bool
    """Joins are arranged by how many rows are expected, which may be wrong by far: better not to have them where a
    filter makes that a guess."""
    commits_in_order: bool
    """Transactions commit in the order in which they write: there is one writer at a time."""


PLANNERS: Final[dict[DialectName, Planner]] = {
    "sqlite": Planner(
        merges_ordered_selects=True,
        knows_lateral=False,
        keeps_order_of_joins=True,
        seeks_pairs=False,
        writes_in_with=False,
        joins_by_estimate=False,
        commits_in_order=True,
    ),
    "postgresql": Planner(
        merges_ordered_selects=False,
        knows_lateral=True,
        keeps_order_of_joins=False,
        seeks_pairs=True,
        writes_in_with=True,
        joins_by_estimate=True,
        commits_in_order=False,
    ),
}
