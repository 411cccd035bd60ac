"""The one module that touches the compiled core: everything else goes through here."""

import os
import reprlib
from collections.abc import Callable
from functools import partial
from operator import index
from typing import Any

from numi_bypass import errors
from numi_bypass._core import ffi, lib

CData = Any
"""A cffi object; what it is stands in the C header."""


def text(pointer: CData) -> str:
    """A C string, which lives as long as the header says, as a Python one."""
    raw = ffi.string(pointer)
    assert isinstance(raw, bytes)
    return raw.decode("utf-8", "replace")


def checked(code: int) -> int:
    """A count as it is; an error code as the exception that carries its C name and the core's own detail."""
    if code >= 0:
        return code
    detail = text(lib.numi_error_detail()) or text(lib.numi_error_message(code))
    raise errors.exception_of(code, text(lib.numi_error_name(code)), detail, int(lib.numi_error_number()))


def whole(name: str, value: int, lowest: int, highest: int) -> int:
    """A whole number within what the C type and the core allow; cffi's own refusal names neither."""
    try:
        number = index(value)  # NumPy's whole numbers are as good
    except TypeError:
        number = lowest - 1
    if not lowest <= number <= highest:
        raise refused(f"{name}={shortened(value)}: allowed a whole number from {lowest} to {highest}")
    return number


def flag(name: str, value: bool) -> bool:
    """True or False: of anything else C would make one of them without a word."""
    if value not in (False, True):
        raise refused(f"{name}={shortened(value)}: allowed True or False")
    return bool(value)


def refused(detail: str) -> errors.NumiError:
    """The core's error for an argument, where Python is the first to see it."""
    code = int(lib.NUMI_ERR_ARGUMENT)
    return errors.exception_of(code, text(lib.numi_error_name(code)), detail)


def shortened(value: object) -> str:
    """A value as an error shows it: what was given by mistake may be a whole file."""
    return reprlib.repr(value)


def path_bytes(path: str | bytes | os.PathLike[str]) -> bytes:
    """A path for C, which ends at the first zero byte: so there is none."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"path {shortened(raw)}: a zero byte")
    return raw


def _call(gone: Callable[[], None], _pointer: CData) -> None:
    gone()


def view_of(pointer: CData, size: int, gone: Callable[[], None]) -> memoryview:
    """Read-only bytes at `pointer`; `gone` is kept, and called once when nothing looks at them any more.

    Every array and memoryview made from it holds the anchor, slices too: so this sees what a memoryview's own export
    count does not (NumPy's arrays do not show up there).
    """
    anchored = ffi.gc(ffi.cast("uint8_t *", pointer), partial(_call, gone))
    return memoryview(ffi.buffer(anchored, size)).toreadonly()


__all__ = ["CData", "checked", "ffi", "flag", "lib", "path_bytes", "refused", "shortened", "text", "view_of", "whole"]
