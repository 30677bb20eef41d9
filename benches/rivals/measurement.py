"""One run: a fresh server on its CPUs, the generator on the last one."""

import json
import re
import selectors
import socket
import subprocess
import time
from contextlib import contextmanager

from definitions import ROOT, Definitions, Kind, NoResult, Row, Server, filled

GENERATOR_CPU = "1"
COREWIRE = "target/release/corewire"
READY_SECONDS = 10
STOP_SECONDS = 10
# Far beyond any run: a generator that hangs must not hang all the others' runs.
RUN_SECONDS_MAX = 120


def build(definitions: Definitions, servers: list[Server]) -> None:
    """Builds what the servers need, and the generator."""
    names = ["corewire", *dict.fromkeys(server.build for server in servers)]
    for name in dict.fromkeys(names):
        command = filled(definitions.builds[name].command)
        print(f"building {name}: {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            raise NoResult(f"{name} cannot be built")


@contextmanager
def running(server: Server):
    """The server on a port of its choice: its address and its process id."""
    port = free_port()
    command = ["taskset", "-c", server.cpus, *filled(server.start, port=port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        at = listening(port, server) if server.is_given_a_port() else address(process, server)
        yield at, process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listening(port: int, server: Server) -> str:
    """The address of the port, once somebody accepts there."""
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return f"127.0.0.1:{port}"
        except OSError:
            if time.monotonic() > until:
                raise NoResult(f"{server.name} was not ready after {READY_SECONDS} s") from None
            time.sleep(0.02)


def address(process: subprocess.Popen, server: Server) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(READY_SECONDS):
            raise NoResult(f"{server.name} was not ready after {READY_SECONDS} s")
    line = process.stdout.readline()
    found = re.search(r"\d+\.\d+\.\d+\.\d+:\d+", line)
    if not found:
        raise NoResult(f"{server.name} printed no address but {line!r}")
    return found.group()


def command(row: Row, server: Server, url: str, times: dict, rate: int | None) -> list[str]:
    """The generator's command line for this row and server, without the pid."""
    arguments = filled(row.bench, url=url, rate=rate)
    arguments += server.arguments.get(row.kind, ())
    if row.kind != "idle":
        arguments += [word for key, value in times.items() for word in (f"--{key}", f"{value:g}")]
    return [COREWIRE, "bench", *arguments]


def measure(row: Row, server: Server, kind: Kind, times: dict, rate: int | None) -> dict:
    """The columns of one run, all as numbers."""
    with running(server) as (at, pid):
        words = command(row, server, server.url(at), times, rate)
        words = ["taskset", "-c", GENERATOR_CPU, *words, "--server-pid", str(pid), "--json"]
        try:
            done = subprocess.run(
                words, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
            )
        except subprocess.TimeoutExpired:
            raise NoResult(f"no end after {RUN_SECONDS_MAX} s: {' '.join(words)}") from None
    if done.returncode != 0:
        said = done.stderr.strip().split("\n")[0]
        raise NoResult(said or f"exit code {done.returncode}")
    report = json.loads(done.stdout)
    verify(report, kind, row.compare)
    return {name: at_path(report, path) for name, path in kind.columns.items()}


def verify(report: dict, kind: Kind, compare: str) -> None:
    """The generator ends with an error when a message is wrong or missing. This asks again.

    What is compared must be more than nothing, too: a server that was kept from its CPU the whole
    time has used none of it.
    """
    for path in (*kind.positive, kind.columns[compare]):
        if not at_path(report, path) > 0:
            raise NoResult(f"{path} is {at_path(report, path)}: nothing was measured")
    for path in kind.whole:
        if at_path(report, path) != 1:
            raise NoResult(f"{path} is {at_path(report, path)} instead of 1: something is missing")


def at_path(report: dict, path: str) -> float:
    for key in path.split("/"):
        report = report[key]
    return report
