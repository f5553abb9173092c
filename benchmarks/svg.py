"""The picture for the README: bars of CPU time on a logarithmic scale, light or dark as the reader's system is."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.measure import Measured
from benchmarks.report import DATABASES, Results
from benchmarks.works import WORKS, Work

SHOWN = ("R1", "R100", "RN", "G1", "G100", "N100", "RC", "GC")
"""The works in the picture; the tables have them all."""
SERVERS = {"floor": "floor: hand-written, no framework", "ours": "Tandem", "naive": "naive: as tutorials write it"}

WIDTH = 860
MARGIN = 24
LABELS = 132
"""Width left of the bars; right of them is room for the figure."""
FIGURES = 52
TOP = 118
BAR, BETWEEN, GROUP = 10, 2, 14
UNITS = ((1_000_000.0, "s"), (1_000.0, "ms"), (1.0, "µs"))

STYLE = """
  svg { --back: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d8dee4;
        --ours: #0969da; --floor: #9aa4af; --naive: #d9822b; color-scheme: light dark; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #2d333b;
          --ours: #4493f8; --floor: #6e7681; --naive: #e3964a; } }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink); }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-size: 14px; font-weight: 600; }
  .soft { fill: var(--soft); }
  .small { font-size: 10.5px; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  line { stroke: var(--line); }
  .ours { fill: var(--ours); } .floor { fill: var(--floor); } .naive { fill: var(--naive); }
"""


def draw(results: Results, conditions: Mapping[str, str]) -> str:
    """The SVG: a panel for each kind of database, a group of bars for each work, shorter is better."""
    values = [
        result.cpu_us
        for servers in results.values()
        for measured in servers.values()
        for name, result in measured.works.items()
        if name in SHOWN
    ]
    low, high = 10.0 ** floor(log10(min(values))), 10.0 ** ceil(log10(max(values)))
    works = [work for work in WORKS if work.name in SHOWN and any(_has(each, work) for each in results.values())]
    panel = (WIDTH - MARGIN * (len(results) + 1)) / len(results)
    parts: list[str] = []
    bottom = TOP
    for index, (kind, servers) in enumerate(results.items()):
        scale = Scale(MARGIN + index * (panel + MARGIN) + LABELS, panel - LABELS - FIGURES, low, high)
        shown = [name for name in SERVERS if name in servers]
        bottom = TOP + len(works) * (len(shown) * (BAR + BETWEEN) + GROUP)
        parts += _panel(DATABASES[kind], scale, bottom)
        parts += _bars(scale, servers, shown, works)
    height = bottom + 44
    about = f"{conditions['tasks']} tasks, one worker, {conditions['cpu']}, Python {conditions['python']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'role="img" aria-labelledby="title about">',
            '<title id="title">CPU time of the server for one request</title>',
            f'<desc id="about">{escape(_in_words(results, works))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="var(--back)"/>',
            text(MARGIN, 34, "CPU time of the server for one request", "title"),
            text(MARGIN, 54, "Logarithmic scale; shorter is better. PostgreSQL’s own CPU time is not in it.", "soft"),
            *_legend(results),
            *parts,
            text(MARGIN, height - 14, about, "soft small"),
            "</svg>",
            "",
        ]
    )


class Scale:
    """Where a value in microseconds is on the horizontal axis."""

    def __init__(self, left: float, width: float, low: float, high: float) -> None:
        self.left, self.width, self.low, self.high = left, width, low, high

    def at(self, value: float) -> float:
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.left + share * self.width

    def decades(self) -> Iterator[float]:
        value = self.low
        while value <= self.high:
            yield value
            value *= 10


def _panel(title: str, scale: Scale, bottom: float) -> Iterator[str]:
    yield text(scale.left - LABELS, TOP - 16, title, "panel")
    for value in scale.decades():
        x = scale.at(value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom - 6}"/>'
        yield text(x, bottom + 8, amount(value), "soft small middle")


def _bars(scale: Scale, servers: Mapping[str, Measured], shown: Sequence[str], works: Sequence[Work]) -> Iterator[str]:
    y = float(TOP)
    for work in works:
        middle = y + len(shown) * (BAR + BETWEEN) / 2
        door = "REST" if work.rest is None else "GraphQL"
        yield text(scale.left - 10, middle - 2, f"{door}, {work.name}", "end")
        yield text(scale.left - 10, middle + 11, work.title, "end soft small")
        for name in shown:
            result = servers[name].works.get(work.name)
            if result is not None:
                width = scale.at(result.cpu_us) - scale.left
                shape = f'x="{scale.left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="1.5"'
                yield f'<rect class="{name}" {shape}/>'
                yield text(scale.left + width + 4, y + BAR - 1, amount(result.cpu_us), "small")
            y += BAR + BETWEEN
        y += GROUP


def _legend(results: Results) -> Iterator[str]:
    x = float(MARGIN)
    for name, words in SERVERS.items():
        if any(name in servers for servers in results.values()):
            yield f'<rect class="{name}" x="{x}" y="68" width="12" height="12" rx="2"/>'
            yield text(x + 18, 78, words, "")
            x += 48 + 6.2 * len(words)


def _in_words(results: Results, works: Sequence[Work]) -> str:
    """The figures, for those who do not see the picture."""
    return " ".join(
        f"{DATABASES[kind]}, {name}: "
        + ", ".join(
            f"{work.name} {amount(measured.works[work.name].cpu_us)}" for work in works if work.name in measured.works
        )
        + "."
        for kind, servers in results.items()
        for name, measured in servers.items()
    )


def _has(servers: Mapping[str, Measured], work: Work) -> bool:
    return any(work.name in measured.works for measured in servers.values())


def amount(microseconds: float) -> str:
    """Two or three digits that matter, with their unit."""
    for size, unit in UNITS:
        if microseconds >= size:
            value = microseconds / size
            return f"{value:.1f} {unit}" if value < 10 and value != int(value) else f"{value:.0f} {unit}"
    return f"{microseconds:.1f} µs"


def text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(words)}</text>'
