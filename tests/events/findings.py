"""What came of a scenario: what does not hold, and figures beside their goals."""

from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("scenario", "database", "what", "measured", "goal", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was measured."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    """Whether more is better."""

    @property
    def is_missed(self) -> bool:
        if self.goal is None:
            return False
        return self.value < self.goal if self.at_least else self.value > self.goal

    @property
    def row(self) -> tuple[str, str, str, str]:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {number(self.goal)} {self.unit}".strip()
        verdict = "" if self.goal is None else "missed" if self.is_missed else "held"
        return self.what, f"{number(self.value)} {self.unit}".strip(), goal, verdict


@dataclass
class Finding:
    """What came of a scenario on a database."""

    name: str
    database: str
    figures: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""
    """Why it was not tried."""

    def demand(self, holds: bool, otherwise: str) -> None:
        """What has to hold on any machine, however busy."""
        if not holds:
            self.failures.append(otherwise)

    def none(self, what: str, count: int) -> None:
        """So many there must not be: none."""
        self.figures.append(Figure(what, count, "", 0))
        self.demand(not count, f"{what}: {count:,}")

    def measure(self, what: str, value: float, unit: str, goal: float | None = None, *, at_least: bool = False) -> None:
        """A figure, which a busy machine makes worse: a goal that is missed is told, and no failure."""
        self.figures.append(Figure(what, value, unit, goal, at_least))

    def measure_times(self, what: str, seconds: Sequence[float], *, p50: float | None, p99: float | None) -> None:
        """Quantiles of some times; goals in milliseconds."""
        self.demand(bool(seconds), f"{what}: nothing was measured")
        if seconds:
            self.measure(f"{what}, p50", quantile(seconds, 0.5) * 1000, "ms", p50)
            self.measure(f"{what}, p99", quantile(seconds, 0.99) * 1000, "ms", p99)

    @property
    def verdict(self) -> str:
        if self.missing:
            return f"not tried: {self.missing}"
        missed = [figure.what for figure in self.figures if figure.is_missed and figure.goal != 0]
        told = ["FAILED: " + "; ".join(self.failures) if self.failures else "ok"]
        return "; ".join([*told, *([f"goals missed: {', '.join(missed)}"] if missed else []), *self.notes])


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def table(findings: Sequence[Finding]) -> str:
    """All figures, in Markdown."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS)]
    for finding in findings:
        rows += [(finding.name, finding.database, *figure.row) for figure in finding.figures]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
