"""The ring: one side pushes records, one side pops them; in this process, or between two through a file.

One thread at a time uses an end; a second one is refused with a BusyError.

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

from numi_bypass._ffi import CData, checked, ffi, lib, path_bytes, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass.memory import pages_of

_ENDS = {"push": lib.NUMI_RING_PUSH, "pop": lib.NUMI_RING_POP, "both": lib.NUMI_RING_BOTH}


def _record_dtype(record: DTypeLike) -> "np.dtype[Any]":
    """The dtype of a record: plain bytes, no pointer to anything of Python's, no array of its own shape."""
    dtype = np.dtype(record) if record is not None else None
    if dtype is None or dtype.hasobject or dtype.subdtype is not None:
        raise TypeError(f"records of {record!r}: allowed a NumPy dtype of fixed size, without Python objects")
    return dtype


class Ring(Handle):
    """A ring of `record_count` (a power of two) records of one dtype, both ends in this process."""

    def __init__(self, record: DTypeLike, record_count: int, *, pages: str = "auto") -> None:
        dtype = _record_dtype(record)
        out = ffi.new("struct numi_ring **")
        count = whole("record_count", record_count, 2, int(lib.NUMI_RING_RECORD_COUNT_MAX))
        checked(lib.numi_ring_open(out, dtype.itemsize, count, pages_of(pages)))
        self._adopt(out[0], dtype)

    def _adopt(self, ring: CData, dtype: "np.dtype[Any]") -> None:
        self._ring: CData = ffi.gc(ring, lib.numi_ring_close)
        self._push_turn, self._pop_turn = Turn("push end"), Turn("pop end")
        self.dtype = dtype
        self.record_count = int(lib.numi_ring_record_count(ring))

    @staticmethod
    def create(path: str | os.PathLike[str], record: DTypeLike, record_count: int) -> None:
        """Makes a ring file that two processes can attach to; best on a tmpfs such as /dev/shm."""
        count = whole("record_count", record_count, 2, int(lib.NUMI_RING_RECORD_COUNT_MAX))
        checked(lib.numi_ring_create_file(path_bytes(path), _record_dtype(record).itemsize, count))

    @classmethod
    def attach(cls, path: str | os.PathLike[str], end: str, record: DTypeLike) -> "Ring":
        """One end ("push", "pop" or "both") of a ring file, where its last holder left off."""
        if end not in _ENDS:
            raise ValueError(f"end={end!r}: allowed {', '.join(_ENDS)}")
        dtype = _record_dtype(record)
        out = ffi.new("struct numi_ring **")
        checked(lib.numi_ring_attach_file(out, path_bytes(path), _ENDS[end]))
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

    def __repr__(self) -> str:
        state = "closed" if self._ring is None else f"{len(self)} waiting"
        return f"<Ring of {self.record_count} x {self.dtype}, {state}>"

    def close(self) -> None:
        """Lets go of the memory and, for a file, of the ends held."""
        with self._push_turn, self._pop_turn:
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
        with self._push_turn:
            return checked(lib.numi_ring_push_batch(self._open_ring(), ffi.from_buffer(flat), flat.size))

    def pop(self, count: int) -> NDArray[Any]:
        """Up to `count` records, oldest first."""
        if count < 0:
            raise ValueError(f"count={count}: allowed 0 and up")
        records = np.empty(min(count, self.record_count), self.dtype)
        room = ffi.from_buffer(records, require_writable=True)
        with self._pop_turn:
            popped = checked(lib.numi_ring_pop_batch(self._open_ring(), room, len(records)))
        # A few records must not keep the whole allocation alive.
        return records[:popped] if popped * 4 >= len(records) else records[:popped].copy()

    def __len__(self) -> int:
        return int(lib.numi_ring_size(self._open_ring()))

    @property
    def stalls(self) -> tuple[int, int]:
        """Pushes that found less room than they asked for, pops that found fewer records, by this handle."""
        ring = self._open_ring()
        return int(lib.numi_ring_push_stalls(ring)), int(lib.numi_ring_pop_stalls(ring))
