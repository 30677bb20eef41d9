"""The record of a `make rivals`: a CSV file for each row, a line for each run, and machine.toml.

A record is a folder named after its day. It holds every figure that docs/benchmarks.md shows, and
those of the runs that were dropped.
"""

import csv
import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from definitions import ROOT, NoResult, Row, Server

RECORDS = ROOT / "benches/record"
MACHINE = "machine.toml"
# What every line has before the columns of its kind, and behind them.
FIRST, LAST = ("server", "version", "round"), "error"


@dataclass(frozen=True)
class Run:
    server: str
    version: str
    round: int
    figures: dict[str, float]
    # Why there are no figures.
    error: str = ""


def newest() -> Path | None:
    folders = sorted(one for one in RECORDS.glob("*") if (one / MACHINE).exists())
    return folders[-1] if folders else None


def write(folder: Path, row: Row, columns: list[str], runs: list[Run]) -> None:
    with (folder / f"{row.name}.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*FIRST, *columns, LAST])
        for run in runs:
            figures = [f"{run.figures[name]:.6g}" if run.figures else "" for name in columns]
            out.writerow([run.server, run.version, run.round, *figures, run.error])


def keep(measured: Path, record: Path, whole: bool) -> None:
    """Moves what was measured into a record: in place of all its rows, or of those of the same name."""
    record.mkdir(parents=True, exist_ok=True)
    if whole:
        for old in record.glob("*.csv"):
            old.unlink()
    for one in sorted(measured.glob("*.csv")):
        shutil.move(one, record / one.name)


def read(folder: Path, row: Row) -> list[Run]:
    """The runs of a row; none if the record has no such row."""
    path = folder / f"{row.name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [run(line) for line in csv.DictReader(file)]


def run(line: dict[str, str]) -> Run:
    name, of, number, error = (line.pop(key) for key in (*FIRST, LAST))
    figures = {} if error else {key: float(value) for key, value in line.items()}
    return Run(name, of, int(number), figures, error)


def describe(folder: Path, servers: list[Server], run: dict, commands: dict[str, str]) -> None:
    """Writes machine.toml: on what and how the figures were taken. Of what, each of their lines says."""
    lengths = {name: run[name] for name in ("rounds", "seconds", "warmup")}
    tables = {
        "run": lengths,
        "machine": machine(),
        "tools": tools(servers),
        "measured": dict.fromkeys(commands, measured(run)),
        "commands": commands,
    }
    store(folder, tables)


def add(folder: Path, servers: list[Server], run: dict, commands: dict[str, str]) -> None:
    """Says in machine.toml by what some of the rows were measured anew; the rest stays."""
    tables = described(folder)
    tables["tools"] |= tools(servers)
    tables["measured"] |= dict.fromkeys(commands, measured(run))
    tables["commands"] |= commands
    store(folder, tables)


def fits(folder: Path, servers: list[Server]) -> None:
    """Fails if what is measured now could not stand beside what the record has."""
    before = described(folder)
    here, theirs = machine() | tools(servers), before["machine"] | before["tools"]
    other = [name for name, value in here.items() if theirs.get(name, value) != value]
    if other:
        words = ", ".join(f"{name} {theirs[name]!r} there, {here[name]!r} here" for name in other)
        raise NoResult(f"--add: the record {folder.name} is of another machine: {words}; measure all rows")


def measured(run: dict) -> str:
    return f"`{run['command']}` on {run['date']}, {run['minutes']:g} minutes"


def store(folder: Path, tables: dict) -> None:
    with (folder / MACHINE).open("w") as file:
        file.write("# On what and how the figures beside this file were taken.\n")
        for name, table in tables.items():
            file.write(f"\n[{name}]\n")
            # A JSON string or number is one of TOML as well.
            file.writelines(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())


def described(folder: Path) -> dict:
    return tomllib.loads((folder / MACHINE).read_text())


def machine() -> dict:
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / (1 << 20)) if memory else 0,
        # Without what its builder calls it.
        "kernel": platform.release().split("-")[0],
        "system": system(),
        "congestion_control": setting("net/ipv4/tcp_congestion_control"),
    }


def system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def setting(name: str) -> str:
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else "unknown"


def tools(servers: list[Server]) -> dict:
    commands = {"rustc": ["rustc", "--version"]}
    builds = {server.build for server in servers}
    if "ws" in builds:
        commands["node"] = ["node", "--version"]
    if "uws" in builds:
        commands["gcc"] = ["g++", "--version"]
    return {name: first_line(command) for name, command in commands.items()}


def first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
