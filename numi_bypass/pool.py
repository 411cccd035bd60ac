"""The pool: frames in one region of huge pages, taken and given back, none ever allocated later.

>>> import numi_bypass as nb
>>> with nb.Pool(8, 2048) as pool:
...     with pool.take(2) as frames:
...         frames.write(0, b"a packet")
...         bytes(frames.data(0)), pool.ledger().held
(b'a packet', 2)
"""

from collections import Counter
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import checked, ffi, lib, text, view_of
from numi_bypass.layout import dtype_of
from numi_bypass.ledger import PoolLedger
from numi_bypass.memory import PAGE_NAMES, pages_of


class Pool:
    """`frame_count` frames of `frame_size` bytes (a power of two), preallocated and touched."""

    def __init__(
        self, frame_count: int, frame_size: int = 2048, *, pages: str = "auto", node: int | None = None
    ) -> None:
        self._pool = ffi.new("struct numi_pool *")
        self._leases = 0
        wanted_node = int(lib.NUMI_NODE_ANY) if node is None else node
        checked(lib.numi_pool_open(self._pool, frame_count, frame_size, pages_of(pages), wanted_node))
        self._pool = ffi.gc(self._pool, lib.numi_pool_close)
        self.frame_count = frame_count
        self.frame_size = frame_size
        self.closed = False

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        # Do not hide what went wrong in the block behind the lease it left open.
        if kind is None or self._leases == 0:
            self.close()

    def close(self) -> None:
        """Unmaps the region. A lease that is still open is a BufferError: its views would look at nothing."""
        if self._leases:
            raise BufferError(f"{self._leases} lease(s) of this pool are still open")
        if not self.closed:
            lib.numi_pool_close(self._pool)
            self.closed = True

    def _open_pool(self) -> Any:
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
        return PoolLedger(c.size, c.available, c.held, c.lent, c.misses, c.return_drops)

    def take(self, count: int = 1) -> "Lease":
        """Up to `count` frames, for a `with` block; each one that lacks is a miss."""
        if not 0 < count <= self.frame_count:
            raise ValueError(f"count={count}: allowed 1 to {self.frame_count}")
        indices = ffi.new("uint32_t[]", count)
        taken = checked(lib.numi_pool_take_batch(self._open_pool(), indices, count))
        return Lease(self, np.frombuffer(ffi.buffer(indices, 4 * taken), np.uint32).copy())

    def give(self, indices: NDArray[np.uint32]) -> int:
        """Gives frames back by index; returns how many were accepted, the others are return drops."""
        flat = np.ascontiguousarray(indices, np.uint32)
        return checked(lib.numi_pool_give_batch(self._open_pool(), ffi.from_buffer("uint32_t[]", flat), len(flat)))

    def lend(self, index: int) -> None:
        """A held frame goes to the kernel."""
        checked(lib.numi_pool_lend(self._open_pool(), index))

    def reclaim(self, index: int) -> None:
        """A lent frame comes home, held."""
        checked(lib.numi_pool_reclaim(self._open_pool(), index))


class Lease:
    """Frames taken from a pool, ours until the `with` block ends.

    `data(i)` and `descriptor(i)` are read-only views over the C memory. A view that is still alive when the block ends
    is a BufferError there, and its frame stays held; once the view is gone, `close()` gives the frame back.
    """

    def __init__(self, pool: Pool, indices: NDArray[np.uint32]) -> None:
        self._pool = pool
        self.indices = indices
        self._live_views: Counter[int] = Counter()
        pool._leases += 1
        self.closed = False

    def __len__(self) -> int:
        return len(self.indices)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except BufferError:
            if kind is None:
                raise

    def _frame(self, position: int) -> Any:
        if self.closed:
            raise ValueError("the lease is over")
        return self._pool._pool.frames + int(self.indices[position])

    def _view(self, position: int, pointer: Any, size: int) -> memoryview:
        index = int(self.indices[position])
        self._live_views[index] += 1
        return view_of(pointer, size, partial(self._forget_view, index))

    def _forget_view(self, index: int) -> None:
        self._live_views[index] -= 1

    def write(self, position: int, payload: bytes, *, head_room: int = 0) -> None:
        """Puts a payload into a frame, as a port would."""
        size = self._pool.frame_size
        if head_room < 0 or head_room + len(payload) > size:
            raise ValueError(f"payload of {len(payload)} bytes after {head_room}: the frame has {size}")
        frame = self._frame(position)
        frame.data_offset, frame.data_size = head_room, len(payload)
        slot = self._pool._pool.slots + frame.index * self._pool.frame_size
        ffi.memmove(slot + head_room, payload, len(payload))

    def data(self, position: int) -> NDArray[np.uint8]:
        """The payload of a frame."""
        frame = self._frame(position)
        slot = self._pool._pool.slots + frame.index * self._pool.frame_size
        return np.frombuffer(self._view(position, slot + frame.data_offset, frame.data_size), np.uint8)

    def descriptor(self, position: int) -> NDArray[Any]:
        """What is known of a frame: one record of struct numi_frame."""
        dtype = dtype_of("numi_frame")
        return np.frombuffer(self._view(position, self._frame(position), dtype.itemsize), dtype)

    def close(self) -> None:
        """Gives the frames back. Those with a live view stay held, and that is a BufferError."""
        if self.closed:
            return
        free = np.array([self._live_views[int(index)] == 0 for index in self.indices], bool)
        self._pool.give(self.indices[free])
        self.indices = self.indices[~free]
        if len(self.indices):
            raise BufferError(f"views of {len(self.indices)} frame(s) outlive their lease: they stay held")
        self._pool._leases -= 1
        self.closed = True
