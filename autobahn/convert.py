"""Converts the installed suite from Python 2 to Python 3, in place.

fissix, the kept-up 2to3, does what is a matter of syntax. REPAIRS does the rest. The source is read
as latin-1, so that an octet of a literal becomes one character; `border.py` tells why.
"""

import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from fissix.refactor import RefactoringTool

FIXERS = ["except", "has_key", "import", "ne", "next", "numliterals", "print", "raise", "xrange"]

# The modules that the cases need. The suite's others are not converted and never imported.
MODULES = ["fuzzing.py", "caseset.py", "report.py", "case/*.py"]

REPAIRS = [
    # Octets cross between the cases and the library.
    ("(FuzzingProtocol, WebSocket", "(FuzzingProtocol, border.Border, WebSocket"),
    ("v.validate(vss[:i])", "v.validate(border.octets(vss[:i]))"),
    # Octets go into logs and reports.
    ("binascii.b2a_hex(", "border.b2a_hex("),
    ("binascii.hexlify(", "border.b2a_hex("),
    ("p = ''.join(payload)", "p = b''.join(payload)"),
    ('ellipses = " ..."\n   try:', 'data, ellipses = border.octets(data), b" ..."\n   try:'),
    ("json.dumps(case, ", "json.dumps(case, default = border.text, "),
    ('c[1])).encode("utf-8"))', "c[1])))"),
    ("ll.encode('utf8')", "ll"),
    # Python 3 means something else by it.
    ("(object, Case, )", "(Case, )"),
    ("len(self.payload) / self", "len(self.payload) // self"),
    ("pickle.dumps(obj1) == pickle.dumps(obj2)", "obj1 == obj2"),
    # It cannot be imported, and is not one of the suite's cases.
    ("from case9_9_1 import *\n", ""),
]


def convert(package: Path) -> None:
    fixer = RefactoringTool([f"fissix.fixes.fix_{name}" for name in FIXERS])
    unused = {old for old, _ in REPAIRS}
    for path in sorted(path for pattern in MODULES for path in package.glob(pattern)):
        source = path.read_text("latin-1")
        for old, new in REPAIRS:
            if old in source:
                unused.discard(old)
                source = source.replace(old, new)
        if "border." in source:
            source = f"import border\n{source}"
        path.write_text(str(fixer.refactor_string(f"{source}\n", str(path))), "utf-8")
    if unused:
        sys.exit(f"these repairs found nothing to repair in the suite: {sorted(unused)}")

    (package / "__init__.py").write_text(f'version = "{version(package.name)}"\n')


if __name__ == "__main__":
    convert(Path(sysconfig.get_path("purelib"), "autobahntestsuite"))
