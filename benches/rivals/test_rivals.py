"""What decides which figures are shown, and that a wrong one is not."""

import importlib.machinery
import importlib.util
import io
import math
import subprocess
import tempfile
import unittest
from argparse import Namespace
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from unittest import mock

import definitions
import document
import figures
import measurement
import records
import tables
from definitions import Build, Definitions, Goal, Kind, NoResult, Row, Server
from records import Run

# The command has no suffix.
LOADER = importlib.machinery.SourceFileLoader("command", f"{definitions.HERE}/run")
command = importlib.util.module_from_spec(importlib.util.spec_from_loader("command", LOADER))
LOADER.exec_module(command)

ROW = Row(
    name="echo",
    title="Echo",
    about="",
    bench=("echo", "{url}"),
    compare="server_ns",
    goals=(Goal(than="theirs", at_most=1.0),),
)


def run(server, number, server_ns, foreign=0.0, error=""):
    of = {"server_ns": server_ns, "foreign": foreign, "server_cpu": 1.0, "generator_cpu": 0.5}
    return Run(server, "1.0", number, {} if error else of, error)


class Intervals(unittest.TestCase):
    def test_it_is_that_of_the_sign_test(self):
        # Of nine values the second and the eighth: 1 - 2 (1 + 9) / 512.
        low, high, confidence = figures.interval([9, 1, 8, 2, 7, 3, 6, 4, 5])
        self.assertEqual((low, high), (2, 8))
        self.assertTrue(math.isclose(confidence, 0.9609375))

    def test_few_values_are_all_in_it(self):
        self.assertEqual(figures.interval([3, 1, 2]), (1, 3, 0.75))
        self.assertEqual(figures.interval([4]), (4, 4, 0.0))

    def test_six_are_the_first_with_the_confidence(self):
        self.assertLess(figures.interval(range(5))[2], figures.CONFIDENCE)
        self.assertGreaterEqual(figures.interval(range(6))[2], figures.CONFIDENCE)


class Choice(unittest.TestCase):
    def test_disturbed_runs_do_not_count_where_three_quiet_ones_are_left(self):
        quiet = [run("a", number, 100) for number in range(3)]
        chosen = figures.choose([*quiet, run("a", 3, 900, foreign=0.07)])
        self.assertEqual((len(chosen.runs), chosen.of, chosen.quiet), (3, 4, True))

    def test_otherwise_all_count_and_are_marked(self):
        quiet = [run("a", number, 100) for number in range(2)]
        chosen = figures.choose([*quiet, run("a", 3, 900, foreign=0.07)])
        self.assertEqual((len(chosen.runs), chosen.quiet), (3, False))
        self.assertIn("rough", tables.foreign(chosen))

    def test_who_failed_has_no_figures(self):
        self.assertIsNone(figures.choose([run("a", 0, 1, error="a message stayed out")]))


class Ratios(unittest.TestCase):
    def test_they_are_paired_by_round(self):
        # The machine is twice as slow in round 2: the ratio is not.
        ours = [run("ours", 1, 100), run("ours", 2, 200), run("ours", 3, 100)]
        theirs = [run("theirs", 1, 200), run("theirs", 2, 400), run("theirs", 3, 200)]
        ratio = figures.ratio(ours, theirs, "server_ns")
        self.assertEqual((ratio.median, ratio.low, ratio.high, ratio.pairs), (0.5, 0.5, 0.5, 3))

    def test_a_round_needs_both(self):
        ours = [run("ours", 1, 100), run("ours", 2, 100)]
        theirs = [run("theirs", 1, 0, error="gone"), run("theirs", 2, 100)]
        self.assertEqual(figures.ratio(ours, theirs, "server_ns").pairs, 1)

    def test_who_sat_out_a_round_is_paired_with_the_right_ones(self):
        ours = [run("ours", number, 100 * number) for number in (1, 2, 3, 4)]
        theirs = [run("theirs", number, 100 * number) for number in (1, 3, 4)]
        ratio = figures.ratio(ours, theirs, "server_ns")
        self.assertEqual((ratio.low, ratio.high, ratio.pairs), (1.0, 1.0, 3))

    def test_a_pair_is_quiet_if_both_are(self):
        ours = [run("ours", number, 100, foreign=0.5 if number == 3 else 0) for number in range(4)]
        theirs = [run("theirs", number, 100) for number in range(4)]
        ratio = figures.ratio(ours, theirs, "server_ns")
        self.assertEqual((ratio.pairs, ratio.quiet), (3, True))


