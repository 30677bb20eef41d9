"""Judges the reports of a run, more strictly than the suite does.

A case passes if the suite says OK of both the peer's behaviour and its closing. INFORMATIONAL, the
suite's word for no verdict, is accepted only of the cases in `informational.txt`. Everything else
is a failure: NON-STRICT, UNCLEAN, WRONG CODE, UNIMPLEMENTED, and a case that did not run.
"""

import html
import json
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).resolve().parent

# The name by which the reports know corewire.
AGENT = "corewire"

FAILURES_SHOWN = 40


@dataclass
class Verdict:
    case: str
    passed: bool
    informational: bool
    # What the suite wrote about the case, and None if it did not run.
    report: dict | None


def judge(reports: Path, cases: list[str]) -> list[Verdict]:
    """Returns a verdict on each of the cases, from what the suite reported."""
    index = reports / "index.json"
    ran = json.loads(index.read_text()).get(AGENT, {}) if index.exists() else {}
    accepted_without_verdict = informational_cases()

    def verdict(case: str) -> Verdict:
        if case not in ran:
            return Verdict(case, passed=False, informational=False, report=None)
        report = json.loads((reports / ran[case]["reportfile"]).read_text())
        words = {report["behavior"], report["behaviorClose"]}
        informational = "INFORMATIONAL" in words
        if case in accepted_without_verdict:
            words.discard("INFORMATIONAL")
        return Verdict(case, words <= {"OK"}, informational, report)

    return [verdict(case) for case in cases]


def informational_cases() -> set[str]:
    lines = (HERE / "informational.txt").read_text().splitlines()
    return {words[0] for line in lines if (words := line.partition("#")[0].split())}


def groups(verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
    """Returns the verdicts by group: the number before a case's first dot."""

    def group(verdict: Verdict) -> str:
        return verdict.case.partition(".")[0]

    return {number: list(members) for number, members in groupby(verdicts, group)}


def count(verdicts: list[Verdict]) -> str:
    """Returns how many of the verdicts are a pass, such as "37 of 37, 3 informational"."""
    informational = sum(verdict.informational for verdict in verdicts)
    suffix = f", {informational} informational" if informational else ""
    return count_passed(verdicts) + suffix


def count_passed(verdicts: list[Verdict]) -> str:
    return f"{sum(verdict.passed for verdict in verdicts)} of {len(verdicts)}"


def explain(failures: list[Verdict]) -> str:
    """Returns what the suite expected of each failed case and what it saw, and what did not run."""
    ran = [failure.report for failure in failures if failure.report]
    lines = [line for report in ran[:FAILURES_SHOWN] for line in explain_report(report)]
    if len(ran) > FAILURES_SHOWN:
        lines.append(f"FAILED: {len(ran) - FAILURES_SHOWN} further cases")
    if missing := [failure.case for failure in failures if not failure.report]:
        lines.append(f"FAILED: did not run ({len(missing)}): {shorten(', '.join(missing))}")
    return "\n".join(lines)


def explain_report(report: dict) -> list[str]:
    wanted = report["expected"].get("OK")
    return [
        f"FAILED {report['id']}: {report['behavior']}, close {report['behaviorClose']}",
        f"    expected  {plain(report['expectation'])}",
        f"    wanted    {shorten(json.dumps(wanted))}",
        f"    received  {shorten(json.dumps(report['received']))}",
        f"    result    {shorten(plain(report['result']))}",
        f"    close     {plain(report['resultClose'])}",
    ]


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", markup)).split())


def shorten(line: str, length: int = 200) -> str:
    return line if len(line) <= length else f"{line[:length]} ..."


def table(titles: dict[str, str], by_role: dict[str, list[Verdict]]) -> str:
    """Returns a Markdown table of the groups, with a column for each role."""
    columns = {role: {**groups(verdicts), "all": verdicts} for role, verdicts in by_role.items()}
    rows = [
        ["Group", "Title", *(f"As the {role}" for role in columns)],
        ["---:", "---", *("---" for _ in columns)],
    ]
    for group in next(iter(columns.values())):
        counts = [count(column[group]) for column in columns.values()]
        rows.append([group, titles.get(group, ""), *counts])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
