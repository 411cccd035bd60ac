"""Arrays whose length nobody knows beforehand, filled by the core: as they grow their pages move, no byte is copied."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, ffi

_FIRST_SIZE = 1 << 16
_HUGE_SIZE = 1 << 22
"""From here on huge pages pay: touching fresh memory costs more than decoding into it."""


class Growing:
    """Records of one dtype; `pointer` is where the core writes, valid until the next `grow`."""

    def __init__(self, dtype: "np.dtype[Any]") -> None:
        self._dtype = dtype
        self._memory = mmap.mmap(-1, _FIRST_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.pointer: CData = ffi.from_buffer(self._memory)

    @property
    def room(self) -> int:
        """How many records fit."""
        return len(self._memory) // self._dtype.itemsize

    def grow(self) -> None:
        """Twice the room."""
        self._resize(2 * len(self._memory))
        if len(self._memory) >= _HUGE_SIZE:
            self._memory.madvise(mmap.MADV_HUGEPAGE)

    def _resize(self, size: int) -> None:
        ffi.release(self.pointer)
        self._memory.resize(size)
        self.pointer = ffi.from_buffer(self._memory)

    def array(self, count: int) -> NDArray[Any]:
        """The first `count` records, all that is kept of it; the last thing that is asked of it."""
        if count == 0:
            return np.empty(0, self._dtype)
        size = count * self._dtype.itemsize
        self._resize(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        ffi.release(self.pointer)
        return np.frombuffer(self._memory, self._dtype, count)
