"""The ring: one side pushes records, one side pops them; in this process, or between two through a file.

>>> import numi_bypass as nb, numpy as np
>>> with nb.Ring(np.uint64, 8) as ring:
...     ring.push(np.arange(10, dtype=np.uint64)), ring.pop(3).tolist(), len(ring)
(8, [0, 1, 2], 5)
"""

import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numi_bypass._ffi import CData, checked, ffi, lib
from numi_bypass.memory import pages_of

_ENDS = {"push": lib.NUMI_RING_PUSH, "pop": lib.NUMI_RING_POP, "both": lib.NUMI_RING_BOTH}


class Ring:
    """A ring of `record_count` (a power of two) records of one dtype, both ends in this process."""

    def __init__(self, record: DTypeLike, record_count: int, *, pages: str = "auto") -> None:
        dtype = np.dtype(record)
        out = ffi.new("struct numi_ring **")
        checked(lib.numi_ring_open(out, dtype.itemsize, record_count, pages_of(pages)))
        self._adopt(out[0], dtype)

    def _adopt(self, ring: CData, dtype: "np.dtype[Any]") -> None:
        self._ring = ffi.gc(ring, lib.numi_ring_close)
        self.dtype = dtype
        self.record_count = int(lib.numi_ring_record_count(ring))

    @staticmethod
    def create(path: str | os.PathLike[str], record: DTypeLike, record_count: int) -> None:
        """Makes a ring file that two processes can attach to; best on a tmpfs such as /dev/shm."""
        checked(lib.numi_ring_create_file(os.fsencode(path), np.dtype(record).itemsize, record_count))

    @classmethod
    def attach(cls, path: str | os.PathLike[str], end: str, record: DTypeLike) -> "Ring":
        """One end ("push", "pop" or "both") of a ring file, where its last holder left off."""
        if end not in _ENDS:
            raise ValueError(f"end={end!r}: allowed {', '.join(_ENDS)}")
        dtype = np.dtype(record)
        out = ffi.new("struct numi_ring **")
        checked(lib.numi_ring_attach_file(out, os.fsencode(path), _ENDS[end]))
        ring = cls.__new__(cls)
        ring._adopt(out[0], dtype)
        size = int(lib.numi_ring_record_size(out[0]))
        if size != dtype.itemsize:
            ring.close()
            raise ValueError(f"{os.fspath(path)}: its records have {size} bytes, {dtype} has {dtype.itemsize}")
        return ring

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the memory and, for a file, of the ends held."""
        if self._ring is not None:
            ffi.release(self._ring)
            self._ring = None

    def _open_ring(self) -> CData:
        if self._ring is None:
            raise ValueError("the ring is closed")
        return self._ring

    def push(self, records: NDArray[Any]) -> int:
        """Pushes as many of `records` as fit, in order; returns how many did."""
        flat = np.ascontiguousarray(records)
        if flat.dtype != self.dtype:
            raise TypeError(f"records of {flat.dtype}: this ring carries {self.dtype}")
        return checked(lib.numi_ring_push_batch(self._open_ring(), ffi.from_buffer(flat), flat.size))

    def pop(self, count: int) -> NDArray[Any]:
        """Up to `count` records, oldest first."""
        if count < 0:
            raise ValueError(f"count={count}: allowed 0 and up")
        records = np.empty(min(count, self.record_count), self.dtype)
        popped = checked(
            lib.numi_ring_pop_batch(self._open_ring(), ffi.from_buffer(records, require_writable=True), len(records))
        )
        return records[:popped]

    def __len__(self) -> int:
        return int(lib.numi_ring_size(self._open_ring()))

    @property
    def stalls(self) -> tuple[int, int]:
        """Pushes that found it full, pops that found it empty, by this handle."""
        ring = self._open_ring()
        return int(lib.numi_ring_push_stalls(ring)), int(lib.numi_ring_pop_stalls(ring))
