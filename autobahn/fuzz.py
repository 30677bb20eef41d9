"""The fuzzing side of a run: what `run` starts with the Python of the converted suite.

    fuzz.py catalogue      prints the suite's version, groups and cases as JSON
    fuzz.py client SPEC    tests the server that the suite's specification, a JSON file, names
    fuzz.py server SPEC    prints its address, then tests the client that connects, until SIGTERM
"""

import json
import socket
import sys
from pathlib import Path

import txaio

txaio.use_twisted()

import autobahntestsuite
from autobahntestsuite import case, fuzzing
from autobahntestsuite.caseset import CaseSet
from twisted.internet import reactor
from twisted.python import log


def print_catalogue() -> None:
    suite = CaseSet(case.CaseSetname, case.CaseBasename, case.Cases, {}, {})
    catalogue = {
        "version": autobahntestsuite.version,
        "groups": case.CaseCategories,
        "cases": list(suite.CasesById),
    }
    json.dump(catalogue, sys.stdout, indent=1)


def listen(spec: dict) -> fuzzing.FuzzingServerFactory:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    factory = fuzzing.FuzzingServerFactory({**spec, "url": url})
    reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
    listener.close()  # The reactor has its own copy.
    print(f"listening on {url}")
    return factory


def fuzz(role: str, spec: dict) -> None:
    log.startLogging(sys.stdout)
    factory = fuzzing.FuzzingClientFactory(spec) if role == "client" else listen(spec)

    def report_what_ran() -> None:
        if not Path(spec["outdir"], "index.json").exists():
            factory.createReports()

    # A run that is stopped early still tells what it found.
    reactor.addSystemEventTrigger("before", "shutdown", report_what_ran)
    reactor.run()


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "catalogue":
        print_catalogue()
    else:
        fuzz(role, json.loads(Path(arguments[0]).read_text()))