class Losses(unittest.TestCase):
    ROW = replace(ROW, ours=("corewire",))

    def losses(self, corewire, name, theirs):
        ours = [run("corewire", number, corewire + number) for number in range(6)]
        others = [run(name, number, theirs + number) for number in range(6)]
        return tables.losses(self.ROW, [*ours, *others])

    def test_who_is_ahead_for_sure_is_listed(self):
        ((ours, theirs, ratio),) = self.losses(110, "theirs", 100)
        self.assertEqual((ours, theirs), ("corewire", "theirs"))
        self.assertGreater(ratio.low, 1)
        listed = document.losses([(self.ROW, [run("corewire", 1, 3), run("theirs", 1, 2)])])
        self.assertIn("| echo | server CPU | corewire | theirs | 1.50 (1.50 to 1.50) |", listed)

    def test_who_is_not_or_is_ours_too_is_not(self):
        self.assertEqual(self.losses(100, "theirs", 100), [])
        self.assertEqual(self.losses(90, "theirs", 100), [])
        self.assertEqual(self.losses(110, "corewire-spin", 100), [])


class Goals(unittest.TestCase):
    def verdict(self, ours, theirs):
        return tables.Verdict(ROW, "ours", "theirs", 1.0, figures.ratio(ours, theirs, "server_ns"))

    def test_a_goal_is_met_within_the_tolerance_if_the_interval_reaches_it(self):
        theirs = [run("theirs", number, 100) for number in range(9)]
        near = [run("ours", number, 99 + number % 3 * 2) for number in range(9)]
        self.assertTrue(self.verdict(near, theirs).met())
        level = [run("ours", number, 102) for number in range(9)]
        self.assertFalse(self.verdict(level, theirs).met(), "the interval does not reach it")
        worse = [run("ours", number, 90 if number < 4 else 110) for number in range(9)]
        self.assertFalse(self.verdict(worse, theirs).met(), "the median is beyond the tolerance")


class Remarks(unittest.TestCase):
    RUNS = [
        Run(name, "1.0", 1, {"server_ns": 1.0, "server_cpu": server, "generator_cpu": generator})
        for name, server, generator in (("a", 0.5, 0.99), ("b", 0.99, 0.99), ("c", 0.5, 0.98))
    ]

    def test_whose_rate_is_the_generators_is_told(self):
        said = tables.remarks(ROW, self.RUNS)
        self.assertEqual(len(said), 1)
        self.assertTrue(said[0].startswith("`a`, `c`: ") and "the rate is" in said[0], said)

    def test_in_an_open_loop_that_is_about_round_trips(self):
        said = tables.remarks(replace(ROW, load={"share": 0.5}), self.RUNS)
        self.assertIn("round trips hold the generator's own time", said[0])


class Verification(unittest.TestCase):
    KIND = Kind(columns={"server_ns": "cpu/ns"}, positive=("messages",), whole=("delivered_ratio",))

    def verify(self, messages=9, delivered_ratio=1.0, ns=100.0):
        report = {"messages": messages, "delivered_ratio": delivered_ratio, "cpu": {"ns": ns}}
        measurement.verify(report, self.KIND, "server_ns")

    def test_nothing_measured_is_no_result(self):
        with self.assertRaises(NoResult):
            self.verify(messages=0)

    def test_neither_is_something_missing(self):
        with self.assertRaises(NoResult):
            self.verify(delivered_ratio=0.999)

    def test_nor_a_server_that_cost_nothing(self):
        with self.assertRaises(NoResult):
            self.verify(ns=0.0)

    def test_all_there_is_one(self):
        self.verify()


SERVERS = [
    Server(name, "corewire", ("serve",), ("echo",), {"commits": ["."]}, "", skips_every=skips)
    for name, skips in (("a", 0), ("b", 0), ("c", 3))
]
DEFINITIONS = Definitions(
    builds={"corewire": Build("corewire", ("true",))},
    servers=SERVERS,
    kinds={"echo": Kind(columns={"server_ns": "cpu/ns"}, positive=("messages",))},
    rows=[replace(ROW, goals=(), ours=("a",))],
)


class Rounds(unittest.TestCase):
    def measured(self, rounds, measure):
        options = Namespace(rounds=rounds, seconds=0.1)
        with mock.patch.object(measurement, "measure", measure), redirect_stdout(io.StringIO()):
            runs, _ = command.measure_row(DEFINITIONS, DEFINITIONS.rows[0], SERVERS, options)
        return runs

    def test_the_order_rotates_and_some_sit_out_every_third(self):
        runs = self.measured(4, lambda *_: {"server_ns": 1.0})
        orders = ["".join(one.server for one in runs if one.round == n) for n in (1, 2, 3, 4)]
        self.assertEqual(orders, ["abc", "bca", "ab", "abc"])

    def test_a_run_without_a_result_says_why_and_the_others_go_on(self):
        def measure(_row, server, *_):
            if server.name == "b":
                raise NoResult("reply 7 differs from what was sent")
            return {"server_ns": 1.0}

        runs = self.measured(1, measure)
        self.assertEqual([one.server for one in runs if not one.error], ["a", "c"])
        self.assertEqual(runs[1].error, "reply 7 differs from what was sent")

    def test_an_open_loop_gets_its_share_of_what_was_just_done(self):
        load = {"of": "a", "row": "echo", "share": 0.5, "per": 4}
        rates = iter([40_000, 90_000, 41_000])
        with mock.patch.object(measurement, "measure", lambda *_: {"per_second": next(rates)}):
            self.assertEqual(command.rate_of(DEFINITIONS, replace(ROW, load=load), {}), 5100)


