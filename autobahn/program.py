"""The programs that a run starts. Each logs to a file, and none outlives the run's deadline."""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 10


class Failure(Exception):
    """A program did not do its part, so the run fails whatever the cases say."""


class OutOfTime(Exception):
    """The deadline of the run has passed."""


class Program:
    """A program with its output in a log file. The end of the `with` block ends it, if need be."""

    def __init__(self, command: list[str], log: Path, deadline: float):
        self.name = Path(command[0]).name
        self.log = log
        self.deadline = deadline
        try:
            with log.open("w") as output:
                self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            raise Failure(f"{command[0]} could not be started: {error.strerror}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(Failure):
            self.stop()
        self.process.kill()
        self.process.wait()

    def wait_for(self, pattern: str) -> str:
        """Returns the first match of the pattern in the program's output."""
        while time.monotonic() < self.deadline:
            ended = self.process.poll() is not None
            if match := re.search(pattern, self.log.read_text(errors="replace")):
                return match[0]
            if ended:
                raise Failure(f"{self.name} ended before it was ready; see {self.log}")
            time.sleep(0.05)
        raise OutOfTime

    def finish(self) -> None:
        """Waits until the program ends by itself, which it has to do with exit code 0."""
        try:
            self.process.wait(max(0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise OutOfTime from None
        self.check_exit_code()

    def stop(self) -> None:
        """Asks the program to end, which it has to do soon and with exit code 0."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} ran on for {STOP_SECONDS} seconds after SIGTERM") from None
        self.check_exit_code()

    def check_exit_code(self) -> None:
        if code := self.process.returncode:
            raise Failure(f"{self.name} ended with exit code {code}; see {self.log}")
