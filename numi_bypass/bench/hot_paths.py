"""What an operation of the ground floor costs, in a stream and one by one; the ring across cores, and against C++.

one core:    loop { operation }                          ns = bulk, p50/p99 = one by one, less the probe's own p50
cross-core:  cpu A: push(TSC) every microsecond -> ring -> cpu B: pop, TSC - pushed
peer:        cpu A: push 0, 1, 2, ... -> ring -> cpu B: pop, check; 11 pairs of ours and a C++ ring, in turn
"""

import argparse
import statistics
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numi_bypass
from numi_bypass._ffi import checked, ffi, lib, text
from numi_bypass.bench import Report
from numi_bypass.cli import CommandError
from numi_bypass.clock import Clock
from numi_bypass.cores import topology
from numi_bypass.histogram import Histogram
from numi_bypass.ring import Ring

PUSH_POP_P99_TARGET_NS = 50
CROSS_CORE_P99_TARGET_NS = 500
PEER_RATIO_TARGET = 0.95

_HIGHEST_TICKS = 10**11
_WINDOWS = 20
_WINDOW_SIZE = 20_000
_GAP_NS = 1000
_PAIRS = 11
_RING_RECORDS = 4096
_PATIENCE_NS = 5_000_000_000
"""When a partner that was never scheduled is given up."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much of it."""
    parser.add_argument("--smoke", action="store_true", help="a few operations of each, to see that it runs")


class _Ticks:
    """Ticks to nanoseconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ns = 1e9 / self.clock.fit("mono_raw").hz

    def deadline(self) -> int:
        return self.clock.ticks() + int(_PATIENCE_NS / self.ns)


def _each(hot: Any, kind: int, blocks: int) -> Histogram:
    histogram = Histogram(_HIGHEST_TICKS, 3)
    checked(lib.numi_hot_each(hot, kind, blocks, histogram._histogram))
    return histogram


def _bulk_ns(hot: Any, kind: int, blocks: int, ticks: _Ticks) -> float:
    """The median of 11 stretches: a preemption spoils one, not the figure."""
    stretches = [lib.numi_hot_bulk(hot, kind, blocks) for _ in range(11)]
    return float(statistics.median(stretches) * ticks.ns / (blocks * int(lib.NUMI_HOT_BLOCK)))


def _measure_operations(report: Report, ticks: _Ticks, blocks: int) -> dict[str, float]:
    """Every operation on one core; returns each p99."""
    out = ffi.new("struct numi_hot **")
    checked(lib.numi_hot_open(out))
    hot = ffi.gc(out[0], lib.numi_hot_close)
    _each(hot, int(lib.NUMI_HOT_PROBE), blocks)
    probe = _each(hot, int(lib.NUMI_HOT_PROBE), blocks).percentile(50)
    report.row(operation="probe", p50_ns=probe * ticks.ns, note="subtracted_below")
    p99s = {}
    for kind in range(int(lib.NUMI_HOT_PROBE) + 1, int(lib.NUMI_HOT_KIND_COUNT)):
        name = text(lib.numi_hot_name(kind))
        histogram = _each(hot, kind, blocks)
        p50, p99 = (max(0, histogram.percentile(p) - probe) * ticks.ns for p in (50, 99))
        p99s[name] = p99
        report.row(operation=name, ns=_bulk_ns(hot, kind, blocks, ticks), p50_ns=p50, p99_ns=p99)
    return p99s


def _two_cpus() -> tuple[int, int] | None:
    """Two CPUs of different cores where there are such, else any two."""
    cpus = [cpu for cpu in topology() if cpu.allowed]
    for other in cpus[1:]:
        if (other.core, other.package) != (cpus[0].core, cpus[0].package):
            return cpus[0].cpu, other.cpu
    return (cpus[0].cpu, cpus[1].cpu) if len(cpus) > 1 else None


def _beside(work: Callable[[], int], main: Callable[[], int]) -> tuple[int, int]:
    """`work` on a thread of its own while `main` runs here; what both returned."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    try:
        own = main()
    finally:
        thread.join()
    return result[0], own


def _cross_core(report: Report, ticks: _Ticks, cpus: tuple[int, int], window_size: int) -> float:
    """One way through the ring; returns the p99 of the quietest window."""
    ring = Ring("u8", _RING_RECORDS)
    windows = ffi.new("struct numi_histogram[]", _WINDOWS)
    histograms = [Histogram(_HIGHEST_TICKS, 3) for _ in range(_WINDOWS)]
    for i, histogram in enumerate(histograms):
        windows[i] = histogram._histogram[0]
    count, gap, deadline = _WINDOWS * window_size, int(_GAP_NS / ticks.ns), ticks.deadline()
    sent, received = _beside(
        lambda: int(lib.numi_hot_send(ring._ring, cpus[0], count, gap, deadline)),
        lambda: int(lib.numi_hot_receive(ring._ring, cpus[1], windows, _WINDOWS, window_size, deadline)),
    )
    whole = Histogram(_HIGHEST_TICKS, 3)
    for i, histogram in enumerate(histograms):
        # The loop recorded into copies of the structs: the counts are shared, the totals are not.
        ffi.memmove(histogram._histogram, windows + i, ffi.sizeof("struct numi_histogram"))
        whole.add(histogram)

    def ns(histogram: Histogram, percentile: float) -> float:
        return histogram.percentile(percentile) * ticks.ns

    quietest = min(histograms, key=lambda histogram: ns(histogram, 99))
    for label, histogram in (("quietest", quietest), ("whole_run", whole)):
        tails = {f"p{name}_ns": ns(histogram, p) for name, p in (("50", 50), ("99", 99), ("999", 99.9))}
        report.row(operation="ring_one_way", cpus=f"{cpus[0]}-{cpus[1]}", of=label, **tails)
    if not sent == received == count:
        done = f"{checked(sent)} sent, {checked(received)} received of {count}"
        raise CommandError(f"hot-paths: {done} in {_PATIENCE_NS / 1e9:.0f} s")
    return ns(quietest, 99)


