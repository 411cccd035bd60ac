"""Messages in memory through decoder and books, with full queues and best prices, beside the bare probe."""

import argparse
import mmap
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np

from numi_bypass._ffi import CData, checked, ffi, lib
from numi_bypass.bench import Report
from numi_bypass.cli import CommandError
from numi_bypass.clock import Clock
from numi_bypass.histogram import Histogram
from numi_bypass.layout import dtype_of
from numi_bypass.options import whole

_BLOCK = 16 << 20
"""Bytes of the file mapped in at once.

What was read is dropped when the next block comes, so that memory is the books'; nothing is copied or read twice,
which would push them out of the caches.
"""

_MADV_POPULATE_READ = 22
"""Of Linux 5.14; Python has no name for it."""

_COLD_EACH = 4001
_TURNS = 3
_QUICK_MESSAGES = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which file, or what kind of day to make."""
    parser.add_argument("--file", type=Path, help="bare ITCH, plain; a day is made where none is given")
    parser.add_argument("--messages", type=whole(1000, 10**9), default=20_000_000, help="of the day that is made")
    parser.add_argument("--symbols", type=whole(1, 60000), default=8000, help="likewise")
    parser.add_argument("--live", type=whole(0, 10**8), default=0, help="orders alive at its peak; 0: as usual")
    parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=1, help="likewise")


@dataclass
class Run:
    """What one pass over the file gave."""

    messages: int
    ns: float
    hash: str
    looks_ahead: bool
    memory: int


def _blocks(path: Path, used: CData, scatter: bool = False) -> Iterator[tuple[CData, int]]:
    """The file in blocks whose pages are there, order ids as they are or random.

    Each begins where `used` says that the last one was read to.
    """
    size, at = path.stat().st_size, 0
    if size == 0:
        return
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    memory = ffi.from_buffer("uint8_t[]", mapped)
    while at < size:
        page, room = at - at % mmap.PAGESIZE, min(_BLOCK, size - at)
        mapped.madvise(_MADV_POPULATE_READ, page, at + room - page)
        if scatter:
            room = lib.numi_bench_whole_size(memory + at, room)
            lib.numi_bench_scatter_ids(memory + at, room)
        used[0] = 0
        yield memory + at, room
        if used[0] == 0:
            return
        at += used[0]
        mapped.madvise(mmap.MADV_DONTNEED, page, at - at % mmap.PAGESIZE - page)


def _pass(path: Path, books: CData, single: CData, scatter: bool) -> tuple[int, int, str]:
    """All messages through a decoder and the books: how many, the ticks, the state hash."""
    decoder = ffi.new("struct numi_itch_decoder **")
    checked(lib.numi_itch_decoder_open(decoder))
    messages, used = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    ticks = total = 0
    try:
        for block, size in _blocks(path, used, scatter):
            ticks += lib.numi_bench_decode_book(decoder[0], books, block, size, single, messages, used)
            total += messages[0]
        locates = np.frombuffer(ffi.buffer(decoder[0].locate_of, 2 * decoder[0].instrument_count), np.uint16)
        wire_ids = np.ascontiguousarray(locates, np.uint64)
        digest = ffi.new("uint8_t[16]")
        checked(lib.numi_books_hash(books, ffi.from_buffer("uint64_t[]", wire_ids), len(wire_ids), digest))
        return total, ticks, bytes(digest).hex()
    finally:
        lib.numi_itch_decoder_close(decoder[0])


def _run_books(path: Path, ns_a_tick: float, single: CData = ffi.NULL, scatter: bool = False) -> Run:
    """The file through books whose memory was touched before: by the file itself, in a first pass."""
    books = ffi.new("struct numi_books **")
    checked(lib.numi_books_open(books, ffi.NULL))
    try:
        _, _, first = _pass(path, books[0], ffi.NULL, scatter)
        lib.numi_books_clear(books[0])
        total, ticks, state = _pass(path, books[0], single, scatter)
        ahead, memory = bool(lib.numi_books_looks_ahead(books[0])), int(lib.numi_books_memory(books[0]))
        ns = ticks * ns_a_tick / max(total, 1)
        return Run(total, ns, state if state == first else "differs", ahead, memory)
    finally:
        lib.numi_books_close(books[0])


def _run_decode(path: Path, ns_a_tick: float) -> float:
    """ns a message of decoding alone."""
    events = np.zeros(512, dtype_of("numi_event"))
    room, messages, used = ffi.from_buffer("struct numi_event[]", events), ffi.new("uint64_t *"), ffi.new("uint64_t *")
    ticks = total = 0
    for block, size in _blocks(path, used):
        used[0] = lib.numi_bench_whole_size(block, size)
        ticks += lib.numi_bench_decode_itch(block, used[0], room, len(events), messages)
        total += messages[0]
    return float(ticks * ns_a_tick / max(total, 1))


def _run_probe(path: Path, ns_a_tick: float, turns: int) -> float:
    """ns a message of the bare probe, looking ahead or not, whichever is faster; 0 where it cannot run."""
    data = np.fromfile(path, np.uint8)
    memory, messages = ffi.from_buffer("uint8_t[]", data), ffi.new("uint64_t *")
    best = []
    for ahead in (0, 1):
        runs = [lib.numi_bench_probe_book(memory, len(data), ahead, messages) for _ in range(turns)]
        best.append(float(statistics.median(runs) * ns_a_tick / max(messages[0], 1)))
    return min(best)


def _report_single(path: Path, ns_a_tick: float, report: Report, cold_each: int) -> str:
    """One message at a time: the percentiles, and the hash."""
    latency = Histogram()
    single = ffi.new("struct numi_bench_single *", {"latency": latency._histogram, "cold_each": cold_each})
    run = _run_books(path, ns_a_tick, single)
    percentiles = {f"p{name}_ns": latency.percentile(p) * ns_a_tick for name, p in _PERCENTILES.items()}
    report.row(single="cold" if cold_each else "warm", **percentiles)
    return run.hash


_PERCENTILES = {"50": 50.0, "99": 99.0, "999": 99.9}


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """Measure; every run must end in the same state."""
    with tempfile.TemporaryDirectory(prefix="numi-book-") as folder:
        path = options.file
        if path is None:
            from numi_bypass.make import make_itch

            path = Path(folder) / "day.itch"
            messages = _QUICK_MESSAGES if quick else options.messages
            make_itch(path, messages=messages, symbols=options.symbols, seed=options.seed, live=options.live)
        _measure(path, report, 1 if quick else _TURNS)


def _measure(path: Path, report: Report, turns: int) -> None:
    ns_a_tick = 1e9 / Clock().fit("mono_raw").hz
    runs = [_run_books(path, ns_a_tick) for _ in range(turns)]
    if runs[0].messages == 0:
        raise CommandError(f"{path}: no messages in it: decode-book reads bare ITCH, not compressed")
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    decode = statistics.median(_run_decode(path, ns_a_tick) for _ in range(turns))
    hashes = {run.hash for run in runs}
    hashes |= {_report_single(path, ns_a_tick, report, cold_each) for cold_each in (0, _COLD_EACH)}
    random_ids = [_run_books(path, ns_a_tick, scatter=True) for _ in range(turns)]
    random_ns = statistics.median(run.ns for run in random_ids)
    probe = _run_probe(path, ns_a_tick, turns)
    ns = statistics.median(run.ns for run in runs)
    report.finish(
        "ok" if len(hashes) == 1 and "differs" not in hashes else "failed",
        messages=runs[0].messages,
        ns_per_message=ns,
        decode_ns_per_message=decode,
        bare_probe_ns=probe,
        over_bare_probe=ns / probe if probe else 0.0,
        random_ids_ns=random_ns,
        random_over_dense=random_ns / ns,
        looks_ahead=runs[0].looks_ahead,
        books_mib=runs[0].memory / 2**20,
        peak_rss_mib=peak,
        state_hash=runs[0].hash,
    )
