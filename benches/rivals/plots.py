"""The plots of docs/benchmarks.md: SVG of a few kilobytes, readable in a light and a dark page.

A page's theme and its reader's system may differ, so every plot brings its own background, and
nothing relies on colour alone.
"""

import math
from html import escape

import tables
from definitions import Row
from records import Run

STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { fill: #1f2328; font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }
  .title { font-weight: 600; font-size: 13px; }
  .faint { fill: #59636e; }
  .strong { font-weight: 600; }
  .grid { stroke: #d8dee4; }
  .one { stroke: #1f2328; stroke-dasharray: 4 3; }
  .ours { fill: #0969da; } .theirs { fill: #8c959f; } .floor { fill: #d8dee4; stroke: #59636e; }
  .uws { fill: #bc4c00; } .interval { stroke: #bc4c00; stroke-width: 2; }
  .run { fill: none; stroke: #1f2328; stroke-opacity: 0.55; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    text { fill: #e6edf3; }
    .faint { fill: #9198a1; }
    .grid { stroke: #2f353d; }
    .one { stroke: #e6edf3; }
    .ours { fill: #4493f8; } .theirs { fill: #656c76; } .floor { fill: #2f353d; stroke: #9198a1; }
    .uws { fill: #f0883e; } .interval { stroke: #f0883e; }
    .run { stroke: #e6edf3; }
  }
"""

WIDTH = 760
FLOOR = "raw-tcp"


def svg(title: str, height: float, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="6"/>\n'
        + "".join(f"{part}\n" for part in parts)
        + "</svg>\n"
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def role(name: str) -> str:
    """The class that a server's marks have."""
    if tables.is_ours(name):
        return "ours"
    if name == FLOOR:
        return "floor"
    return "uws" if name.startswith("uws") else "theirs"


# ---- One row: what each server needs ------------------------------------------------------------

BAR_TOP, BAR_STEP, BAR_LEFT, BAR_RIGHT = 52, 26, 150, 110


def bars(row: Row, runs: list[Run]) -> str:
    """A bar for each server up to its median, a tick for each run that counts."""
    ranked = tables.ranked(row, runs)
    head, unit = tables.HEADS[row.compare]
    medians = [one.median(row.compare) / unit for _, one in ranked]
    # A rival far behind would press the others together: its bar is cut, its figure is not.
    most = min(max(medians), 4 * medians[min(2, len(medians) - 1)])
    scale = (WIDTH - BAR_LEFT - BAR_RIGHT) / most
    parts = [
        text(16, 24, row.title, "title"),
        text(16, 42, f"{head}: less is better. The bar is the median, a ring a run.", "faint"),
    ]
    for place, ((name, one), median) in enumerate(zip(ranked, medians)):
        y = BAR_TOP + place * BAR_STEP
        kind = role(name)
        cut = median > most
        end = BAR_LEFT + min(median, most) * scale
        parts.append(text(BAR_LEFT - 10, y + 14, name, "strong" if kind == "ours" else "", "end"))
        parts.append(
            f'<rect class="{kind}" x="{BAR_LEFT}" y="{y + 3}" '
            f'width="{max(end - BAR_LEFT, 1):.1f}" height="14" rx="2"/>'
        )
        values = [value / unit for value in one.values(row.compare)]
        for value in values if not cut else []:
            x = BAR_LEFT + min(value, most * 1.02) * scale
            parts.append(f'<circle class="run" cx="{x:.1f}" cy="{y + 10}" r="2.5"/>')
        reach = end if cut else BAR_LEFT + min(max(*values, median), most * 1.02) * scale
        shown = tables.number(median) + (" (cut)" if cut else "")
        parts.append(text(reach + 8, y + 14, shown))
    return svg(row.title, BAR_TOP + len(ranked) * BAR_STEP + 12, parts)


# ---- All rows: ours divided by theirs -----------------------------------------------------------

DOT_TOP, DOT_STEP, DOT_LEFT, DOT_RIGHT = 92, 30, 250, 40
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
OVERVIEW_HINT = (
    "Left of the dashed line corewire needs less. Median of the rounds' ratios; what is beyond the "
    "scale stands at its edge."
)


def overview(rows: list[tuple[Row, list[Run]]]) -> str:
    """A line for each of our figures, a mark for each rival's, on a scale of ratios."""
    lines = [
        (row, ours, theirs)
        for row, runs in rows
        for ours, theirs in tables.ratios(row, runs).items()
    ]
    every = [one.median for *_, theirs in lines for one in theirs.values()]
    every += [end for *_, theirs in lines for one in theirs.values() for end in (one.low, one.high)]
    low = max((tick for tick in TICKS if tick <= min(every)), default=TICKS[0])
    high = min((tick for tick in TICKS if tick >= max(every)), default=TICKS[-1])

    def across(value: float) -> float:
        share = math.log(min(max(value, low), high) / low) / math.log(high / low)
        return DOT_LEFT + share * (WIDTH - DOT_LEFT - DOT_RIGHT)

    bottom = DOT_TOP + len(lines) * DOT_STEP
    parts = [
        text(16, 24, "corewire divided by each of the others, by what each row compares", "title"),
        text(16, 42, OVERVIEW_HINT, "faint"),
        *legend(64),
    ]
    for tick in (tick for tick in TICKS if low <= tick <= high):
        kind = "one" if tick == 1 else "grid"
        parts.append(line(across(tick), DOT_TOP - 6, across(tick), bottom, kind))
        parts.append(text(across(tick), bottom + 16, f"{tick:g}", "faint", "middle"))
    for place, (row, ours, theirs) in enumerate(lines):
        y = DOT_TOP + place * DOT_STEP + DOT_STEP / 2
        variant = ours.removeprefix("corewire").removeprefix("-")
        name = f"{row.name}, {variant}" if variant else row.name
        parts.append(text(16, y + 4, name))
        compared = tables.COMPARED[row.compare]
        parts.append(text(DOT_LEFT - 14, y + 4, compared, "faint", "end"))
        for their, one in sorted(theirs.items(), key=lambda item: role(item[0]) == "uws"):
            if not tables.is_ours(their):
                parts += mark(their, one, across, y)
    return svg("corewire divided by each of the others", bottom + 28, parts)


def mark(name: str, one, across, y: float) -> list[str]:
    kind = role(name)
    x = across(one.median)
    title = f"<title>{escape(name)}: {tables.interval(one)}</title>"
    if kind == "floor":
        corner = f'x="{x - 4:.1f}" y="{y - 4:.1f}"'
        return [f'<rect class="floor" {corner} width="8" height="8">{title}</rect>']
    if kind == "theirs":
        return [f'<circle class="theirs" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{title}</circle>']
    return [
        line(across(one.low), y, across(one.high), y, "interval"),
        f'<path class="uws" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z">{title}</path>',
    ]


def legend(y: float) -> list[str]:
    return [
        f'<path class="uws" d="M22 {y - 10}l6 6l-6 6l-6 -6z"/>',
        text(34, y, "uWebSockets, with the 95 % interval"),
        f'<rect class="floor" x="286" y="{y - 8}" width="8" height="8"/>',
        text(302, y, "raw TCP, the floor"),
        f'<circle class="theirs" cx="440" cy="{y - 4}" r="3.5"/>',
        text(452, y, "the others, in the order of the tables below"),
    ]
