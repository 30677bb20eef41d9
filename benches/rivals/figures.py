"""What runs amount to: medians, paired ratios and how sure they are.

Runs are compared within a round only, where both servers met the same machine minutes apart at
most. The median of those ratios is what is claimed, and its 95 % interval is that of the sign test:
exact for any distribution, with nothing assumed and nothing drawn at random.
"""

import statistics
from dataclasses import dataclass
from math import comb

from records import Run

# A run is quiet when others used at most this share of the machine's CPUs.
FOREIGN_MAX = 0.06
# With fewer quiet rounds than this all are used, and marked.
QUIET_ROUNDS_MIN = 3
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Chosen:
    """The runs of one server that count."""

    runs: list[Run]
    quiet: bool
    # How many there were.
    of: int

    def median(self, column: str) -> float:
        return statistics.median(run.figures[column] for run in self.runs)

    def values(self, column: str) -> list[float]:
        return [run.figures[column] for run in self.runs]


@dataclass(frozen=True)
class Ratio:
    """Ours divided by theirs, round by round."""

    median: float
    low: float
    high: float
    # The probability that the interval holds the true median: 0.95 or more from 6 pairs on.
    confidence: float
    pairs: int
    quiet: bool


def is_quiet(run: Run) -> bool:
    return run.figures.get("foreign", 0.0) <= FOREIGN_MAX


def choose(runs: list[Run]) -> Chosen | None:
    """The quiet runs of a server, or all if there are too few. None: it has no result at all."""
    good = [run for run in runs if not run.error]
    quiet = [run for run in good if is_quiet(run)]
    enough = len(quiet) >= QUIET_ROUNDS_MIN
    return Chosen(quiet if enough else good, enough, len(runs)) if good else None


def by_server(runs: list[Run]) -> dict[str, list[Run]]:
    grouped = {}
    for run in runs:
        grouped.setdefault(run.server, []).append(run)
    return grouped


def ratio(ours: list[Run], theirs: list[Run], column: str) -> Ratio | None:
    """Ours / theirs over the rounds that both have, the quiet ones if there are enough."""
    of_round = {run.round: run for run in theirs if not run.error}
    pairs = [(run, of_round[run.round]) for run in ours if not run.error and run.round in of_round]
    quiet = [pair for pair in pairs if all(is_quiet(run) for run in pair)]
    enough = len(quiet) >= QUIET_ROUNDS_MIN
    used = quiet if enough else pairs
    if not used:
        return None
    ratios = [our.figures[column] / their.figures[column] for our, their in used]
    low, high, confidence = interval(ratios)
    return Ratio(statistics.median(ratios), low, high, confidence, len(ratios), enough)


def interval(values: list[float]) -> tuple[float, float, float]:
    """The narrowest sign-test interval of the median with the wanted confidence, and what it has.

    With so few values that none has it, all of them are the interval.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside = 0
    while outside + 1 < (count + 1) // 2 and confidence(count, outside + 1) >= CONFIDENCE:
        outside += 1
    return ordered[outside], ordered[count - 1 - outside], confidence(count, outside)


def confidence(count: int, outside: int) -> float:
    """That the median is between the values of which `outside` are beyond, on either side."""
    return 1 - 2 * sum(comb(count, k) for k in range(outside + 1)) / 2**count
