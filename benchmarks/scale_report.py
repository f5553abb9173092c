"""The costs at each step of a walk as tables, Markdown and JSON, with the goal that they meet or miss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from benchmarks.measure import Result, Whose, quotient
from benchmarks.report import DATABASES, Cells, Goal, markdown_table, number, ratio, table
from benchmarks.walks import Walk
from benchmarks.works import Work


@dataclass(frozen=True, slots=True)
class Made:
    """How a data set came to be."""

    name: str
    """Of its step."""
    seconds: float
    kept: bool
    """Whether it was there from an earlier run."""
    megabytes: float
    """Of 10⁶ bytes, with indexes."""


@dataclass(slots=True)
class Scaled:
    """Everything about one kind of database: results by the step of a walk, then by work."""

    walk: Walk
    made: list[Made] = field(default_factory=list)
    results: dict[float, dict[str, Result]] = field(default_factory=dict)

    def costs(self, work: str, *, database: bool = False) -> dict[float, float]:
        """Microseconds a request by the step: of the server, or of the database's own processes."""
        found = {step: each[work] for step, each in self.results.items() if work in each}
        costs = {step: each.database_cpu_us if database else each.cpu_us for step, each in found.items()}
        return {step: cost for step, cost in costs.items() if cost is not None}

    def growth(self, work: str, step: float, whose: Whose) -> float | None:
        """How many times as much a request costs at a step as at the base, or as the work that it is compared with."""
        beside = self.walk.beside
        below = self.results.get(step, {}).get(beside) if beside else self.results.get(self.walk.base, {}).get(work)
        return quotient(self.results.get(step, {}).get(work), below, whose)

    def bounds(self) -> list[tuple[float, Whose]]:
        """At which steps, and of whose CPU time, there is a goal."""
        whose = [each for each in self.walk.whose if each is not Whose.DATABASE or self.with_database]
        return [(step, each) for each in whose for step in self.walk.bounds]

    @property
    def with_database(self) -> bool:
        return any(each.database_cpu_us is not None for results in self.results.values() for each in results.values())


Results = Mapping[str, Scaled]
"""By kind of database."""


def goals(results: Results, works: Sequence[Work]) -> list[Goal]:
    """For each work the cost at each step that has a bound."""
    return [
        Goal(
            kind,
            f"{work.name} {work.title}, {whose}: {_compared(scaled.walk, step)}",
            scaled.growth(work.name, step, whose),
            bound,
            "≤",
        )
        for kind, scaled in results.items()
        for work in works
        for step, whose in scaled.bounds()
        if (bound := scaled.walk.bound(work.name, step)) is not None
    ]


def _compared(walk: Walk, step: float) -> str:
    return f"{walk.name(step)} ÷ {walk.beside or walk.name(walk.base)}"


def cells(kind: str, scaled: Scaled, works: Sequence[Work]) -> Cells:
    """A row for each work."""
    walk = scaled.walk
    head = ["µs of CPU a request", *(walk.name(step) for step in scaled.results)]
    if scaled.with_database:
        head += [f"database: {walk.name(step)}" for step in scaled.results]
    head += [f"{whose}: {_compared(walk, step)} (≤ {walk.bounds[step]:g})" for step, whose in scaled.bounds()]
    rows = [[*head, "goal"]]
    for work in works:
        row = [f"{work.name} {work.title}"]
        for database in (False, True) if scaled.with_database else (False,):
            costs = scaled.costs(work.name, database=database)
            row += [number(costs.get(step)) for step in scaled.results]
        row += [ratio(scaled.growth(work.name, step, whose)) for step, whose in scaled.bounds()]
        rows.append([*row, _verdict([goal.met for goal in goals({kind: scaled}, [work])])])
    return rows


def _verdict(met: Sequence[bool | None]) -> str:
    if False in met:
        return "NOT MET"
    return "not measured" if None in met else "met"


def made_cells(scaled: Scaled) -> Cells:
    """How long each data set took to make, and how large it is."""
    rows = [["", "made in s", "MB"]]
    for each in scaled.made:
        rows.append([each.name, f"{each.seconds:,.1f}{' (kept)' * each.kept}", number(each.megabytes)])
    return rows


def show(results: Results, works: Sequence[Work], console: Console) -> None:
    """Print the tables."""
    for kind, scaled in results.items():
        console.print(table(DATABASES[kind], cells(kind, scaled, works)))
        console.print(table("", made_cells(scaled)))


def markdown(results: Results, works: Sequence[Work], conditions: Mapping[str, str]) -> str:
    """The tables, and on what they were measured."""
    parts = []
    for kind, scaled in results.items():
        parts += [f"### {DATABASES[kind]}", markdown_table(cells(kind, scaled, works))]
        parts.append(markdown_table(made_cells(scaled)))
    parts += ["### Conditions", "\n".join(f"- {name}: {value}" for name, value in conditions.items())]
    return "\n\n".join(parts) + "\n"


def document(results: Results, works: Sequence[Work], conditions: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "conditions": dict(conditions),
        "works": {work.name: work.title for work in works},
        "results": {
            kind: {
                "made": [asdict(each) for each in scaled.made],
                "steps": {
                    scaled.walk.name(step): {name: asdict(result) for name, result in of_works.items()}
                    for step, of_works in scaled.results.items()
                },
            }
            for kind, scaled in results.items()
        },
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals(results, works)],
    }
