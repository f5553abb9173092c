"""The results as a table in the terminal, Markdown and JSON, with the goals that they meet or miss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measured, Result, quotient
from benchmarks.works import WORKS

Results = Mapping[str, Mapping[str, Measured]]
"""By kind of database, then by server."""

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its bound; ``value`` is None where this run has not measured it."""

    database: str
    name: str
    value: float | None
    bound: float
    sense: Literal["≤", "≥"]
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.bound if self.sense == "≤" else self.value >= self.bound


def goals(results: Results) -> list[Goal]:
    """Every goal, for each kind of database."""
    return [goal for kind, servers in results.items() for goal in _goals(kind, servers)]


def _goals(kind: str, servers: Mapping[str, Measured]) -> list[Goal]:
    def result(server: str, work: str) -> Result | None:
        measured = servers.get(server)
        return measured.works.get(work) if measured else None

    def ratio_of(above: tuple[str, str], below: tuple[str, str]) -> float | None:
        return quotient(result(*above), result(*below))

    def to_floor(work: str, bound: float) -> Goal:
        return Goal(kind, f"{work} to the floor", ratio_of(("ours", work), ("floor", work)), bound, "≤")

    def to_naive(work: str, bound: float) -> Goal:
        return Goal(kind, f"naive {work} to ours", ratio_of(("naive", work), ("ours", work)), bound, "≥")

    ours = servers["ours"]
    return [
        to_floor("R1", 2.5 if kind == "sqlite" else 1.8),
        to_floor("R20", 1.6),
        to_floor("R100", 1.6),
        Goal(kind, "G1 to our R1", ratio_of(("ours", "G1"), ("ours", "R1")), 1.5, "≤"),
        Goal(kind, "G100 to our R100", ratio_of(("ours", "G100"), ("ours", "R100")), 1.3, "≤"),
        to_floor("N100", 1.5),
        to_floor("RC", 2.0),
        to_floor("GC", 2.0),
        to_naive("R100", 6),
        to_naive("G100", 12),
        to_naive("N100", 40),
        Goal(kind, "mixed load: p99 to p50", ours.mixed.ratio if ours.mixed else None, 5, "≤"),
        Goal(kind, "start-up", ours.start_seconds or None, 1.5, "≤", " s"),
        Goal(kind, "memory (RSS)", ours.rss_mb or None, 120, "≤", " MB"),
        Goal(kind, "memory of one of four workers", ours.forked_mb or None, 120, "≤", " MB"),
    ]


Cells = Sequence[Sequence[str]]
"""Rows of a table; the first are the headings."""


def work_cells(servers: Mapping[str, Measured]) -> Cells:
    """Microseconds of CPU a request, ratios, and what our server's clients see, a row for each work."""
    with_database = any(
        result.database_cpu_us is not None for each in servers.values() for result in each.works.values()
    )
    head = ["µs of CPU a request", *servers, "ours ÷ floor", "naive ÷ ours", "GraphQL ÷ REST"]
    if with_database:
        head += [f"database: {name}" for name in servers]
    rows = [[*head, "ours: per second", "p50 ms", "p99 ms"]]
    for work in WORKS:
        results = {name: measured.works[work.name] for name, measured in servers.items() if work.name in measured.works}
        if "ours" not in results:
            continue
        ours = results["ours"]
        row = [f"{work.name} {work.title}"]
        row += [number(results[name].cpu_us if name in results else None) for name in servers]
        row.append(ratio(quotient(ours, results.get("floor"))))
        row.append(ratio(quotient(results.get("naive"), ours)))
        row.append(ratio(quotient(ours, servers["ours"].works.get(work.rest or ""))))
        if with_database:
            row += [number(results[name].database_cpu_us if name in results else None) for name in servers]
        rows.append([*row, number(ours.per_second), f"{ours.p50_ms:.2f}", f"{ours.p99_ms:.2f}"])
    return rows


def server_cells(servers: Mapping[str, Measured]) -> Cells:
    """Start-up, memory and the mixed load, a row for each server."""
    head = [
        "",
        "start-up s",
        "RSS MB",
        "PSS MB",
        "one of four MB",
        "mixed load: at most a second",
        "p50 ms",
        "p99 ms",
        "p99 ÷ p50",
    ]
    rows = [head]
    for name, each in servers.items():
        row = [name, f"{each.start_seconds:.2f}", number(each.rss_mb), number(each.pss_mb)]
        row.append(number(each.forked_mb or None))
        if each.mixed:
            mixed = each.mixed
            row += [number(mixed.maximum_per_second), f"{mixed.p50_ms:.2f}", f"{mixed.p99_ms:.2f}"]
            row.append(ratio(mixed.ratio))
        rows.append(row + ["–"] * (len(head) - len(row)))
    return rows


def goal_cells(results: Results) -> Cells:
    """Every goal with its figure, and whether it is met."""
    rows = [["", "goal", "measured", ""]]
    for goal in goals(results):
        measured = "–" if goal.value is None else f"{goal.value:.2f}{goal.unit}"
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[goal.met]
        rows.append(
            [f"{DATABASES[goal.database]}: {goal.name}", f"{goal.sense} {goal.bound:g}{goal.unit}", measured, verdict]
        )
    return rows


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    for kind, servers in results.items():
        console.print(table(DATABASES[kind], work_cells(servers)))
        console.print(table("", server_cells(servers)))
    console.print(table("Goals", goal_cells(results)))


def markdown(results: Results, conditions: Mapping[str, str]) -> str:
    """The tables, and on what they were measured."""
    parts = []
    for kind, servers in results.items():
        parts += [
            f"### {DATABASES[kind]}",
            markdown_table(work_cells(servers)),
            markdown_table(server_cells(servers)),
        ]
    parts += ["### Goals", markdown_table(goal_cells(results)), "### Conditions"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in conditions.items()))
    return "\n\n".join(parts) + "\n"


def document(results: Results, conditions: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "conditions": dict(conditions),
        "results": {
            kind: {name: asdict(measured) for name, measured in servers.items()} for kind, servers in results.items()
        },
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals(results)],
    }


def table(title: str, cells: Cells) -> Table:
    made = Table(*cells[0], title=title, title_justify="left")
    for column in made.columns[1:]:
        column.justify = "right"
    for row in cells[1:]:
        made.add_row(*row)
    return made


def markdown_table(cells: Cells) -> str:
    head, *rows = cells
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
