"""The pool: frames in one region of huge pages, taken and given back, none ever allocated later.

One thread at a time uses a pool; a second one is refused with a BusyError.

>>> import numi_bypass as nb
>>> with nb.Pool(8, 2048) as pool:
...     with pool.take(2) as frames:
...         frames.write(0, b"a packet")
...         bytes(frames.data(0)), pool.ledger().held
(b'a packet', 2)
"""

import warnings
from collections import Counter
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass import errors
from numi_bypass._ffi import CData, checked, ffi, lib, text, view_of, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass.layout import dtype_of
from numi_bypass.ledger import PoolLedger
from numi_bypass.memory import PAGE_NAMES, pages_of

_AVAILABLE, _LEASED, _KEPT, _LENT = range(4)
"""Whose a frame is, on this side: a lease's, kept beyond it, the kernel's. The core knows it in check builds only."""


class Pool(Handle):
    """`frame_count` frames of `frame_size` bytes (a power of two), preallocated and touched."""

    def __init__(
        self, frame_count: int, frame_size: int = 2048, *, pages: str = "auto", node: int | None = None
    ) -> None:
        self.closed = True
        wanted_node = int(lib.NUMI_NODE_ANY) if node is None else whole("node", node, 0, int(lib.NUMI_CPU_MAX) - 1)
        whole("frame_count", frame_count, 1, int(lib.NUMI_POOL_FRAME_COUNT_MAX))
        whole("frame_size", frame_size, int(lib.NUMI_POOL_FRAME_SIZE_MIN), int(lib.NUMI_POOL_FRAME_SIZE_MAX))
        pool = ffi.new("struct numi_pool *")
        checked(lib.numi_pool_open(pool, frame_count, frame_size, pages_of(pages), wanted_node))
        self._pool = ffi.gc(pool, lib.numi_pool_close)
        self._turn = Turn("pool")
        self._owners = np.zeros(frame_count, np.uint8)
        self._leases = 0
        self._refused = 0
        self.frame_count = frame_count
        self.frame_size = frame_size
        self.closed = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.available} available"
        return f"<Pool of {self.frame_count} x {self.frame_size} bytes, {state}>"

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        # Do not hide what went wrong in the block behind the lease it left open.
        if kind is None or self._leases == 0:
            self.close()

    def close(self) -> None:
        """Unmaps the region. A lease that is still open is a BufferError: its views would look at nothing."""
        with self._turn:
            if self._leases:
                raise BufferError(f"{self._leases} lease(s) of this pool are still open")
            if not self.closed:
                lib.numi_pool_close(self._pool)
                self.closed = True

    def _open_pool(self) -> CData:
        if self.closed:
            raise ValueError("the pool is closed")
        return self._pool

    @property
    def pages(self) -> str:
        """The kind of pages that was got."""
        return PAGE_NAMES[self._pool.memory.pages]

    @property
    def fallback(self) -> str:
        """Why they are not the kind that was asked for; empty if they are."""
        return text(self._pool.memory.fallback)

    @property
    def available(self) -> int:
        """Frames that can be taken now."""
        return int(self._pool.available)

    def ledger(self) -> PoolLedger:
        """Where the frames are, and the misses and return drops so far."""
        c = ffi.new("struct numi_pool_ledger *")
        lib.numi_pool_ledger(self._open_pool(), c)
        return PoolLedger(c.size, c.available, c.held, c.lent, c.misses, c.return_drops + self._refused)

    def take(self, count: int = 1) -> "Lease":
        """Up to `count` frames, for a `with` block; each one that lacks is a miss."""
        indices = ffi.new("uint32_t[]", whole("count", count, 1, self.frame_count))
        with self._turn:
            taken = checked(lib.numi_pool_take_batch(self._open_pool(), indices, count))
            got = np.frombuffer(ffi.buffer(indices, 4 * taken), np.uint32).copy()
            self._owners[got] = _LEASED
            self._leases += 1
        return Lease(self, got)

    def give(self, indices: NDArray[np.integer[Any]]) -> int:
        """Gives kept frames back by index; returns how many were accepted, the others are return drops."""
        flat = np.asarray(indices)
        if flat.ndim != 1 or flat.dtype.kind not in "iu":
            raise TypeError(f"indices of {flat.dtype} in {flat.ndim} dimensions: allowed whole numbers in one")
        with self._turn:
            self._open_pool()
            return sum(self._give_kept(int(index)) for index in flat)

    def _give_kept(self, index: int) -> bool:
        if not 0 <= index < self.frame_count or self._owners[index] != _KEPT:
            self._refused += 1
            return False
        self._give_back(np.array([index], np.uint32))
        return True

    def _give_back(self, indices: NDArray[np.uint32]) -> None:
        """Frames that are known to be ours: the core must take them all."""
        accepted = lib.numi_pool_give_batch(self._pool, ffi.from_buffer("uint32_t[]", indices), indices.size)
        assert accepted == indices.size, "the core refuses frames that this side knows to be held"
        self._owners[indices] = _AVAILABLE

    def lend(self, index: int) -> None:
        """A kept frame goes to the kernel."""
        self._move(index, _KEPT, _LENT, lib.numi_pool_lend)

    def reclaim(self, index: int) -> None:
        """A lent frame comes home, kept."""
        self._move(index, _LENT, _KEPT, lib.numi_pool_reclaim)

    def _move(self, index: int, source: int, target: int, move: Any) -> None:
        with self._turn:
            self._open_pool()
            if self._owners[whole("index", index, 0, self.frame_count - 1)] != source:
                code = int(lib.NUMI_ERR_DOUBLE_GIVE)
                detail = f"frame {index} is not {'kept' if source == _KEPT else 'lent'}"
                raise errors.exception_of(code, text(lib.numi_error_name(code)), detail)
            checked(move(self._pool, index))
            self._owners[index] = target


