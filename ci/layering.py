"""Reads the sources against the rules of docs/architecture.md.

C: every quoted include carries its room, which is the file's own or one the table says the room stands on; headers
include each other in no circle. Python: the package knows nothing of the simulator, and one module alone touches the
compiled one. Both: no file over 800 lines, no C function over 60. `--self-test` breaks each rule once and expects to
be told so.
"""

import argparse
import ast
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 60
TABLE = "docs/architecture.md"
INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')
QUOTED = re.compile(r'\s*#\s*include\s*"')
NO_FUNCTION = re.compile(r"\b(struct|enum|union|typedef|extern|namespace|class)\b[^(]*$|=\s*\{$")
COMPILED_ONLY_IN = "numi_bypass/_ffi.py"


def rooms(text: str) -> dict[str, set[str]]:
    """The table with the columns `room | holds | stands on`: for each room those it may include."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]
    heads = [index for index, row in enumerate(rows) if row == ["room", "holds", "stands on"]]
    if not heads:
        raise SystemExit(f"{TABLE} has no table `room | holds | stands on`")
    table: dict[str, set[str]] = {}
    for row in rows[heads[0] + 2 :]:
        if len(row) != 3:
            break
        table[row[0].strip("`/")] = {name.strip(" `/") for name in row[2].split(",")} - {"", "nothing"}
    return table


def room_of(path: Path) -> str:
    """The room of a file below csrc; the umbrella header and the generator, which lie in none, are `.`."""
    return path.parts[0] if len(path.parts) > 1 else "."


def includes(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The line, what is included, and whether in quotes."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := INCLUDE.match(line):
            yield number, found[1], bool(QUOTED.match(line))


def check_includes(root: Path) -> Iterator[str]:
    """Each include against the table, then circles among headers."""
    table = rooms((root / TABLE).read_text())
    below: dict[str, list[str]] = {}
    for path in sorted((root / "csrc").rglob("*.[ch]")):
        name = path.relative_to(root / "csrc")
        room = room_of(name)
        if room != "." and room not in table:
            yield f"csrc/{name}: the room {room} is not in {TABLE}"
            continue
        allowed = {"all"} if room == "." else table[room] | {room}
        for number, target, quoted in includes(path):
            exists = (root / "csrc" / target).is_file()
            if not quoted and not exists:
                continue  # the system's
            where, other = f"csrc/{name}:{number}", room_of(Path(target))
            if not quoted:
                yield f"{where}: <{target}> is our own: quote it"
            elif not exists or other == ".":
                yield f'{where}: "{target}" does not name a file with its room'
            elif other not in allowed and "all" not in allowed:
                yield f'{where}: "{target}": {room} does not stand on {other}'
            if name.suffix == ".h" and exists:
                below.setdefault(str(name), []).append(target)
    yield from check_circles(below)


def check_circles(below: dict[str, list[str]]) -> Iterator[str]:
    """Headers that include themselves by way of others, each circle once."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> Iterator[str]:
        if name in trail:
            yield "headers in a circle: " + " -> ".join([*trail[trail.index(name) :], name])
        elif name not in done:
            for target in below.get(name, []):
                yield from visit(target, [*trail, name])
            done.add(name)

    for name in sorted(below):
        yield from visit(name, [])


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module, and every name from a module, that is imported; relative ones begin with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield node.lineno, base
            for alias in node.names:
                yield node.lineno, f"{base.rstrip('.')}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


def check_imports(root: Path) -> Iterator[str]:
    """Who imports the simulator, and who the compiled module."""
    for folder in ("numi_bypass", "sim", "tests", "benches"):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for number, module in sorted(set(imported(ast.parse(path.read_text())))):
                parts = module.split(".")
                if folder == "numi_bypass" and "numi_sim" in parts:
                    yield f"{name}:{number}: the package imports the simulator"
                ours = folder == "numi_bypass" or parts[0] == "numi_bypass"
                # named by its last part, so that each import is told once
                if ours and parts[-1] == "_core" and name != COMPILED_ONLY_IN:
                    yield f"{name}:{number}: only {COMPILED_ONLY_IN} imports the compiled module"


def check_lengths(root: Path) -> Iterator[str]:
    """Files, and C functions: what closes in the first column, as the formatter leaves it."""
    folders = ("csrc", "numi_bypass", "sim", "tests", "benches", "ci")
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.*")):
        if path.suffix not in {".c", ".h", ".cpp", ".py"}:
            continue
        name = path.relative_to(root)
        lines = path.read_text().splitlines()
        if len(lines) > FILE_LINES_MAX:
            yield f"{name}: {len(lines)} lines, more than {FILE_LINES_MAX}"
        if path.suffix != ".py":
            yield from (f"{name}:{found}" for found in long_functions(lines))


