"""Structs of the core as Python sees them: options in by name, counters out by name."""

from collections.abc import Mapping
from typing import Any

from numi_bypass._ffi import CData, ffi, whole


def choice(name: str, word: str, words: Mapping[str, int]) -> int:
    """The number that a word stands for."""
    if word not in words:
        raise ValueError(f"{name}={word!r}: allowed {', '.join(words)}")
    return words[word]


def options_of(struct: CData, options: Mapping[str, int]) -> None:
    """Whole numbers into the fields of the same names; a name that is no field is a TypeError."""
    fields = {name: field.type for name, field in ffi.typeof(struct).item.fields}
    for name, value in options.items():
        if name not in fields or fields[name].kind != "primitive":
            known = ", ".join(name for name, kind in fields.items() if kind.kind == "primitive")
            raise TypeError(f"no such option: {name}; there are {known}")
        bits = 8 * ffi.sizeof(fields[name])
        signed = int(ffi.cast(fields[name], -1)) < 0
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        setattr(struct, name, whole(name, value, low, high))


def rows_of(structs: CData, count: int) -> list[dict[str, Any]]:
    """Each of the first `count` structs as a dict; an array in it is a list."""
    ctype = ffi.typeof(structs)
    names = [name for name, _ in ctype.item.fields]
    return [{name: _value(getattr(structs[i], name)) for name in names} for i in range(count)]


def _value(value: Any) -> Any:
    return value if isinstance(value, int | bytes) else list(value)
