"""The picture of the costs at each scale: a line for each work, flat where the number of tasks does not matter."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import floor, log10
from statistics import mean

from benchmarks import svg
from benchmarks.report import DATABASES
from benchmarks.scale_report import Results, Scaled
from benchmarks.svg import MARGIN, WIDTH, Scale, amount, text
from benchmarks.works import Work

GROUPS = {
    "newest": ("R20", "G20"),
    "filtered": ("RF", "GF"),
    "search": ("S1", "S2", "S3"),
    "deep": ("P50", "P90"),
    "order": ("OD", "OU", "OP"),
    "people": ("RA", "GA"),
    "tags": ("RT", "GT"),
    "open": ("RS", "GS"),
    "create": ("RC", "GC"),
}
"""Works that have a colour in common."""
DASHES = ("", "6 3", "2 3")
TOP, HEIGHT = 100, 380
SCALES, NAMES = 48, 78
"""Width left of a plot and right of it."""
APART = 13.0
"""At least so much between the names of two lines."""

STYLE = (
    svg.STYLE
    + """
  svg { --newest: #0969da; --filtered: #0f8a72; --search: #cf222e;
        --deep: #8250df; --order: #b5651d; --create: #59636e;
        --people: #bf3989; --tags: #9a6700; --open: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    svg { --newest: #4493f8; --filtered: #3fb99b; --search: #f47067;
          --deep: #b083f0; --order: #e3964a; --create: #9198a1;
          --people: #e275ad; --tags: #d29922; --open: #57ab5a; } }
"""
    + "".join(
        f"  polyline.{name}, path.{name} {{ stroke: var(--{name}); fill: none; }} "
        f"circle.{name}, text.{name} {{ fill: var(--{name}); }}\n"
        for name in GROUPS
    )
)


class _Plot:
    """Where a number of tasks and a cost are in a panel; both axes are logarithmic."""

    def __init__(self, left: float, width: float, tasks: Sequence[float], low: float, high: float) -> None:
        self.left, self.right = left, left + width
        self._across = Scale(left, width, min(tasks), max(tasks))
        self._up = Scale(0, HEIGHT, low, high)
        self.costs = [cost for cost in _round_costs(low / 10, high) if low <= cost <= high]

    def x(self, tasks: float) -> float:
        return self._across.at(tasks)

    def y(self, cost: float) -> float:
        return TOP + HEIGHT - self._up.at(cost)


def draw(results: Results, works: Sequence[Work], conditions: Mapping[str, str]) -> str:
    """The SVG: a panel for each kind of database."""
    values = [cost for scaled in results.values() for work in works for cost in _costs(scaled, work).values()]
    steps = list(_round_costs(min(values), max(values)))
    low = max(step for step in steps if step <= min(values))
    high = min(step for step in steps if step >= max(values))
    panel = (WIDTH - MARGIN * (len(results) + 1)) / len(results)
    parts: list[str] = []
    for index, (kind, scaled) in enumerate(results.items()):
        left = MARGIN + index * (panel + MARGIN) + SCALES
        plot = _Plot(left, panel - SCALES - NAMES, list(scaled.results), low, high)
        parts += _axes(DATABASES[kind], plot, scaled)
        parts += _lines(plot, scaled, works)
    rows = -(-len(works) // 3)
    height = TOP + HEIGHT + 48 + 18 * rows + 24
    about = f"One worker, {conditions['cpu']}, Python {conditions['python']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'role="img" aria-labelledby="title about">',
            '<title id="title">CPU time of one request by the number of tasks</title>',
            f'<desc id="about">{escape(_in_words(results, works))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="var(--back)"/>',
            text(MARGIN, 34, "CPU time of one request by the number of tasks", "title"),
            text(MARGIN, 54, "Server and database together; logarithmic scales, lower and flatter is better.", "soft"),
            *parts,
            *_legend(works, rows),
            text(MARGIN, height - 12, about, "soft small"),
            "</svg>",
            "",
        ]
    )


def _round_costs(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10 and so on, from below one cost to above another."""
    power = 10.0 ** floor(log10(low))
    while power <= 10 * high:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _axes(title: str, plot: _Plot, scaled: Scaled) -> Iterator[str]:
    yield text(plot.left, TOP - 16, title, "panel")
    for cost in plot.costs:
        y = plot.y(cost)
        yield f'<line x1="{plot.left:.1f}" x2="{plot.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield text(plot.left - 8, y + 4, amount(cost), "soft small end")
    for tasks in scaled.results:
        x = plot.x(tasks)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + HEIGHT + 4}"/>'
        yield text(x, TOP + HEIGHT + 18, f"{tasks:,}", "soft small middle")


