"""The merge alone: two lines of one-message packets, without faults and with, against copying the same payloads.

Frames come from the pool in no order, as from one that has been in use for hours; a row apart says what a fresh pool
gives, whose frames lie one behind the other.
"""

import argparse
import statistics

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, ffi, lib
from numi_bypass.bench import Report
from numi_bypass.clock import Clock
from numi_bypass.histogram import Histogram
from numi_bypass.layout import dtype_of
from numi_bypass.merging import Merge
from numi_bypass.options import whole
from numi_bypass.pool import Pool

_POOL = 65536
_BLOCK = 30000
"""Messages a block, on two lines: their frames, and those that wait, fit into the pool."""

_GAP_NS = 33
_PERCENTILES = {"50": 50.0, "99": 99.0, "99_9": 99.9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--blocks", type=whole(1, 10**6), default=60, help=f"of {_BLOCK} messages, for each figure")
    parser.add_argument("--size", type=whole(31, 256), default=60, help="bytes of a payload")
    parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=1, help="of the faults")


def _packets(first: int, loss: float, reorder: float, rng: np.random.Generator) -> NDArray[np.void]:
    """A block of both lines, by arrival."""
    lines = []
    for line in range(2):
        sequences = np.arange(first, first + _BLOCK, dtype=np.uint64)
        places = np.arange(_BLOCK) + line * 0.5
        places += np.where(rng.random(_BLOCK) < reorder, rng.integers(1, 9, _BLOCK), 0)
        kept = rng.random(_BLOCK) >= loss
        rows = np.zeros(int(kept.sum()), dtype_of("numi_bench_packet"))
        rows["sequence"], rows["line"] = sequences[kept], line
        lines.append((rows, places[kept]))
    order = np.argsort(np.concatenate([places for _, places in lines]), kind="stable")
    return np.concatenate([rows for rows, _ in lines])[order]


class _Merge(Merge):
    _HANDS_OVER = True


class _Bench:
    """A pool, a merge, and what came out."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.pool = Pool(_POOL, 2048)
        self.merge = _Merge(pool=self.pool, gap_timeout_ns=100_000, window=65536, pending_max=4096, silence_ns=None)
        self.output = ffi.new("struct numi_bench_output *")
        self.output.next = 1
        self.rng = np.random.default_rng(seed)
        self.first = 1
        self.now = ffi.new("int64_t *")

    def _put_frames_in_order(self, is_fresh: bool) -> None:
        """The next frames to be taken, the last of the stack first: as they lie, or in none."""
        pool = self.pool._pool
        free = np.frombuffer(ffi.buffer(pool.free_indices, 4 * pool.available), np.uint32)
        free[:] = np.sort(free)[::-1] if is_fresh else self.rng.permutation(free)

    def block(
        self, loss: float, reorder: float, latency: CData = ffi.NULL, is_fresh: bool = False
    ) -> tuple[int, int, int]:
        """Ticks of the merge, ticks of copying the same payloads, packets."""
        self._put_frames_in_order(is_fresh)
        packets = _packets(self.first, loss, reorder, self.rng)
        self.first += _BLOCK
        rows = ffi.from_buffer("struct numi_bench_packet[]", packets)
        placed = lib.numi_bench_place(self.pool._pool, rows, len(packets), self.size)
        assert placed == len(packets), "the pool is too small for a block"
        copied = lib.numi_bench_copy_payloads(self.pool._pool, rows, placed)
        merged = lib.numi_bench_merge(
            self.merge._open, self.pool._pool, rows, placed, self.now, _GAP_NS, latency, self.output
        )
        return int(merged), int(copied), placed

    def figures(
        self, blocks: int, ns_a_tick: float, loss: float = 0, reorder: float = 0, is_fresh: bool = False
    ) -> tuple[float, float]:
        """ns a packet, of the merge and of copying: medians over blocks."""
        self.block(loss, reorder, is_fresh=is_fresh)
        rows = [self.block(loss, reorder, is_fresh=is_fresh) for _ in range(blocks)]
        merged = statistics.median(merged / packets for merged, _, packets in rows) * ns_a_tick
        return merged, statistics.median(copied / packets for _, copied, packets in rows) * ns_a_tick


def _cost_of_reading() -> float:
    """Ticks between two fenced readings with nothing between: the median."""
    hot = ffi.new("struct numi_hot **")
    lib.numi_hot_open(hot)
    ticks = Histogram()
    lib.numi_hot_each(hot[0], lib.NUMI_HOT_PROBE, 16, ticks._histogram)
    lib.numi_hot_close(hot[0])
    return float(ticks.percentile(50))


def _quietest(bench: _Bench, blocks: int, ns_a_tick: float) -> dict[str, float]:
    """Percentiles of one packet timed alone, of the window in which the 99th was lowest; reading subtracted."""
    reading, best = _cost_of_reading(), None
    for _ in range(blocks):
        window = Histogram()
        bench.block(0, 0, window._histogram)
        if best is None or window.percentile(99) < best.percentile(99):
            best = window
    assert best is not None
    return {f"p{name}_ns": max(0.0, best.percentile(p) - reading) * ns_a_tick for name, p in _PERCENTILES.items()}


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """Clean, with faults, and one packet alone."""
    blocks = 5 if quick else options.blocks
    ns_a_tick = 1e9 / Clock().fit("mono_raw").hz
    bench = _Bench(options.size, options.seed)
    fresh, least = bench.figures(blocks, ns_a_tick, is_fresh=True)
    report.row(faults="none", pool="fresh", ns_per_packet=fresh, mpps=1e3 / fresh, copy_ns=least, of_copy=least / fresh)
    clean, copied = bench.figures(blocks, ns_a_tick)
    right = bench.output.gaps == 0 and bench.output.disorder == 0
    report.row(
        faults="none", pool="used", ns_per_packet=clean, mpps=1e3 / clean, copy_ns=copied, of_copy=copied / clean
    )
    report.row(latency="in_order", **_quietest(bench, blocks, ns_a_tick))
    faulty, _ = bench.figures(blocks, ns_a_tick, 0.01, 0.05)
    report.row(faults="loss 1% reorder 5%", ns_per_packet=faulty, mpps=1e3 / faulty, of_clean=clean / faulty)
    bench.merge.flush()
    ledger, pool = bench.merge.ledger(), bench.pool.ledger()
    right = right and bench.output.disorder == 0 and ledger.whole and pool.available == pool.size
    report.finish(
        "ok" if right else "failed",
        mpps=1e3 / clean,
        of_copy=copied / clean,
        with_faults_of_clean=clean / faulty,
        messages=int(bench.output.messages),
        gaps=int(bench.output.gaps),
        pool_available=pool.available,
        pool_size=pool.size,
    )
