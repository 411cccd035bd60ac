"""Everything but the NIC on one core: pool, ring, merge, decoder and books, frames from memory."""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from numi_bypass._ffi import CData, checked, ffi, lib
from numi_bypass.bench import Report
from numi_bypass.clock import Clock
from numi_bypass.cores import faults
from numi_bypass.feeding import Feed, RingPort
from numi_bypass.make import make_itch
from numi_bypass.merging import LINES
from numi_bypass.options import whole

_BLOCK = 200_000
"""Messages between two looks at the clock: throughput is the median of blocks."""

_QUICK_MESSAGES = 400_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which messages, on how many lines."""
    parser.add_argument("--file", type=Path, help="bare ITCH, plain; a day is made where none is given")
    parser.add_argument("--messages", type=whole(1000, 10**9), default=4_000_000, help="of the day that is made")
    parser.add_argument("--symbols", type=whole(1, 60000), default=100, help="likewise")
    parser.add_argument("--lines", type=whole(1, 2), default=1, help="each message is sent on so many")
    parser.add_argument("--batch", type=whole(1, 256), default=64, help="frames sent before the feed is stepped")
    parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=1, help="of the day")


def _bytes_of(options: argparse.Namespace, quick: bool) -> np.ndarray:
    if options.file is not None:
        return np.fromfile(options.file, np.uint8)
    messages = _QUICK_MESSAGES if quick else options.messages
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.itch"
        make_itch(path, messages=messages, symbols=options.symbols, seed=options.seed)
        return np.fromfile(path, np.uint8)


def _local(feed: Feed, rings: list[CData], content: np.ndarray, batch: int) -> CData:
    local = ffi.new("struct numi_bench_local *")
    local.pool, local.feed = feed._pool._pool, feed._open_feed
    local.rings = rings + [ffi.NULL] * (2 - len(rings))
    local.bytes, local.size = ffi.cast("uint8_t *", ffi.from_buffer(content)), len(content)
    local.sequence, local.line_count, local.batch = 1, len(rings), batch
    return local


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """The messages through, block by block; what the first block faulted in is not counted."""
    content = _bytes_of(options, quick)
    ns_a_tick = 1e9 / Clock().fit("mono_raw").hz
    ports = [RingPort(4096, line) for line in LINES[: options.lines]]
    with Feed(ports, pool_frames=65536, lines=options.lines, hashes=False, silence_ns=None) as feed:
        rings = [one._ring for one in ports]
        local, packets = _local(feed, rings, content, options.batch), ffi.new("uint64_t *")
        checked(lib.numi_books_reserve(lib.numi_feed_books(feed._open_feed), 65536, 1 << 20))
        per_packet, moved, total = [], 0, 0
        while local.at < local.size:
            before = faults()
            ticks = lib.numi_bench_local_core(local, _BLOCK, packets)
            if ticks == 0 or packets[0] == 0:
                break
            moved += faults().thread_minor - before.thread_minor if total else 0
            total += packets[0]
            per_packet.append(ticks * ns_a_tick / packets[0])
        ledger, pool, counts = feed.ledger(), feed.pool_ledger(), feed.counts()
        duplicates = ledger.frames["duplicate"] - (options.lines - 1) * (total // options.lines)
        right = ledger.whole and pool.available == pool.size and counts["gaps"] == 0 and duplicates == 0
        right = right and counts["event_reallocs"] == 0 and local.at == local.size
        ns = float(np.median(per_packet))
        report.finish(
            "ok" if right else "failed",
            sequence_gaps=counts["gaps"],
            dup_or_ooo=duplicates,
            event_vec_reallocs=counts["event_reallocs"],
            pool_available=pool.available,
            pool_size=pool.size,
            packets=total,
            ns_per_packet=ns,
            mpps=1e3 / ns,
            page_faults_after_start=moved,
            state_hash=feed.state_hash(),
        )
