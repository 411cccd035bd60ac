"""What every owner of a C object shares: it is nobody's copy, it is used by one thread at a time, in one process."""

import os
import threading
from types import TracebackType
from typing import NoReturn

from numi_bypass import errors
from numi_bypass._ffi import lib, text


class Turn:
    """One thread's turn on an object: a second one is refused at once, not made to wait, and so is a forked child."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that opened the object."""
        return self._pid == os.getpid()

    def __enter__(self) -> None:
        if not self.is_ours:
            self._refuse("belongs to the process that opened it, not to its forked child")
        if not self._lock.acquire(blocking=False):
            self._refuse("is in use by another thread")

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self._lock.release()

    def _refuse(self, why: str) -> NoReturn:
        code = int(lib.NUMI_ERR_BUSY)
        raise errors.exception_of(code, text(lib.numi_error_name(code)), f"this {self._what} {why}")


class Handle:
    """Memory of the core has one owner: no copy, no pickle."""

    def __copy__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled")
