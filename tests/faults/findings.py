"""What came of a fault, and what may come of one."""

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.load import Ledger

COLUMNS = ("fault", "database", "acknowledged", "lost", "doubled", "refused how", "longest", "first write", "/health",
           "verdict")  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """What may come of a fault; seconds."""

    longest: float = 12.0
    """That a write or a read may take: the deadline of a request, and a margin."""
    health: float = 2.0
    """A machine that does everything at once, the callers too, is slow by itself."""
    ready: float = 3.0
    first_write: float | None = None
    """After what the fault names."""
    refused: frozenset[str] = frozenset({"503", "504", "409"})
    """What writes and reads may be answered besides success; 409 for a repeat that overtakes what it repeats."""


@dataclass
class Finding:
    """What came of a fault."""

    name: str
    database: str
    bounds: Bounds = field(default_factory=Bounds)
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    first_write: float | None = None
    health: float = 0.0
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    missing: str = ""
    """Why it was not tried."""

    def judge(self, ledger: Ledger, stored: Counter[str], *, since: float | None = None) -> None:
        """Hold what callers were told to what is stored, and to the bounds."""
        self.acknowledged = len(ledger.acknowledged)
        self.lost = sum(1 for title in ledger.acknowledged if stored[title] == 0)
        self.doubled = sum(1 for number in stored.values() if number > 1)
        self.refused = ledger.outcomes("write", "read", "others")
        self.longest = ledger.longest("write", "read", "others")
        self.health = ledger.longest("health")
        self.demand(self.acknowledged > 0, "nothing was acknowledged")
        self.demand(not self.lost, f"{self.lost} acknowledged writes are lost")
        self.demand(not self.doubled, f"{self.doubled} writes are there twice")
        others = {outcome for outcome in self.refused if outcome not in self.bounds.refused}
        self.demand(not others, f"answered {', '.join(sorted(others))}")
        self._within("an answer", self.longest, self.bounds.longest)
        self._within("/health", self.health, self.bounds.health)
        self._within("/health/ready", ledger.longest("ready"), self.bounds.ready)
        for outcome, number in ledger.outcomes("health").items():
            self.demand(outcome in self.bounds.refused - {"503"}, f"/health was {outcome}, {number} times")
        if since is not None:
            self.first_write = ledger.first_write(since)
            self.demand(self.first_write is not None, "no write was acknowledged afterwards")
            if self.first_write is not None and self.bounds.first_write is not None:
                self._within("the first write", self.first_write, self.bounds.first_write)

    def demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.failures.append(otherwise)

    def _within(self, what: str, seconds: float, bound: float) -> None:
        self.demand(seconds <= bound, f"{what} took {seconds:.1f} s, more than {bound:g}")

    @property
    def verdict(self) -> str:
        if self.missing:
            return f"not tried: {self.missing}"
        return "; ".join(["FAILED: " + "; ".join(self.failures) if self.failures else "ok", *self.notes])

    @property
    def row(self) -> tuple[str, ...]:
        first = "" if self.first_write is None else f"{self.first_write:.1f} s"
        refused = ", ".join(f"{number} × {outcome}" for outcome, number in sorted(self.refused.items()))
        return (
            self.name,
            self.database,
            str(self.acknowledged),
            str(self.lost),
            str(self.doubled),
            refused,
            f"{self.longest:.1f} s",
            first,
            f"{self.health * 1000:.0f} ms",
            self.verdict,
        )


def table(findings: list[Finding]) -> str:
    """All of them, in Markdown."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(finding.row for finding in findings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
