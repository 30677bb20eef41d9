"""docs/benchmarks.md: what is between its markers, and the plots beside it, from a record."""

import re
from collections.abc import Iterable
from pathlib import Path

import plots
import records
import tables
from definitions import ROOT, Definitions, NoResult, Row
from records import Run

DOCUMENT = ROOT / "docs/benchmarks.md"
PLOTS = ROOT / "docs/benchmarks"
BLOCK = re.compile(
    r"(<!-- begin: (\w+); benches/rivals/run writes it -->\n).*?(<!-- end -->)", re.S
)


def update(definitions: Definitions) -> list[Path]:
    """Writes what differs. Returns it."""
    changed = []
    for path, content in expected(definitions).items():
        if not path.exists() or path.read_text() != content:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            changed.append(path)
    for path in strangers(definitions):
        path.unlink()
        changed.append(path)
    return changed


def differing(definitions: Definitions) -> list[Path]:
    """The files that are not what the newest record generates."""
    files = expected(definitions).items()
    behind = [path for path, text in files if not path.exists() or path.read_text() != text]
    return behind + strangers(definitions)


def strangers(definitions: Definitions) -> list[Path]:
    """Plots that no row of the record has."""
    known = expected(definitions)
    return [path for path in sorted(PLOTS.glob("*.svg")) if path not in known]


def expected(definitions: Definitions) -> dict[Path, str]:
    folder = records.newest()
    if folder is None:
        raise NoResult("benches/record is empty: `make rivals` writes it")
    described = records.described(folder)
    results = [(row, runs) for row in definitions.rows if (runs := records.read(folder, row))]
    blocks = {
        "machine": machine(folder, described),
        "servers": servers(definitions, results),
        "overview": overview(results),
        "losses": losses(results),
        "rows": "\n".join(section(row, runs, described) for row, runs in results),
    }
    text = DOCUMENT.read_text()
    named = {name for _, name, _ in BLOCK.findall(text)}
    if named != set(blocks):
        raise NoResult(f"docs/benchmarks.md has the blocks {named} instead of {set(blocks)}")
    files = {DOCUMENT: BLOCK.sub(lambda found: found[1] + blocks[found[2]] + found[3], text)}
    files[PLOTS / "overview.svg"] = plots.overview(results)
    for row, runs in results:
        files[PLOTS / f"{row.name}.svg"] = plots.bars(row, runs)
    return files


def machine(folder: Path, described: dict) -> str:
    of, run, tools = described["machine"], described["run"], described["tools"]
    rows = grouped((how, row) for row, how in described["measured"].items())
    return "".join(
        f"- {line}\n"
        for line in (
            f"Record: [`{folder.relative_to(ROOT)}`](../{folder.relative_to(ROOT)}), every run a line.",
            *(f"Taken by {how}: {', '.join(names)}." for how, names in rows.items()),
            f"Machine: {of['cpus']} CPUs, {of['cpu']}, {of['memory_gib']} GiB; {of['system']}, Linux "
            f"{of['kernel']}, {of['congestion_control']}.",
            f"Rounds: {run['rounds']} of {run['seconds']:g} s after {run['warmup']:g} s of warm-up.",
            f"Tools: {', '.join(tools.values())}.",
        )
    )


def servers(definitions: Definitions, results: list[tuple[Row, list[Run]]]) -> str:
    lines = [["server", "version", "what"], ["---"] * 3]
    for server in definitions.servers:
        versions = grouped(
            (run.version, row.name) for row, runs in results for run in runs if run.server == server.name
        )
        if versions:
            lines.append([server.name, told(versions), server.what])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def told(versions: dict[str, list[str]]) -> str:
    """Which version was in which rows; of a single one that goes without saying."""
    if len(versions) == 1:
        return next(iter(versions))
    return "; ".join(f"{one} in {', '.join(rows)}" for one, rows in versions.items())


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What goes with each of the first ones, each once."""
    found: dict[str, dict[str, None]] = {}
    for first, second in pairs:
        found.setdefault(first, {})[second] = None
    return {first: list(seconds) for first, seconds in found.items()}


def overview(results: list[tuple[Row, list[Run]]]) -> str:
    text = "![corewire divided by each of the others](benchmarks/overview.svg)\n\n"
    text += "| row | compared | ours | than | ratio (95 % interval) | goal | |\n"
    text += "| --- | --- | --- | --- | ---: | ---: | --- |\n"
    for row, runs in results:
        for one in tables.verdicts(row, runs):
            text += (
                f"| {row.name} | {tables.COMPARED[row.compare]} | {one.ours} | {one.than} "
                f"| {tables.interval(one.ratio)} | {one.at_most:.2f} | {one.word()} |\n"
            )
    return text


def losses(results: list[tuple[Row, list[Run]]]) -> str:
    lines = [
        f"| {row.name} | {tables.COMPARED[row.compare]} | {ours} | {theirs} | {tables.interval(ratio)} |\n"
        for row, runs in results
        for ours, theirs, ratio in tables.losses(row, runs)
    ]
    if not lines:
        return "In this record nobody is ahead of ours with the whole interval above 1.\n"
    head = "| row | compared | ours | behind | ratio (95 % interval) |\n| --- | --- | --- | --- | ---: |\n"
    return head + "".join(lines)


def section(row: Row, runs: list[Run], described: dict) -> str:
    command = described["commands"][row.name]
    text = f"### {row.title}\n\n```sh\nmake rivals ROWS={row.name}\n{command}\n```\n\n"
    text += f"{row.about}\n\n![{row.title}](benchmarks/{row.name}.svg)\n\n"
    text += tables.markdown(tables.table(row, runs))
    remarks = tables.remarks(row, runs)
    return text + ("\n" + "".join(f"- {one}\n" for one in remarks) if remarks else "")
