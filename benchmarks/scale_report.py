"""The costs at each scale as tables, Markdown and JSON, with the goal that they meet or miss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from benchmarks.measure import Result, quotient
from benchmarks.report import DATABASES, Cells, Goal, markdown_table, number, ratio, table
from benchmarks.works import Work

FROM, TO, BOUND = 10_000, 1_000_000, 1.5
"""The goal: what a request costs at so many tasks, compared with so many."""


@dataclass(frozen=True, slots=True)
class Made:
    """How a data set came to be."""

    tasks: int
    seconds: float
    kept: bool
    """Whether it was there from an earlier run."""
    megabytes: float
    """Of 10⁶ bytes, with indexes."""


@dataclass(slots=True)
class Scaled:
    """Everything about one kind of database: results by the number of tasks, then by work."""

    made: list[Made] = field(default_factory=list)
    results: dict[int, dict[str, Result]] = field(default_factory=dict)

    def costs(self, work: str, *, database: bool = False) -> dict[int, float]:
        """Microseconds a request by the number of tasks: of the server, or of the database's own processes."""
        found = {tasks: each[work] for tasks, each in self.results.items() if work in each}
        costs = {tasks: each.database_cpu_us if database else each.cpu_us for tasks, each in found.items()}
        return {tasks: cost for tasks, cost in costs.items() if cost is not None}

    def growth(self, work: str, *, database: bool = False) -> float | None:
        """How many times as much a request costs at ``TO`` tasks as at ``FROM``."""
        above, below = (self.results.get(tasks, {}).get(work) for tasks in (TO, FROM))
        return quotient(above, below, database=database)

    @property
    def with_database(self) -> bool:
        return any(each.database_cpu_us is not None for results in self.results.values() for each in results.values())


Results = Mapping[str, Scaled]
"""By kind of database."""


def goals(results: Results, works: Sequence[Work]) -> list[Goal]:
    """For each work the server's cost, and the database's where it has processes of its own."""
    return [
        _goal(kind, scaled, work, database=database)
        for kind, scaled in results.items()
        for work in works
        for database in ((False, True) if scaled.with_database else (False,))
    ]


def _goal(kind: str, scaled: Scaled, work: Work, *, database: bool) -> Goal:
    value = scaled.growth(work.name, database=database)
    whose = "database" if database else "server"
    return Goal(kind, f"{work.name} {work.title}, {whose}: {TO:,} ÷ {FROM:,} tasks", value, BOUND, "≤")


def cells(kind: str, scaled: Scaled, works: Sequence[Work]) -> Cells:
    """A row for each work."""
    ratio_name = f"{TO:,} ÷ {FROM:,}"
    head = ["µs of CPU a request", *(f"{tasks:,}" for tasks in scaled.results), ratio_name]
    if scaled.with_database:
        head += [*(f"database: {tasks:,}" for tasks in scaled.results), f"database: {ratio_name}"]
    rows = [[*head, f"≤ {BOUND:g}"]]
    for work in works:
        row = [f"{work.name} {work.title}"]
        for database in (False, True) if scaled.with_database else (False,):
            costs = scaled.costs(work.name, database=database)
            row += [number(costs.get(tasks)) for tasks in scaled.results]
            row.append(ratio(scaled.growth(work.name, database=database)))
        rows.append([*row, _verdict([goal.met for goal in goals({kind: scaled}, [work])])])
    return rows


def _verdict(met: Sequence[bool | None]) -> str:
    if False in met:
        return "NOT MET"
    return "not measured" if None in met else "met"


def made_cells(scaled: Scaled) -> Cells:
    """How long each data set took to make, and how large it is."""
    rows = [["tasks", "made in s", "MB"]]
    for each in scaled.made:
        rows.append([f"{each.tasks:,}", f"{each.seconds:,.1f}{' (kept)' * each.kept}", number(each.megabytes)])
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
                "tasks": {
                    str(tasks): {name: asdict(result) for name, result in of_works.items()}
                    for tasks, of_works in scaled.results.items()
                },
            }
            for kind, scaled in results.items()
        },
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals(results, works)],
    }
