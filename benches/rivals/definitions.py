"""rivals.toml and rows.toml: who is measured, and what."""

import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

OURS = "corewire"


class NoResult(Exception):
    """There is nothing to show, and why."""


@dataclass(frozen=True)
class Build:
    name: str
    command: tuple[str, ...]
    needs: str | None = None

    def possible(self) -> bool:
        return self.needs is None or bool(os.environ.get(self.needs))


@dataclass(frozen=True)
class Server:
    name: str
    build: str
    start: tuple[str, ...]
    rows: tuple[str, ...]
    version: dict
    what: str
    scheme: str = "ws"
    path: str = "/"
    arguments: dict = field(default_factory=dict)
    skips_every: int = 0
    # The list of CPUs that it may use, as `taskset -c` takes it.
    cpus: str = "0"

    def ours(self) -> bool:
        return self.build == OURS

    def is_given_a_port(self) -> bool:
        return any("{port}" in word for word in self.start)

    def runs_in(self, row: "Row", round_number: int) -> bool:
        """Whether it takes part in a row's round; rounds count from 0."""
        skipped = self.skips_every and round_number % self.skips_every == self.skips_every - 1
        return not skipped and any(fnmatchcase(row.name, pattern) for pattern in self.rows)

    def url(self, address: str) -> str:
        return f"{self.scheme}://{address}{'' if self.scheme == 'tcp' else self.path}"


@dataclass(frozen=True)
class Goal:
    than: str
    at_most: float
    ours: str = OURS


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    about: str
    bench: tuple[str, ...]
    compare: str
    ours: tuple[str, ...] = (OURS,)
    goals: tuple[Goal, ...] = ()
    rounds: int | None = None
    load: dict | None = None

    @property
    def kind(self) -> str:
        return self.bench[0]


@dataclass(frozen=True)
class Kind:
    columns: dict[str, str]
    positive: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definitions:
    builds: dict[str, Build]
    servers: list[Server]
    kinds: dict[str, Kind]
    rows: list[Row]

    def row(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise NoResult(f"no row is called {name}: {', '.join(row.name for row in self.rows)}")

    def chosen(self, patterns: list[str]) -> list[Row]:
        """The rows that match any of the patterns; a pattern without a row is a mistake."""
        for pattern in patterns:
            if not any(fnmatchcase(row.name, pattern) for row in self.rows):
                self.row(pattern)
        return [row for row in self.rows if any(fnmatchcase(row.name, one) for one in patterns)]

    def available(self) -> list[Server]:
        return [server for server in self.servers if self.builds[server.build].possible()]

    def server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)

    def taking_part(self, rows: list[Row], patterns: list[str]) -> list[Server]:
        """The servers in these rows that match any of the patterns; each must match one."""
        matching = {
            pattern: [
                server
                for server in self.available()
                if fnmatchcase(server.name, pattern) and any(server.runs_in(row, 0) for row in rows)
            ]
            for pattern in patterns
        }
        for pattern, servers in matching.items():
            if not servers:
                raise NoResult(self.why_none(rows, pattern))
        return [server for server in self.servers if any(server in of for of in matching.values())]

    def why_none(self, rows: list[Row], pattern: str) -> str:
        """Why no server of this name takes part, and what would help."""
        called = [server for server in self.servers if fnmatchcase(server.name, pattern)]
        if not called:
            names = ", ".join(server.name for server in self.servers)
            return f"no server is called {pattern}: {names}"
        if not any(server.runs_in(row, 0) for server in called for row in rows):
            return f"{pattern} is not in {', '.join(row.name for row in rows)}"
        needed = {self.builds[server.build].needs for server in called} - {None}
        return f"{pattern} is built from a source of your own: set {', '.join(sorted(needed))}"


def load() -> Definitions:
    rivals = tomllib.loads((HERE / "rivals.toml").read_text())
    rows = tomllib.loads((HERE / "rows.toml").read_text())
    definitions = Definitions(
        builds={name: Build(name, **frozen(one)) for name, one in rivals["build"].items()},
        servers=[Server(**frozen(one)) for one in rivals["server"]],
        kinds={name: Kind(**frozen(one)) for name, one in rows["kind"].items()},
        rows=[
            Row(**frozen(one) | {"goals": tuple(Goal(**goal) for goal in one.get("goals", []))})
            for one in rows["row"]
        ],
    )
    check(definitions)
    return definitions


def frozen(table: dict) -> dict:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in table.items()}


def check(definitions: Definitions) -> None:
    """Finds what would otherwise go unmeasured without a word: a name that nothing bears."""
    names = {server.name for server in definitions.servers}
    for server in definitions.servers:
        assert server.build in definitions.builds, f"{server.name}: no build is {server.build}"
        for kind in server.arguments:
            assert kind in definitions.kinds, f"{server.name}: no kind is {kind}"
        for pattern in server.rows:
            found = any(fnmatchcase(row.name, pattern) for row in definitions.rows)
            assert found, f"{server.name}: no row matches {pattern}"
    for row in definitions.rows:
        assert row.kind in definitions.kinds, f"{row.name}: no kind is {row.kind}"
        assert row.compare in definitions.kinds[row.kind].columns, f"{row.name}: {row.compare}"
        for name in (*row.ours, *(g.than for g in row.goals), *(g.ours for g in row.goals)):
            assert name in names, f"{row.name}: no server is {name}"


def filled(words: tuple[str, ...], **values) -> list[str]:
    return [word.format_map({**os.environ, **values}) for word in words]


def version(server: Server) -> str:
    """The version that is measured: of the sources, of a lock file, or what the program says."""
    if "commits" in server.version:
        return " + ".join(commit(folder) for folder in filled(server.version["commits"]))
    if "says" in server.version:
        done = subprocess.run(server.version["says"], capture_output=True, text=True)
        found = re.search(r"\d+(\.\d+)+", done.stdout)
        return found.group() if found else "unknown"
    lock, package = ROOT / server.version["lock"], server.version["package"]
    if lock.suffix == ".json":
        return json.loads(lock.read_text())["packages"][f"node_modules/{package}"]["version"]
    packages = tomllib.loads(lock.read_text())["package"]
    return next(one["version"] for one in packages if one["name"] == package)


# What a measurement itself writes: it changes nothing that is measured.
WRITTEN = ("benches/record", "docs/benchmarks.md", "docs/benchmarks")


def commit(folder: str) -> str:
    """The commit that a folder is at, with the last tag before it; `-dirty` if it was changed."""
    but = [f":(exclude,top){path}" for path in WRITTEN]
    at = git(folder, "describe", "--tags", "--always")
    changed = git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", *but)
    if at is None or changed is None:
        return "unknown"
    return f"{at}-dirty" if changed else at


def git(folder: str, *words: str) -> str | None:
    """What git says of a folder; None if it has nothing to say."""
    done = subprocess.run(["git", "-C", str(ROOT / folder), *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