def long_functions(lines: list[str]) -> Iterator[str]:
    """`line: what`, for each function over the limit, counted from its first line to its closing brace."""
    start = 0
    for number, line in enumerate(lines, 1):
        if line[:1] in {"", "#", "/", " ", "\t"} or line.endswith(":"):  # a label
            continue
        if line[0] == "}":
            length = number - start + 1
            if start and length > FUNCTION_LINES_MAX:
                head = lines[start - 1].split("(")[0].split()[-1]
                yield f"{start}: {head} has {length} lines, more than {FUNCTION_LINES_MAX}"
            start = 0
        else:
            start = 0 if "(" not in line or line.endswith(";") or NO_FUNCTION.search(line) else number


CHECKS: list[Callable[[Path], Iterator[str]]] = [check_includes, check_imports, check_lengths]


def faults(root: Path) -> list[str]:
    """Everything wrong below this folder."""
    return [fault for check in CHECKS for fault in check(root)]


SOUND = {
    TABLE: "| room | holds | stands on |\n|---|---|---|\n| `base/` | x | nothing |\n| frame | x | base |\n"
    "| port | x | frame |\n| run | x | all |\n",
    "csrc/numi.h": '#include "base/a.h"\n',
    "csrc/base/a.h": "#include <stdio.h>\n",
    "csrc/base/c.h": '#include "base/a.h"\n',
    "csrc/frame/b.h": '#include "base/a.h"\n',
    "csrc/frame/b.c": '#include "frame/b.h"\nint f(void) {\n' + "    x;\n" * 58 + "}\n",
    "csrc/run/r.c": '#include "port/p.h"\n',
    "csrc/port/p.h": "int f(int x,\n      int y);\nstruct x {\n" + "    int z;\n" * 70 + "};\n",
    "numi_bypass/_ffi.py": "from numi_bypass._core import ffi\n",
    "sim/world.py": "import numi_bypass\n",
}
# a file changed, and words of the one fault that must be told
BROKEN = [
    ("csrc/base/a.h", '#include "frame/b.h"\n', "base does not stand on frame"),
    ("csrc/port/p.h", '#include "base/a.h"\n', "port does not stand on base"),
    ("csrc/frame/b.c", '#include "b.h"\n', "does not name a file with its room"),
    ("csrc/frame/b.c", '#include "numi.h"\n', "does not name a file with its room"),
    ("csrc/frame/b.c", "#include <base/a.h>\n", "quote it"),
    ("csrc/other/o.c", "", "other is not in"),
    ("csrc/frame/b.h", '#include "frame/b.h"\n', "circle: frame/b.h -> frame/b.h"),
    ("csrc/base/a.h", '#include "base/c.h"\n', "circle: base/a.h -> base/c.h -> base/a.h"),
    ("csrc/frame/b.c", "int f(void) {\nlabel:\n" + "    x;\n" * 58 + "}\n", "1: f has 61 lines"),
    ("csrc/frame/b.c", "static int f(int x,\n             int y) {\n" + "    x;\n" * 58 + "}\n", "1: f has 61 lines"),
    ("csrc/frame/b.c", "\n" * 801, "801 lines"),
    ("sim/world.py", "\n" * 801, "801 lines"),
    ("numi_bypass/feed.py", "import numi_sim.world\n", "imports the simulator"),
    ("numi_bypass/feed.py", "def f():\n    from numi_sim import world\n", "imports the simulator"),
    ("numi_bypass/feed.py", "import_module('numi_sim')\n", "imports the simulator"),
    ("numi_bypass/feed.py", "from ._core import lib\n", "imports the compiled module"),
    ("numi_bypass/feed.py", "from . import _core\n", "imports the compiled module"),
    ("sim/world.py", "from numi_bypass._core import lib\n", "imports the compiled module"),
    ("sim/world.py", "from numi_bypass import _core\n", "imports the compiled module"),
]


def self_test() -> None:
    """A sound tree passes, and each way to break it is noticed."""
    for name, text, words in [("", "", ""), *BROKEN]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for path, content in {**SOUND, **({name: text} if name else {})}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(content)
            found = faults(root)
            if name and not any(words in fault for fault in found):
                raise SystemExit(f"self-test: {text[:60]!r} in {name} went unnoticed; found {found}")
            if not name and found:
                raise SystemExit(f"self-test: a sound tree was faulted: {found}")


def main() -> None:
    """Exit 1 and one line a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--self-test", action="store_true")
    if parser.parse_args().self_test:
        self_test()
        return
    found = faults(Path(__file__).resolve().parent.parent)
    print("\n".join(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