class Recording(unittest.TestCase):
    def test_only_a_long_run_of_all_servers_is_a_record(self):
        def recorded(every=True, **changed):
            usual = {"rounds": command.ROUNDS, "seconds": command.SECONDS, "servers": ["*"]}
            return command.is_record(Namespace(**{**usual, "add": False, **changed}), every)

        self.assertTrue(recorded())
        self.assertFalse(recorded(rounds=command.ROUNDS - 1))
        self.assertFalse(recorded(seconds=command.SECONDS / 2))
        self.assertFalse(recorded(servers=["a"]))
        self.assertFalse(recorded(every=False))
        self.assertTrue(recorded(every=False, add=True))
        self.assertFalse(recorded(every=False, add=True, servers=["a"]))

    def test_what_is_measured_anew_is_told(self):
        run = {"rounds": 9, "seconds": 1.5, "warmup": 0.3, "date": "2026-01-01", "minutes": 2}
        first, second = run | {"command": "make rivals"}, run | {"command": "make rivals ADD=1"}
        with tempfile.TemporaryDirectory() as place:
            records.describe(Path(place), [], first, {"echo": "bench echo", "idle": "bench idle"})
            records.add(Path(place), [], second, {"echo": "bench echo --size 1"})
            told = records.described(Path(place))
        self.assertEqual(told["commands"], {"echo": "bench echo --size 1", "idle": "bench idle"})
        self.assertEqual(
            document.machine(definitions.ROOT / "record", told).splitlines()[1:3],
            [
                "- Taken by `make rivals ADD=1` on 2026-01-01, 2 minutes: echo.",
                "- Taken by `make rivals` on 2026-01-01, 2 minutes: idle.",
            ],
        )

    def test_a_record_takes_no_rows_of_another_machine(self):
        run = {"rounds": 9, "seconds": 1.5, "warmup": 0.3, "date": "2026-01-01", "minutes": 2, "command": ""}
        with tempfile.TemporaryDirectory() as place:
            records.describe(Path(place), [], run, {})
            records.fits(Path(place), [])
            tables = records.described(Path(place))
            tables["machine"]["cpus"] += 1
            records.store(Path(place), tables)
            with self.assertRaisesRegex(NoResult, "cpus .* there, .* here; measure all rows"):
                records.fits(Path(place), [])

    def test_a_server_has_the_versions_of_its_runs(self):
        def version(rows):
            results = [
                (replace(ROW, name=name), [records.Run(DEFINITIONS.servers[0].name, of, 1, {}) for of in versions])
                for name, versions in rows.items()
            ]
            return document.servers(DEFINITIONS, results).splitlines()[2].split(" | ")[1]

        self.assertEqual(version({"echo": ["1", "1"], "idle": ["1"]}), "1")
        self.assertEqual(version({"echo": ["1"], "idle": ["2"], "lone": ["1"]}), "1 in echo, lone; 2 in idle")

    def test_a_record_is_replaced_whole_or_row_by_row(self):
        for whole, left in ((True, {"echo.csv": "new"}), (False, {"echo.csv": "new", "idle.csv": "old"})):
            with tempfile.TemporaryDirectory() as place:
                measured, record = Path(place) / "measured", Path(place) / "record"
                measured.mkdir()
                record.mkdir()
                (measured / "echo.csv").write_text("new")
                for name in ("echo.csv", "idle.csv"):
                    (record / name).write_text("old")
                records.keep(measured, record, whole)
                self.assertEqual({one.name: one.read_text() for one in record.iterdir()}, left)

    def test_a_tree_is_changed_by_what_is_measured_and_not_by_the_record_of_it(self):
        with tempfile.TemporaryDirectory() as place:
            written, source = Path(place) / "benches/record/echo.csv", Path(place) / "server.rs"
            written.parent.mkdir(parents=True)
            written.write_text("old")
            source.write_text("old")
            author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
            for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "all")):
                subprocess.run(["git", "-C", place, *words], check=True)
            at = definitions.git(place, "rev-parse", "--short", "HEAD")
            self.assertEqual(definitions.commit(place), at)
            written.unlink()
            self.assertEqual(definitions.commit(place), at)
            source.write_text("new")
            self.assertEqual(definitions.commit(place), f"{at}-dirty")
        with tempfile.TemporaryDirectory() as place:
            self.assertEqual(definitions.commit(place), "unknown")


