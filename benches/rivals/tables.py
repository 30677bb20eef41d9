"""The figures of a row as a table, for the terminal and for docs/benchmarks.md."""

from dataclasses import dataclass

import figures
from definitions import OURS, Row
from figures import Chosen, Ratio
from records import Run

# A CPU is full from this share on.
FULL = 0.95

# What a column is called and the unit it is shown in, as a divisor of what the CSV has.
HEADS = {
    "per_second": ("per second", 1),
    "server_ns": ("server CPU, ns", 1),
    "generator_ns": ("generator, ns", 1),
    "p50_ns": ("p50, µs", 1000),
    "p99_ns": ("p99, µs", 1000),
    "p99_9_ns": ("p99.9, µs", 1000),
    "reply_bytes": ("bytes a reply", 1),
    "rss_bytes": ("resident, B", 1),
    "private_bytes": ("private, B", 1),
}
# What is judged by, in words.
COMPARED = {
    "server_ns": "server CPU",
    "p50_ns": "p50",
    "p99_ns": "p99",
    "p99_9_ns": "p99.9",
    "rss_bytes": "resident memory",
}


@dataclass(frozen=True)
class Verdict:
    """A goal and what became of it."""

    row: Row
    ours: str
    than: str
    at_most: float
    ratio: Ratio

    # What two builds of the same source may differ by.
    TOLERANCE = 0.03

    def met(self) -> bool:
        within = self.ratio.median <= self.at_most * (1 + self.TOLERANCE)
        return within and self.ratio.low <= self.at_most

    def word(self) -> str:
        word = "met" if self.met() else "missed"
        return word if self.ratio.quiet else f"{word}, rough"


def chosen(runs: list[Run]) -> dict[str, Chosen]:
    found = {name: figures.choose(of) for name, of in figures.by_server(runs).items()}
    return {name: one for name, one in found.items() if one}


def ranked(row: Row, runs: list[Run]) -> list[tuple[str, Chosen]]:
    """The servers with a result, the best first."""
    return sorted(chosen(runs).items(), key=lambda item: item[1].median(row.compare))


def ratios(row: Row, runs: list[Run]) -> dict[str, dict[str, Ratio]]:
    """Ours / theirs by our server and theirs, for those of ours that have runs."""
    grouped = figures.by_server(runs)
    found = {}
    for ours in (name for name in row.ours if name in grouped):
        found[ours] = {}
        for theirs in (name for name in grouped if name != ours):
            one = figures.ratio(grouped[ours], grouped[theirs], row.compare)
            if one:
                found[ours][theirs] = one
    return found


def verdicts(row: Row, runs: list[Run]) -> list[Verdict]:
    found = ratios(row, runs)
    return [
        Verdict(row, goal.ours, goal.than, goal.at_most, found[goal.ours][goal.than])
        for goal in row.goals
        if goal.than in found.get(goal.ours, {})
    ]


def losses(row: Row, runs: list[Run]) -> list[tuple[str, str, Ratio]]:
    """Who is ahead of whom of ours for sure: the whole interval is above 1."""
    return [
        (ours, theirs, one)
        for ours, ratios_of_ours in ratios(row, runs).items()
        for theirs, one in ratios_of_ours.items()
        if not is_ours(theirs) and one.low > 1
    ]


def table(row: Row, runs: list[Run]) -> list[list[str]]:
    """The cells of a row's table, the heads first."""
    shown = [name for name in HEADS if tells(name, chosen(runs))]
    found = ratios(row, runs)
    rows = [["server", *(HEADS[name][0] for name in shown)]]
    rows[0] += [f"{ours} / it" for ours in found] + ["rounds", "foreign"]
    for name, one in ranked(row, runs):
        cells = [name, *(number(one.median(column) / HEADS[column][1]) for column in shown)]
        cells += [interval(of.get(name)) for of in found.values()]
        cells += [f"{len(one.runs)} of {one.of}", foreign(one)]
        rows.append(cells)
    for name, of in figures.by_server(runs).items():
        if all(run.error for run in of):
            blank = [""] * (len(rows[0]) - 2)
            rows.append([name, *blank, "no result"])
    return rows


def tells(column: str, servers: dict[str, Chosen]) -> bool:
    """Whether the runs have this column, and it is not the same for all."""
    if any(column not in run.figures for one in servers.values() for run in one.runs):
        return False
    return len(servers) == 1 or len({one.median(column) for one in servers.values()}) > 1


def remarks(row: Row, runs: list[Run]) -> list[str]:
    """What a reader of the table has to know besides."""
    said = []
    limited = [f"`{name}`" for name, one in chosen(runs).items() if generator_is_full(one)]
    if limited:
        # In an open loop the rate is given.
        so = "round trips hold the generator's own time" if row.load else "the rate is the generator's"
        said.append(
            f"{', '.join(limited)}: the generator's CPU was full and the server's was not, so {so}."
        )
    for name, of in figures.by_server(runs).items():
        failed = [run for run in of if run.error]
        if failed:
            rounds = "round" if len(failed) == 1 else "rounds"
            said.append(f"`{name}` had no result in {len(failed)} {rounds}: {failed[0].error}.")
    return said


def generator_is_full(one: Chosen) -> bool:
    """Whether it was, while the server could have done more."""
    if any("server_cpu" not in run.figures for run in one.runs):
        return False
    return one.median("generator_cpu") >= FULL > one.median("server_cpu")


def foreign(one: Chosen) -> str:
    if any("foreign" not in run.figures for run in one.runs):
        return ""
    share = f"{one.median('foreign'):.2f}"
    return share if one.quiet else f"{share} **rough**"


def interval(one: Ratio | None) -> str:
    if not one:
        return ""
    return f"{ratio(one.median)} ({ratio(one.low)} to {ratio(one.high)})"


def ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def number(value: float) -> str:
    """With three digits at least, and thousands set apart."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def is_ours(name: str) -> bool:
    return name == OURS or name.startswith(f"{OURS}-")


def terminal(rows: list[list[str]]) -> str:
    rows = [[cell.replace("**", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *(["---:"] * (len(head) - 1))]]
    for row in body:
        first = f"**{row[0]}**" if is_ours(row[0]) else row[0]
        lines.append([first, *row[1:]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
