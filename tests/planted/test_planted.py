"""That a bug counts as caught only when its check has run and failed."""

import importlib.machinery
import importlib.util
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

# The command has no suffix.
LOADER = importlib.machinery.SourceFileLoader("planted", str(Path(__file__).parent / "run"))
planted = importlib.util.module_from_spec(importlib.util.spec_from_loader("planted", LOADER))
# Where dataclasses look for the module of a class.
sys.modules["planted"] = planted
LOADER.exec_module(planted)

TEST = planted.Bug("b", Path("b.patch"), "", "test", ["-p", "corewire", "a::a_rule_is_kept"])
PIECE = planted.Bug("c", Path("c.patch"), "", "icount", ["echo/1"])
PASSED = (0, "test result: ok. 1 passed; 0 failed")
FAILED = (101, "test result: FAILED. 0 passed; 1 failed")


class Verdicts(unittest.TestCase):
    def said(self, judge, bug, *answers):
        """What `judge` makes of a bug when the build and the check answer so."""
        answers = iter(answers)
        with mock.patch.object(planted, "run", lambda *_: next(answers)):
            return judge(bug)

    def test_a_check_that_fails_has_caught_it(self):
        self.assertEqual(self.said(planted.caught, TEST, (0, ""), FAILED), "failed")
        self.assertEqual(self.said(planted.caught, TEST, (0, ""), (None, "")), "hung 120 s")
        dearer = (1, "echo/1  100 → 120  +20.00%  dearer")
        self.assertEqual(self.said(planted.caught, PIECE, (0, ""), dearer), "+20.00%")

    def test_a_check_that_passes_has_not(self):
        self.assertIsNone(self.said(planted.caught, TEST, (0, ""), PASSED))
        self.assertIsNone(self.said(planted.caught, PIECE, (0, ""), (0, "")))

    def test_a_check_that_does_not_run_proves_nothing(self):
        for bug, answers in (
            (TEST, [(101, "error: could not compile")]),
            (TEST, [(0, ""), (101, "error: no test target named")]),
            (PIECE, [(0, ""), (2, "icount: valgrind is not there")]),
        ):
            with self.assertRaises(planted.NoResult):
                self.said(planted.caught, bug, *answers)

    def test_without_the_bug_it_must_pass(self):
        self.said(planted.prove, TEST, (0, ""), PASSED)
        for answer in (FAILED, (0, "test result: ok. 0 passed; 0 failed"), (None, "")):
            with self.assertRaises(planted.NoResult):
                self.said(planted.prove, TEST, (0, ""), answer)


class Patches(unittest.TestCase):
    def test_a_check_that_nobody_bears_is_found(self):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(planted, "TREE", Path(folder)):
            (Path(folder) / "a.rs").write_text("#[test]\nfn a_rule_is_kept() {}\n")
            (Path(folder) / "benches/icount").mkdir(parents=True)
            (Path(folder) / "benches/icount/baseline.txt").write_text("# x\necho/1  100\n")
            self.assertTrue(TEST.is_known() and PIECE.is_known())
            (Path(folder) / "a.rs").write_text("fn another_rule_is_kept() {}\n")
            (Path(folder) / "benches/icount/baseline.txt").write_text("# x\necho/16  100\n")
            self.assertFalse(TEST.is_known() or PIECE.is_known())

    def test_one_without_a_check_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            patch = Path(folder) / "x.patch"
            patch.write_text("Something is lost.\n\ndiff --git a/x b/x\n")
            with self.assertRaises(planted.NoResult):
                planted.read(patch)
            patch.write_text("Something\nis lost.\n\nCheck: test -p x it_is_kept\n\ndiff --git a/x b/x\n")
            bug = planted.read(patch)
            self.assertEqual((bug.what, bug.check), ("Something is lost.", "it_is_kept"))


if __name__ == "__main__":
    unittest.main()