_PEER_CDEF = """
void *peer_ring_open(uint64_t count);
void peer_ring_close(void *ring);
int64_t peer_ring_stream_push(void *ring, unsigned cpu, uint64_t count, uint64_t deadline);
int64_t peer_ring_stream_pop(void *ring, unsigned cpu, uint64_t count, uint64_t deadline);
uint64_t peer_ring_round_trip(void *ring, uint32_t blocks);
"""


def _load_peer() -> Any:
    import cffi

    peer = cffi.FFI()
    peer.cdef(_PEER_CDEF)
    return peer.dlopen(str(Path(numi_bypass.__file__).with_name("_peer_ring.so")))


def _pairs(ours: Callable[[], int], theirs: Callable[[], int], count: int) -> tuple[list[int], list[int]]:
    """Both in turn, the first place changing hands."""
    own: list[int] = []
    other: list[int] = []
    for pair in range(count):
        first, second = ((ours, own), (theirs, other)) if pair % 2 == 0 else ((theirs, other), (ours, own))
        for run_one, results in (first, second):
            results.append(run_one())
    return own, other


def _against_peer(report: Report, ticks: _Ticks, cpus: tuple[int, int] | None, blocks: int, pairs: int) -> float:
    """Our ring against the C++ one; returns the ratio of speeds from core to core, which is what a ring is for."""
    peer = _load_peer()
    ring, other = Ring("u8", _RING_RECORDS), peer.peer_ring_open(_RING_RECORDS)
    count = blocks * int(lib.NUMI_HOT_BLOCK)

    def stream(push: Any, pop: Any, handle: Any, cpus: tuple[int, int]) -> int:
        deadline = ticks.deadline()
        pushed, spent = _beside(
            lambda: int(push(handle, cpus[0], count, deadline)), lambda: int(pop(handle, cpus[1], count, deadline))
        )
        if pushed != count or spent < 0:
            raise CommandError(f"hot-paths: the stream broke after {checked(pushed)} of {count} records")
        return spent

    def show(where: str, own: list[int], theirs: list[int]) -> float:
        ratio = statistics.median(b / a for a, b in zip(own, theirs, strict=True))
        ns, cpp_ns = (statistics.median(runs) * ticks.ns / count for runs in (own, theirs))
        report.row(operation="ring_against_cpp", where=where, ns=ns, cpp_ns=cpp_ns, pairs=pairs, median_ratio=ratio)
        return ratio

    try:
        ratio = show(
            "one_core",
            *_pairs(
                lambda: int(lib.numi_hot_round_trip(ring._ring, blocks)),
                lambda: int(peer.peer_ring_round_trip(other, blocks)),
                pairs,
            ),
        )
        if cpus is not None:
            both = cpus
            ratio = show(
                "cross_core",
                *_pairs(
                    lambda: stream(lib.numi_hot_stream_push, lib.numi_hot_stream_pop, ring._ring, both),
                    lambda: stream(peer.peer_ring_stream_push, peer.peer_ring_stream_pop, other, both),
                    pairs,
                ),
            )
    finally:
        peer.peer_ring_close(other)
    return ratio


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """Measure all of it; status is ok when every record came through, targets are told apart."""
    ticks = _Ticks()
    blocks = 4 if options.smoke else 200 if quick else 1000
    p99s = _measure_operations(report, ticks, blocks)
    cpus = _two_cpus()
    targets = {
        "push_p99": p99s["ring_push"] < PUSH_POP_P99_TARGET_NS,
        "pop_p99": p99s["ring_pop"] < PUSH_POP_P99_TARGET_NS,
    }
    if cpus is not None:
        window_size = 200 if options.smoke else _WINDOW_SIZE
        targets["one_way_p99"] = _cross_core(report, ticks, cpus, window_size) < CROSS_CORE_P99_TARGET_NS
    else:
        report.row(operation="ring_one_way", skipped="needs_two_cpus")
    ratio = _against_peer(report, ticks, cpus, 8 if options.smoke else 2000, 3 if options.smoke else _PAIRS)
    targets["cpp_ratio"] = ratio >= PEER_RATIO_TARGET
    missed = [name for name, met in targets.items() if not met]
    report.finish("ok", target_met=not missed, **({"limit": ",".join(missed)} if missed else {}))
