"""That a piece that costs more fails the build, and elsewhere one that costs much more."""

import importlib.machinery
import importlib.util
import io
import tempfile
import unittest
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from unittest import mock

# The command has no suffix.
LOADER = importlib.machinery.SourceFileLoader("icount", str(Path(__file__).parent / "run"))
icount = importlib.util.module_from_spec(importlib.util.spec_from_loader("icount", LOADER))
LOADER.exec_module(icount)

HERE = {"compiler": "rustc 1", "machine": "this one"}
CALLGRIND = "==7== Events    : Ir\n==7== Collected : 5620\n==7==\n"


class Verdicts(unittest.TestCase):
    def run_with(self, before, now, here=HERE, arguments=()):
        """The exit code and what is printed: `before` is the baseline, `now` what is counted."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(mock.patch.object(icount, "BASELINE", folder / "baseline.txt"))
            stack.enter_context(mock.patch.object(icount, "ROOT", folder))
            said = stack.enter_context(redirect_stdout(io.StringIO()))
            icount.write_baseline(HERE, before)
            stack.enter_context(mock.patch.object(icount, "circumstances", lambda: here))
            stack.enter_context(mock.patch.object(icount, "output", lambda *_: " ".join(now)))
            stack.enter_context(mock.patch.object(icount, "count", now.get))
            stack.enter_context(mock.patch("sys.argv", ["run", *arguments]))
            return icount.main(), said.getvalue()

    def test_three_per_cent_more_fail_and_are_named(self):
        code, said = self.run_with({"echo": 1000, "mask": 1000}, {"echo": 1030, "mask": 1000})
        self.assertEqual(code, 1)
        self.assertRegex(said, r"echo +1000 → +1030 +\+3\.00%  dearer")

    def test_less_than_that_is_shown_and_fails_nothing(self):
        code, said = self.run_with({"echo": 1000}, {"echo": 1029})
        self.assertEqual(code, 0)
        self.assertIn("+2.90%", said)

    def test_what_got_cheaper_is_to_be_kept(self):
        code, said = self.run_with({"echo": 1000}, {"echo": 900})
        self.assertEqual(code, 0)
        self.assertIn("Keep what was won", said)

    def test_a_piece_without_a_baseline_or_a_baseline_without_a_piece_fails(self):
        self.assertEqual(self.run_with({"echo": 1000}, {"echo": 1000, "mask": 5})[0], 1)
        self.assertEqual(self.run_with({"echo": 1000, "mask": 5}, {"echo": 1000})[0], 1)

    def test_with_another_compiler_only_a_quarter_more_fails(self):
        other = HERE | {"compiler": "rustc 2"}
        code, said = self.run_with({"echo": 1000}, {"echo": 1249}, other)
        self.assertEqual(code, 0)
        self.assertIn("The compiler is not the baseline's: rustc 2 instead of rustc 1.", said)
        self.assertNotIn("If it is worth its price", said)
        code, said = self.run_with({"echo": 1000}, {"echo": 1250}, other)
        self.assertEqual(code, 1)
        self.assertIn("+25.00%  dearer", said)

    def test_some_pieces_are_compared_without_the_others(self):
        before = {"echo": 1000, "mask": 5}
        now = {"echo": 1000, "mask": 9}
        self.assertEqual(self.run_with(before, now, arguments=["echo"])[0], 0)
        self.assertEqual(self.run_with(before, now, arguments=["mask"])[0], 1)
        with self.assertRaisesRegex(icount.NoResult, "no piece nothing"):
            self.run_with(before, now, arguments=["nothing"])


class Counts(unittest.TestCase):
    def test_it_is_what_callgrind_has_collected(self):
        with mock.patch.object(icount, "output", lambda *_: CALLGRIND):
            self.assertEqual(icount.count("header"), 5620)

    def test_nothing_is_no_count(self):
        for said in ("", CALLGRIND.replace("5620", "0")):
            with mock.patch.object(icount, "output", lambda *_: said):
                with self.assertRaises(icount.NoResult):
                    icount.count("header")

    def test_a_wrong_answer_of_a_piece_is_no_count(self):
        with self.assertRaises(icount.NoResult):
            icount.output("false")


if __name__ == "__main__":
    unittest.main()
