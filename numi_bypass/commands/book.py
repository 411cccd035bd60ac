"""`numi-bypass book`: the books of a day, or of one moment of it, from a capture or from the two lines of a feed."""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from numi_bypass import errors
from numi_bypass.book import Book, Books
from numi_bypass.cli import EXIT_FAILED, EXIT_OK, CommandError
from numi_bypass.options import whole
from numi_bypass.progress import Progress
from numi_bypass.replaying import Replay

_DEPTH_MAX = 2**31 - 1


def _moment(word: str) -> int:
    """A New York time of day as ns since midnight."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?", word)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3]) if found else (24, 60, 60)
    if found is None or hours > 23 or minutes > 59 or seconds > 59:
        raise argparse.ArgumentTypeError(f"{word!r}: allowed a time of day as 09:30:00.5")
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int((found[4] or "").ljust(9, "0"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, which moment, and what to show."""
    parser.add_argument("file", metavar="FILE", help="pcap, pcapng or bare ITCH; plain, gzip or zstd")
    parser.add_argument("other", metavar="FILE2", nargs="?", help="the second line of the feed")
    parser.add_argument("--symbol", action="append", help="only this symbol; may be given again")
    moment = parser.add_mutually_exclusive_group()
    moment.add_argument("--at", type=_moment, metavar="TIME", help="as the books stood then (New York): 09:30:00.5")
    moment.add_argument("--at-seq", type=whole(0, 2**64 - 1), metavar="N", help="as they stood after message N")
    parser.add_argument("--depth", type=whole(1, _DEPTH_MAX), default=10, help="levels a side")
    parser.add_argument("--consume-trades", action="store_true", help="a trade takes from the order it names")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the depth of each chosen symbol (extra plot)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


class _Day:
    """The books, what was applied, and why reading ended early."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.books = Books(consume_trades=options.consume_trades)
        until = {"until_ns": options.at, "until_sequence": options.at_seq}
        self._replay = Replay(options.file, other=options.other, books=self.books, **until)
        self.by_type: Counter[str] = Counter()
        self.failure: str | None = None
        self._read()

    def _read(self) -> None:
        progress, seen = Progress(), 0
        try:
            for events in self._replay:
                self._replay.apply(events)
                self.by_type.update(_kinds(events["kind"]))
                seen += len(events)
                progress.show(seen, self._replay.events.progress)
        except errors.CorruptError as error:
            self.failure = error.detail
        finally:
            progress.end()

    def document(self) -> dict[str, Any]:
        """What --json shows, without the books."""
        counts = self.books.counts()
        return {
            "messages": sum(self.by_type.values()),
            "by_type": dict(sorted(self.by_type.items())),
            "instruments": len(self.books),
            "live_orders": counts["live_orders"],
            "state_hash": self.books.hash(),
            "gaps": self._replay.gaps,
            "rejects": counts["rejects"],
            "flags": {"crossed": counts["crossed"], "locked": counts["locked"]},
        }


def _kinds(kinds: "np.ndarray[Any, np.dtype[np.uint8]]") -> dict[str, int]:
    """How many messages of each type; a declared gap is none."""
    numbers = np.bincount(kinds, minlength=256)
    numbers[0] = 0
    return {chr(kind): int(numbers[kind]) for kind in numbers.nonzero()[0]}


def _chosen(books: Books, symbols: list[str] | None) -> list[Book]:
    unknown = [symbol for symbol in symbols or [] if symbol not in books]
    if unknown:
        raise CommandError(f"--symbol {unknown[0]}: no message up to then names it; there are {len(books)} instruments")
    return [books[symbol] for symbol in dict.fromkeys(symbols or books)]


def _rows(book: Book, depth: int) -> dict[str, list[list[int]]]:
    names = ("price", "quantity", "order_count")
    sides = zip(("bids", "asks"), book.top(depth), strict=True)
    return {side: [[int(level[name]) for name in names] for level in levels] for side, levels in sides}


def _print_book(book: Book, depth: int) -> None:
    """Bids on the left, asks on the right, the best first."""
    rows, best = _rows(book, depth), book.bbo
    state = " crossed" if best.crossed else " locked" if best.locked else ""
    print(f"\n{book.symbol}{state}\n{'orders':>8} {'quantity':>12} {'bid':>12} | {'ask':<12} {'quantity':<12} orders")
    for place in range(max(map(len, rows.values()))):
        bid = rows["bids"][place] if place < len(rows["bids"]) else ["", "", ""]
        ask = rows["asks"][place] if place < len(rows["asks"]) else ["", "", ""]
        print(f"{bid[2]:>8} {bid[1]:>12} {bid[0]:>12} | {ask[0]:<12} {ask[1]:<12} {ask[2]}".rstrip())


def _print_summary(document: dict[str, Any]) -> None:
    rejected = sum(document["rejects"].values())
    words = [f"{name}={document[name]}" for name in ("messages", "instruments", "live_orders", "state_hash")]
    words += [f"gaps={len(document['gaps'])}", f"rejected={rejected}"]
    print(*words, *(f"{name}={count}" for name, count in document["flags"].items()))
    for reason, count in document["rejects"].items():
        print(f"rejected {count}: {reason}")
    for first, last in document["gaps"]:
        print(f"gap: {first} to {last}")


def run(options: argparse.Namespace) -> int:
    """Read, and show."""
    day = _Day(options)
    document, chosen = day.document(), _chosen(day.books, options.symbol)
    if options.plot is not None:
        from numi_bypass.depth_plot import draw

        draw(chosen, options.depth, options.plot)
    if options.json:
        books = {book.symbol: _rows(book, options.depth) for book in chosen}
        json.dump({**document, "books": books}, sys.stdout)
        print()
    else:
        _print_summary(document)
        for book in chosen:
            _print_book(book, options.depth)
    if day.failure is not None:
        print(f"numi-bypass book: {day.failure}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