def _lines(plot: _Plot, scaled: Scaled, works: Sequence[Work]) -> Iterator[str]:
    ends: list[tuple[float, str, Work]] = []
    for work in works:
        costs = _costs(scaled, work)
        if not costs:
            continue
        group, dash = _look(work)
        points = [(plot.x(tasks), plot.y(cost)) for tasks, cost in costs.items()]
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline class="{group}" points="{places}" stroke-width="1.6" stroke-dasharray="{dash}"/>'
        for x, y in points:
            yield f'<circle class="{group}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'
        ends.append((points[-1][1], f"{work.name} {amount(list(costs.values())[-1])}", work))
    ends.sort(key=lambda end: end[0])
    for y, (end, words, work) in zip(_spread([end[0] for end in ends]), ends, strict=True):
        group, _ = _look(work)
        x = plot.right
        yield f'<path class="{group}" d="M{x + 3:.1f},{end:.1f} L{x + 14:.1f},{y:.1f}" stroke-width="0.7"/>'
        yield text(x + 17, y + 3.5, words, f"small {group}")


def _spread(heights: Sequence[float]) -> list[float]:
    """The heights, in order from the top, moved as little as makes room for a line of text each."""
    groups: list[list[float]] = []  # those that touch: where each would have the first one be
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _first(groups[-2]) + APART * len(groups[-2]) > _first(groups[-1]):
            below, above = groups.pop(), groups.pop()
            groups.append([*above, *(wish - APART * len(above) for wish in below)])
    return [_first(group) + APART * index for group in groups for index in range(len(group))]


def _first(wishes: Sequence[float]) -> float:
    lowest = TOP + HEIGHT - APART * (len(wishes) - 1)
    return max(float(TOP), min(mean(wishes), lowest))


def _legend(works: Sequence[Work], rows: int) -> Iterator[str]:
    for index, work in enumerate(works):
        group, dash = _look(work)
        x = MARGIN + (index // rows) * (WIDTH - 2 * MARGIN) / 3
        y = TOP + HEIGHT + 48 + (index % rows) * 18
        yield f'<path class="{group}" d="M{x:.1f},{y - 4:.1f} h22" stroke-width="1.6" stroke-dasharray="{dash}"/>'
        door = "" if work.rest is None else ", GraphQL"
        yield text(x + 29, y, f"{work.name}  {work.title}{door}", "small")


def _look(work: Work) -> tuple[str, str]:
    """The group of a work, which has a colour, and the dashes of its line."""
    for group, names in GROUPS.items():
        if work.name in names:
            return group, DASHES[names.index(work.name)]
    return "create", ""


def _costs(scaled: Scaled, work: Work) -> dict[float, float]:
    """Of the server and the database together."""
    databases = scaled.costs(work.name, database=True)
    return {tasks: cost + databases.get(tasks, 0.0) for tasks, cost in scaled.costs(work.name).items()}


def _in_words(results: Results, works: Sequence[Work]) -> str:
    """The figures, for those who do not see the picture."""
    return " ".join(
        f"{DATABASES[kind]}, {work.name} {work.title}: "
        + ", ".join(f"{amount(cost)} at {tasks:,} tasks" for tasks, cost in _costs(scaled, work).items())
        + "."
        for kind, scaled in results.items()
        for work in works
    )
