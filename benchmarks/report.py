"""The results as a table in the terminal, Markdown and JSON, with the goals that they meet or miss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measured, Result, Whose, quotient
from benchmarks.works import WORKS, Work

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
    remark: str = ""
    """Why there is no figure, where the floor is no measure."""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.bound if self.sense == "≤" else self.value >= self.bound


def refusal(ours: Result | None, floor: Result | None) -> str:
    """Why a ratio to the floor would say nothing; an empty text where it does.

    The floor is what the work costs at least. Where its own database does more for it than ours, or it costs more in
    all, its plan is not the one that somebody would write by hand for these data, and ours looks better than it is.
    """
    if ours is None or floor is None:
        return ""
    of_ours, of_floor = ours.database_cpu_us, floor.database_cpu_us
    if of_ours is not None and of_floor is not None and of_floor > DISPROPORTION * of_ours + NEGLIGIBLE_US:
        return f"the floor's database takes {of_floor:,.0f} µs, ours {of_ours:,.0f}"
    if floor.total_cpu_us * LEAST > ours.total_cpu_us:
        return f"the floor takes {floor.total_cpu_us:,.0f} µs in all, ours {ours.total_cpu_us:,.0f}"
    return ""


DISPROPORTION, NEGLIGIBLE_US, LEAST = 1.25, 30.0, 0.9
"""How many times as much the floor's database may take as ours, so many µs aside, and how little ours may cost of what
the floor does."""


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

    def total_to_floor(work: str, bound: float) -> Goal:
        above, below = result("ours", work), result("floor", work)
        remark = refusal(above, below)
        value = None if remark else quotient(above, below, Whose.TOTAL)
        return Goal(kind, f"{work} to the floor, in all", value, bound, "≤", remark=remark)

    def to_naive(work: str, bound: float) -> Goal:
        return Goal(kind, f"naive {work} to ours", ratio_of(("naive", work), ("ours", work)), bound, "≥")

    ours = servers["ours"]
    alone = (
        [] if kind == "sqlite" else [to_floor("R1", 1.8), *(to_floor(work, 1.6) for work in ("R20", "R100", "N100"))]
    )
    return [
        *alone,
        total_to_floor("R1", 2.0),
        *(total_to_floor(work, 1.6) for work in ("R20", "R100", "N100", "G20", "G100")),
        *(total_to_floor(work, 1.8) for work in ("RF", "GF")),
        *(total_to_floor(work, 1.5) for work in ("RC", "GC")),
        Goal(kind, "G1 to our R1", ratio_of(("ours", "G1"), ("ours", "R1")), 1.5, "≤"),
        Goal(kind, "G100 to our R100", ratio_of(("ours", "G100"), ("ours", "R100")), 1.3, "≤"),
        to_naive("R100", 6),
        to_naive("G100", 12),
        to_naive("N100", 20),
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
    head = ["µs of CPU a request", *servers, *RATIOS]
    if with_database:
        head += [f"database: {name}" for name in servers]
        head += [f"in all: {name}" for name in (*servers, *RATIOS)]
    rows = [[*head, "ours: per second", "p50 ms", "p99 ms"]]
    for work in WORKS:
        results = {name: measured.works[work.name] for name, measured in servers.items() if work.name in measured.works}
        if "ours" not in results:
            continue
        ours = results["ours"]
        row = [f"{work.name} {work.title}"]
        row += [number(results[name].cpu_us if name in results else None) for name in servers]
        row += _ratios(servers, work, Whose.SERVER)
        if with_database:
            row += [number(results[name].database_cpu_us if name in results else None) for name in servers]
            row += [number(results[name].total_cpu_us if name in results else None) for name in servers]
            row += _ratios(servers, work, Whose.TOTAL)
        rows.append([*row, number(ours.per_second), f"{ours.p50_ms:.2f}", f"{ours.p99_ms:.2f}"])
    return rows


RATIOS = ("ours ÷ floor", "naive ÷ ours", "GraphQL ÷ REST")


def _ratios(servers: Mapping[str, Measured], work: Work, whose: Whose) -> list[str]:
    """What stands below ``RATIOS``."""
    ours, floor, naive = (
        servers[name].works.get(work.name) if name in servers else None for name in ("ours", "floor", "naive")
    )
    to_floor = "refused" if refusal(ours, floor) else ratio(quotient(ours, floor, whose))
    like = servers["ours"].works.get(work.rest or "")
    return [to_floor, ratio(quotient(naive, ours, whose)), ratio(quotient(ours, like, whose))]


def refusals(servers: Mapping[str, Measured]) -> list[str]:
    """The ratios to the floor that are refused, and why."""
    if "floor" not in servers:
        return []
    ours, floor = servers["ours"].works, servers["floor"].works
    reasons = {work.name: refusal(ours.get(work.name), floor.get(work.name)) for work in WORKS}
    return [f"{name} ÷ floor is refused: {reason}." for name, reason in reasons.items() if reason]


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
        verdict = {True: "met", False: "NOT MET", None: f"refused: {goal.remark}" if goal.remark else "not measured"}[
            goal.met
        ]
        rows.append(
            [f"{DATABASES[goal.database]}: {goal.name}", f"{goal.sense} {goal.bound:g}{goal.unit}", measured, verdict]
        )
    return rows


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    for kind, servers in results.items():
        console.print(table(DATABASES[kind], work_cells(servers)))
        for words in refusals(servers):
            console.print(words)
        console.print(table("", server_cells(servers)))
    console.print(table("Goals", goal_cells(results)))


def markdown(results: Results, conditions: Mapping[str, str]) -> str:
    """The tables, and on what they were measured."""
    parts = []
    for kind, servers in results.items():
        parts += [
            f"### {DATABASES[kind]}",
            markdown_table(work_cells(servers)),
            *refusals(servers),
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
