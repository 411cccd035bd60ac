"""How fast messages become events, beside a probe that only reads their bytes and switches on the type.

    .venv/bin/python benches/decode.py [FILE] [--messages N] [--peer]

One core, one run, medians of seven turns in which every candidate runs once. FILE is bare ITCH; else a day is made.
--peer also times the fastest pure-Python parser on PyPI (pip install itchfeed) over the first 200,000 messages.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import numi_bypass as nb
from numi_bypass._ffi import ffi, lib
from numi_bypass.layout import dtype_of

TURNS = 7
PEER_MESSAGES = 200_000


def timed_c(run: Callable[..., int], *arguments: object) -> float:
    """ns a message of a C loop that reports ticks."""
    count = ffi.new("uint64_t *")
    ticks = run(*arguments, count)
    return ticks * NS_A_TICK / count[0]


def timed_read(path: Path) -> float:
    """ns a message of nb.read."""
    begin = time.perf_counter_ns()
    count = sum(len(batch) for batch in nb.read(path))
    return (time.perf_counter_ns() - begin) / count


def timed_parquet(path: Path, out: Path) -> float:
    """Messages a second from file to Parquet."""
    begin = time.perf_counter()
    count = nb.read(path).to_parquet(out)
    return count / (time.perf_counter() - begin)


def timed_peer(data: bytes) -> float:
    """ns a message of itchfeed."""
    from itch.parser import MessageParser

    part = bytearray()
    at = 0
    for _ in range(PEER_MESSAGES):
        size = int.from_bytes(data[at : at + 2], "big")
        part += data[at : at + 2 + size]
        at += 2 + size
    begin = time.perf_counter_ns()
    count = sum(1 for _ in MessageParser().parse_stream(bytes(part)))
    return (time.perf_counter_ns() - begin) / count


def main() -> None:
    """Measure and print key=value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--messages", type=int, default=20_000_000)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="numi-decode-"))
    path = options.file or folder / "day.itch"
    if options.file is None:
        nb.make_itch(path, messages=options.messages, symbols=8000, seed=1)
    data = np.fromfile(path, np.uint8)
    memory = ffi.from_buffer("uint8_t[]", data)
    events = np.zeros(4096, dtype_of("numi_event"))
    room = ffi.from_buffer("struct numi_event[]", events)
    runs: dict[str, Callable[[], float]] = {
        "probe_ns": lambda: timed_c(lib.numi_bench_probe_itch, memory, len(data)),
        "decode_ns": lambda: timed_c(lib.numi_bench_decode_itch, memory, len(data), room, len(events)),
        "read_ns": lambda: timed_read(path),
    }
    turns = [{name: run() for name, run in runs.items()} for _ in range(TURNS)]
    figures = {name: statistics.median(turn[name] for turn in turns) for name in runs}
    figures["decode_over_probe"] = statistics.median(turn["decode_ns"] / turn["probe_ns"] for turn in turns)
    figures["read_over_decode"] = statistics.median(turn["read_ns"] / turn["decode_ns"] for turn in turns)
    figures["parquet_messages_per_s"] = statistics.median(timed_parquet(path, folder / "x.parquet") for _ in range(3))
    if options.peer:
        figures["peer_ns"] = timed_peer(data[: 60 * PEER_MESSAGES].tobytes())
        figures["peer_over_read"] = figures["peer_ns"] / figures["read_ns"]
    figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(" ".join(f"{name}={value:.4g}" for name, value in figures.items()))


NS_A_TICK = 1e9 / nb.Clock().fit("mono_raw").hz

if __name__ == "__main__":
    sys.exit(main())