class Generator(unittest.TestCase):
    """What becomes of what `corewire bench` says."""

    def measure(self, code, said, complained=""):
        @contextmanager
        def running(_):
            yield "127.0.0.1:1", 1

        done = subprocess.CompletedProcess([], code, said, complained)
        with mock.patch.object(measurement, "running", running):
            with mock.patch.object(subprocess, "run", lambda *_, **__: done):
                kind = DEFINITIONS.kinds["echo"]
                return measurement.measure(DEFINITIONS.rows[0], SERVERS[0], kind, {}, None)

    def test_its_figures_are_taken(self):
        self.assertEqual(self.measure(0, '{"messages": 1, "cpu": {"ns": 5}}'), {"server_ns": 5})

    def test_a_fault_of_the_server_is_no_result_even_with_figures(self):
        with self.assertRaisesRegex(NoResult, "^a message stayed out$"):
            self.measure(1, '{"messages": 1, "cpu": {"ns": 5}}', "a message stayed out\nmore")


class Choosing(unittest.TestCase):
    def test_a_pattern_that_nobody_matches_is_a_mistake(self):
        rows = DEFINITIONS.rows
        self.assertEqual(DEFINITIONS.taking_part(rows, ["c", "a"]), [SERVERS[0], SERVERS[2]])
        with self.assertRaisesRegex(NoResult, "no server is called x: a, b, c$"):
            DEFINITIONS.taking_part(rows, ["a", "x"])
        with self.assertRaisesRegex(NoResult, "a is not in lone$"):
            DEFINITIONS.taking_part([replace(rows[0], name="lone")], ["a"])

    def test_whose_source_is_missing_is_told_how_to_name_it(self):
        needy = {"corewire": Build("corewire", ("true",), needs="NO_SUCH_DIR")}
        with self.assertRaisesRegex(NoResult, "a is built from .*: set NO_SUCH_DIR$"):
            replace(DEFINITIONS, builds=needy).taking_part(DEFINITIONS.rows, ["a"])

    def test_a_name_that_nothing_bears_is_a_mistake(self):
        definitions.check(DEFINITIONS)
        for wrong in (
            {"servers": [replace(SERVERS[0], build="none")]},
            {"servers": [replace(SERVERS[0], rows=("echo", "none"))]},
            {"servers": [replace(SERVERS[0], arguments={"none": ()})]},
            {"rows": [replace(ROW, ours=("none",), goals=())]},
            {"rows": [ROW]},
            {"rows": [replace(DEFINITIONS.rows[0], compare="none")]},
            {"rows": [replace(DEFINITIONS.rows[0], bench=("none",))]},
        ):
            with self.assertRaises(AssertionError, msg=wrong):
                definitions.check(replace(DEFINITIONS, **wrong))

    def test_the_committed_ones_are_checked(self):
        with mock.patch.object(definitions, "check") as check:
            definitions.load()
        check.assert_called_once()


class Records(unittest.TestCase):
    def test_what_is_written_is_read(self):
        runs = [run("a", 1, 123.456), run("a", 2, 0, error="gone, with a comma")]
        columns = ["server_ns", "foreign", "server_cpu", "generator_cpu"]
        with tempfile.TemporaryDirectory() as folder:
            records.write(Path(folder), ROW, columns, runs)
            self.assertEqual(records.read(Path(folder), ROW), runs)


class Document(unittest.TestCase):
    def test_every_definition_has_what_it_names(self):
        definitions.load()

    def test_what_decides_a_row_has_a_name_in_the_tables(self):
        for row in definitions.load().rows:
            self.assertIn(row.compare, tables.HEADS, row.name)
            self.assertIn(row.compare, tables.COMPARED, row.name)

    def test_another_figure_in_the_document_or_a_plot_is_found(self):
        rows = definitions.load()
        for path, text in document.expected(rows).items():
            digit = max(at for at, letter in enumerate(text) if letter.isdigit())
            planted = text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :]
            with mock.patch.object(Path, "read_text", reading(path, planted)):
                self.assertIn(path, document.differing(rows), path)

    def test_a_plot_of_a_row_that_is_no_more_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder) / "old.svg"
            old.write_text("")
            with mock.patch.object(document, "PLOTS", Path(folder)):
                self.assertIn(old, document.differing(definitions.load()))


def reading(planted_path, planted_text):
    """`Path.read_text` of a tree in which one file is another."""
    original = Path.read_text

    def read_text(path, *arguments, **named):
        return planted_text if path == planted_path else original(path, *arguments, **named)

    return read_text


if __name__ == "__main__":
    unittest.main()
