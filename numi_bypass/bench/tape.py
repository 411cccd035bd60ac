"""What it costs to record a frame, where its bytes are cached and where they are not, and to write it to a file.

loop { 1024 frames, a step every 32: into the ring; the ring: to the file }    record_ns, write_ns a frame
"""

import argparse
import tempfile

from numi_bypass._ffi import checked, lib
from numi_bypass.bench import Report
from numi_bypass.clock import Clock
from numi_bypass.histogram import Histogram
from numi_bypass.options import whole
from numi_bypass.pool import Pool
from numi_bypass.tape import Tape, tape_info

RECORD_TARGET_NS = 20
"""A 64-byte frame, cached."""

_HEADERS_SIZE = 42
_FCS_SIZE = 4
_BLOCK = int(lib.NUMI_BENCH_TAPE_BLOCK)
_HIGHEST_TICKS = 10**11
_POOLS = {"cached": 1024, "memory": 65536}
"""Frames in turn: as a port that takes and gives has them, and as many as fill a large pool."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much of it, and where."""
    parser.add_argument("--frames", type=whole(1, 10**9), default=300_000, help="frames a row")
    parser.add_argument("--out", metavar="FOLDER", help="where the tapes are written (default: where temporaries are)")


def _measure(folder: str, frame_size: int, pool_frames: int, blocks: int) -> tuple[float, float, bool]:
    """Ticks a frame of recording and of writing, the medians; and whether all of it can be read back."""
    record, write = Histogram(_HIGHEST_TICKS, 3), Histogram(_HIGHEST_TICKS, 3)
    with Pool(pool_frames, 2048) as pool, Tape(folder) as tape:
        handles = tape._tape, pool._pool, blocks, _HEADERS_SIZE, frame_size - _FCS_SIZE
        checked(lib.numi_bench_tape(*handles, record._histogram, write._histogram))
    info = tape_info(folder)
    right = (info.frames, info.error, info.replayable) == (blocks * _BLOCK, None, True)
    return record.percentile(50) / _BLOCK, write.percentile(50) / _BLOCK, right


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """Measure; status is ok when every frame that was recorded could be read back."""
    ns_a_tick = 1e9 / Clock().fit("mono_raw").hz
    blocks = max(1, (100_000 if quick else options.frames) // _BLOCK)
    right, cached_ns = True, 0.0
    for frame_size in (64, 1518):
        for where, pool_frames in _POOLS.items():
            with tempfile.TemporaryDirectory(dir=options.out) as folder:
                record, write, is_right = _measure(folder, frame_size, pool_frames, blocks)
            right = right and is_right
            if (frame_size, where) == (64, "cached"):
                cached_ns = record * ns_a_tick
            report.row(frame_size=frame_size, bytes=where, record_ns=record * ns_a_tick, write_ns=write * ns_a_tick)
    report.finish("ok" if right else "failed", target_met=cached_ns <= RECORD_TARGET_NS)