class Lease(Handle):
    """Frames taken from a pool, ours until the `with` block ends.

    `data(i)` and `descriptor(i)` are read-only views over the C memory. A view that is still alive when the block ends
    is a BufferError there, and its frame stays held; once the view is gone, `close()` gives the frame back.
    """

    def __init__(self, pool: Pool, indices: NDArray[np.uint32]) -> None:
        self._pool = pool
        self.indices = indices
        self._ours = np.ones(len(indices), bool)
        self._live_views: Counter[int] = Counter()
        self.closed = False
        for index in indices:
            frame = pool._pool.frames + int(index)
            frame.data_offset = frame.data_size = 0

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"<Lease of {len(self)} frames{', over' if self.closed else ''}>"

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except BufferError:
            if kind is None:
                raise

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2)
            self.close()

    def _frame(self, position: int) -> CData:
        if self.closed or not self._ours[position]:
            raise ValueError("the lease is over")
        return self._pool._open_pool().frames + int(self.indices[position])

    def _slot(self, frame: CData) -> CData:
        return self._pool._pool.slots + frame.index * self._pool.frame_size

    def _view(self, position: int, pointer: CData, size: int) -> memoryview:
        index = int(self.indices[position])
        self._live_views[index] += 1
        return view_of(pointer, size, partial(self._forget_view, index))

    def _forget_view(self, index: int) -> None:
        self._live_views[index] -= 1

    def write(self, position: int, payload: bytes | bytearray | memoryview, *, head_room: int = 0) -> None:
        """Puts a payload into a frame, as a port would."""
        content = memoryview(payload)
        if "O" in content.format:
            raise TypeError("a payload of Python objects: allowed bytes")
        content = content.cast("B")
        size = self._pool.frame_size
        if head_room < 0 or head_room + len(content) > size:
            raise ValueError(f"payload of {len(content)} bytes after {head_room}: the frame has {size}")
        frame = self._frame(position)
        frame.data_offset, frame.data_size = head_room, len(content)
        ffi.memmove(self._slot(frame) + head_room, content, len(content))

    def data(self, position: int) -> NDArray[np.uint8]:
        """The payload of a frame."""
        frame = self._frame(position)
        return np.frombuffer(self._view(position, self._slot(frame) + frame.data_offset, frame.data_size), np.uint8)

    def descriptor(self, position: int) -> NDArray[Any]:
        """What is known of a frame: one record of struct numi_frame."""
        dtype = dtype_of("numi_frame")
        return np.frombuffer(self._view(position, self._frame(position), dtype.itemsize), dtype)

    def keep(self) -> NDArray[np.uint32]:
        """Ends the lease without giving its frames back: they stay held until `pool.give`, or go to the kernel."""
        kept = self.indices[self._ours]
        with self._pool._turn:
            self._pool._owners[kept] = _KEPT
            self._end()
        return kept

    def _end(self) -> None:
        self._ours[:] = False
        self._pool._leases -= 1
        self.closed = True

    def close(self) -> None:
        """Gives the frames back. Those with a live view stay held, and that is a BufferError."""
        with self._pool._turn:
            if self.closed:
                return
            free = self._ours & np.array([self._live_views[int(index)] == 0 for index in self.indices], bool)
            self._pool._give_back(self.indices[free])
            self._ours &= ~free
            if self._ours.any():
                raise BufferError(f"views of {self._ours.sum()} frame(s) outlive their lease: they stay held")
            self._end()
