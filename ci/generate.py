"""Writes what follows from the compiled core: the stub of `numi_bypass._core` and the struct tables of the docs.

ci/generate.py          writes numi_bypass/_core.pyi and docs/structs.md
ci/generate.py --check  exit 1 when either is not what it would write
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numi_bypass._core import ffi, lib

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "numi_bypass" / "_core.pyi"
TABLES = ROOT / "docs" / "structs.md"

STUB_HEAD = '''"""The compiled core as mypy sees it. Made by ci/generate.py from the core itself: do not edit."""

from typing import Any

class _FFI:
    NULL: Any
    def new(self, ctype: str, init: object = ...) -> Any: ...
    def cast(self, ctype: Any, value: object) -> Any: ...
    def gc(self, cdata: Any, destructor: object, size: int = ...) -> Any: ...
    def release(self, cdata: Any) -> None: ...
    def buffer(self, cdata: Any, size: int = ...) -> Any: ...
    def from_buffer(self, *arguments: object, require_writable: bool = ...) -> Any: ...
    def memmove(self, target: object, source: object, size: int) -> None: ...
    def string(self, cdata: Any, maxlen: int = ...) -> bytes | str: ...
    def typeof(self, of: object) -> Any: ...
    def sizeof(self, of: object) -> int: ...
    def unpack(self, cdata: Any, length: int) -> Any: ...

class _Lib:
'''


def python_type(ctype: Any) -> str:
    """What a C type is on the Python side."""
    if ctype.kind == "void":
        return "None"
    if ctype.kind in ("primitive", "enum"):
        return "float" if ctype.cname in ("float", "double") else "int"
    return "Any"


def stub_lines() -> Iterator[str]:
    """One line for each function and constant of the core."""
    for name in sorted(dir(lib)):
        value = getattr(lib, name)
        if isinstance(value, int):
            yield f"    {name}: int\n"
            continue
        ctype = ffi.typeof(value)
        arguments = "".join(f", _{i}: {python_type(argument)}" for i, argument in enumerate(ctype.args))
        yield f"    def {name}(self{arguments}) -> {python_type(ctype.result)}: ...\n"


def stub() -> str:
    """The whole stub."""

    return STUB_HEAD + "".join(stub_lines()) + "\nffi: _FFI\nlib: _Lib\n"


STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\}", re.M | re.S)
FIELD_COMMENT = re.compile(r"(\w+)(?:\[\w*\])?;\s*/\*\s*(.*?)\s*\*/", re.S)


def comments_of(header: str) -> dict[str, dict[str, str]]:
    """For each struct of a header, its fields' comments."""
    return {
        name: {field: " ".join(comment.split()) for field, comment in FIELD_COMMENT.findall(body)}
        for name, body in STRUCT.findall(header)
    }


def table(name: str, comments: dict[str, str]) -> Iterator[str]:
    """A struct as the compiler laid it out."""
    ctype = ffi.typeof(f"struct {name}")
    yield f"\n### struct {name}, {ffi.sizeof(ctype)} bytes\n\n"
    yield "| offset | size | type | field | meaning |\n|---|---|---|---|---|\n"
    for field, place in ctype.fields:
        size = ffi.sizeof(place.type)
        yield f"| {place.offset} | {size} | `{place.type.cname}` | {field} | {comments.get(field, '')} |\n"


def is_complete(name: str) -> bool:
    """Whether the public headers say what is in a struct."""
    try:
        return ffi.sizeof(f"struct {name}") > 0
    except ffi.error:
        return False


def tables() -> str:
    """Every struct of the public headers."""
    lines = ["# Structs\n\nMade by ci/generate.py from the public headers and the compiled core: do not edit.\n"]
    known = set(ffi.list_types()[1])
    for path in sorted((ROOT / "csrc").glob("*/*.h")):
        structs = comments_of(path.read_text())
        public = {name: found for name, found in structs.items() if name in known and is_complete(name)}
        if public:
            lines.append(f"\n## {path.relative_to(ROOT / 'csrc')}\n")
        for name, found in public.items():
            lines += table(name, found)
    return "".join(lines)


def main() -> int:
    """Write or check both files."""
    files = {STUB: stub(), TABLES: tables()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run ci/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
