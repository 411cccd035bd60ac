"""`numi-bypass lines`: the two lines of a feed beside each other, minute by minute."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from numi_bypass.cli import EXIT_FAILED, EXIT_OK
from numi_bypass.feeding import Feed, PcapPort
from numi_bypass.histogram import Histogram
from numi_bypass.merging import LINES, Line
from numi_bypass.options import whole

_MINUTE_NS = 60 * 10**9
_NAMES = LINES[:2]
_SHOWN = ("packets", "messages", "first", "second", "repeated", "late", "missing", "rescued")
_PERCENTILES = {"p50_ns": 50.0, "p99_ns": 99.0, "max_ns": 100.0}

Counts = dict[Line, dict[str, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which captures, and how to show them."""
    parser.add_argument("a", metavar="A", help="pcap or pcapng of line A; plain, gzip or zstd")
    parser.add_argument("b", metavar="B", help="the same of line B")
    parser.add_argument(
        "--gap-ms", type=whole(1, 10**6), default=20, help="how long a message may be missing on both before it is lost"
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw loss, rescues and skew by minute (extra plot)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


@dataclass
class Minute:
    """What was counted in one minute; `missing` and `rescued` of messages 4096 before."""

    start_ns: int
    lines: Counts
    gaps: int
    lost: int

    @property
    def name(self) -> str:
        """Its UTC time of day."""
        return datetime.fromtimestamp(self.start_ns // 10**9, UTC).strftime("%H:%M")


Mark = tuple[Counts, int, int]
"""What was counted so far: of each line, gaps, messages lost."""

_NOTHING: Mark = ({name: dict.fromkeys(_SHOWN, 0) for name in _NAMES}, 0, 0)


def _mark(feed: Feed) -> Mark:
    lines, counts = feed.lines(), feed.counts()
    of_lines = {name: {key: int(getattr(lines[name], key)) for key in _SHOWN} for name in _NAMES}
    return of_lines, counts["gaps"], counts["missing"]


def _between(start: int, before: Mark, mark: Mark) -> Minute:
    lines = {name: {key: mark[0][name][key] - before[0][name][key] for key in _SHOWN} for name in _NAMES}
    return Minute(start, lines, mark[1] - before[1], mark[2] - before[2])


class _Lines:
    """Both captures through a merge, a minute at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        ports = [PcapPort(options.a, "A"), PcapPort(options.b, "B")]
        with Feed(ports, books=False, hashes=False, silence_ns=10**9, gap_timeout_ns=options.gap_ms * 10**6) as feed:
            self.minutes = self._minutes(feed)
            self.lines = feed.lines()
            self.lag: dict[Line, Histogram] = {name: feed.lag(name) for name in _NAMES}
            self.counts = feed.counts()
            self.disagreements = feed.disagreements()
            self.ledger = feed.ledger()
            self.switches = feed.switches()["switches"]

    def _minutes(self, feed: Feed) -> list[Minute]:
        marks: dict[int, Mark] = {}
        last = frames = 0
        while (due := feed.due) is not None:
            start = due - due % _MINUTE_NS
            for _ in feed.run(until=start + _MINUTE_NS - 1):
                pass
            if feed.counts()["frames"] > frames:  # else time alone did something: the last minute's
                last, frames = start, feed.counts()["frames"]
            marks[last] = _mark(feed)
        for _ in feed.run():
            pass
        feed.settle()
        marks[last] = _mark(feed)
        minutes, before = [], _NOTHING
        for start, mark in marks.items():
            minutes.append(_between(start, before, mark))
            before = mark
        return minutes

    def lag_of(self, name: Line) -> dict[str, int]:
        """Percentiles of how far this line's second copies came behind the first."""
        lag = self.lag[name]
        return {key: lag.percentile(p) for key, p in _PERCENTILES.items()} if len(lag) else {}

    def document(self) -> dict[str, Any]:
        """All of it as one JSON document."""
        return {
            "status": "ok" if self.ledger.whole else "failed",
            "lines": {name: asdict(self.lines[name]) | {"lag": self.lag_of(name)} for name in _NAMES},
            "gaps": self.counts["gaps"],
            "lost": self.counts["missing"],
            "switches": self.switches,
            "disagreements": [asdict(one) for one in self.disagreements],
            "ledger": {"frames": self.ledger.frames, "messages": self.ledger.messages},
            "minutes": [
                {"minute": one.name, "start_ns": one.start_ns, "lines": one.lines, "gaps": one.gaps, "lost": one.lost}
                for one in self.minutes
            ],
        }

    def show(self) -> None:
        """The table of minutes, then each line."""
        print(f"{'minute':8}{'line':6}" + "".join(f"{name:>11}" for name in _SHOWN) + f"{'lost':>8}")
        for minute in self.minutes:
            for name in _NAMES:
                row = "".join(f"{minute.lines[name][key]:>11}" for key in _SHOWN)
                print(f"{minute.name:8}{name:6}{row}{minute.lost if name == 'A' else '':>8}")
        for name in _NAMES:
            counts = self.lines[name]
            pairs = {key: getattr(counts, key) for key in (*_SHOWN, "disagreements", "silences")}
            pairs |= {f"lag_{key}": value for key, value in self.lag_of(name).items()}
            print(f"line={name} " + " ".join(f"{key}={value}" for key, value in pairs.items()))
        print(f"gaps={self.counts['gaps']} lost={self.counts['missing']} switches={self.switches}")


def run(options: argparse.Namespace) -> int:
    """Reads both captures once and tells what each line brought."""
    if options.plot:
        import_module("numi_bypass.pictures").check(options.plot)
    lines = _Lines(options)
    if options.json:
        json.dump(lines.document(), sys.stdout, indent=2)
        print()
    else:
        lines.show()
    if options.plot:
        import_module("numi_bypass.lines_plot").draw(options.plot, lines.minutes)
    return EXIT_OK if lines.ledger.whole else EXIT_FAILED
