"""`numi-bypass book`: the books of a day, or of one moment of it, from a capture or from the two lines of a feed."""

import argparse
import json
import sys
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Any

from numi_bypass import errors
from numi_bypass.book import Book, Books, unknown_symbols
from numi_bypass.cli import EXIT_FAILED, EXIT_OK, CommandError, warn
from numi_bypass.commands import told
from numi_bypass.options import whole
from numi_bypass.progress import Progress
from numi_bypass.reading import PRICE_SCALE
from numi_bypass.replaying import Replay, time_of_day

_DEPTH_MAX = 2**31 - 1
_UNIT = f"the wire's integers, 1e-{PRICE_SCALE} dollars"


def _moment(word: str) -> int:
    try:
        return time_of_day(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, which moment, and what to show."""
    parser.epilog = f"Prices are {_UNIT}: {1702500} is {1702500 / 10**PRICE_SCALE:.2f}."
    parser.add_argument("file", metavar="FILE", help="pcap, pcapng or bare ITCH; plain, gzip or zstd")
    parser.add_argument("other", metavar="FILE2", nargs="?", help="the second line of the feed")
    parser.add_argument("--symbol", action="append", help="only this symbol; may be given again")
    moment = parser.add_mutually_exclusive_group()
    moment.add_argument("--at", type=_moment, metavar="TIME", help="as the books stood then (New York): 09:30:00.5")
    moment.add_argument("--at-seq", type=whole(0, 2**64 - 1), metavar="N", help="as they stood after message N")
    parser.add_argument("--depth", type=whole(1, _DEPTH_MAX), default=10, help="levels a side")
    parser.add_argument("--consume-trades", action="store_true", help="a trade (P) takes from the order it names")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the depth of at most 12 symbols (extra plot)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


class _Day:
    """The books, what was applied, and why reading ended early."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.books = Books(consume_trades=options.consume_trades)
        until = {"until": options.at, "until_sequence": options.at_seq}
        self._replay = Replay(options.file, other=options.other, books=self.books, **until)
        self.by_type: Counter[str] = Counter()
        self.failure: str | None = None
        self._read()
        self.document = self._document()

    def _read(self) -> None:
        progress, seen = Progress(), 0
        try:
            for events in self._replay:
                self._replay.apply(events)
                self.by_type.update(told.kinds_of(events["kind"]))
                seen += len(events)
                progress.show(seen, self._replay.events.progress)
        except errors.CorruptError as error:
            self.failure = error.detail
        finally:
            progress.end()

    def _document(self) -> dict[str, Any]:
        """What --json shows, without the books."""
        counts = self.books.counts()
        return {
            "messages": counts["messages"],
            "by_type": dict(sorted(self.by_type.items())),
            "instruments": len(self.books),
            "live_orders": counts["live_orders"],
            "state_hash": self.books.hash(),
            "gaps": self._replay.gaps,
            "rejects": counts["rejects"],
            "undecodable": counts["undecodable"],
            "truncated": counts["truncated"],
            "flags": {"crossed": counts["crossed"], "locked": counts["locked"]},
            "price_scale": PRICE_SCALE,
            **({"status": "error", "error": self.failure} if self.failure else {}),
        }

    def chosen(self, symbols: list[str] | None) -> list[Book]:
        """The books to show; of an instrument that no message has named yet an empty one, if a later one does."""
        ended = ""
        try:
            unknown = self._replay.unknown(symbols or [])
        except errors.CorruptError as error:
            unknown, ended = [symbol for symbol in symbols or [] if symbol not in self.books], f"; {error.detail}"
        if unknown:
            raise CommandError(f"--symbol {' '.join(unknown)}: {unknown_symbols(unknown, self.books)}{ended}")
        return [self.books[symbol] for symbol in dict.fromkeys(symbols or self.books)]

    def warnings(self) -> list[str]:
        """What of the files was left out, and what the options made of them."""
        lines = self._replay.events.warnings()
        rejects = self.books.rejects()["kind"]
        trades = int((rejects == ord("P")).sum())
        if 2 * trades > len(rejects) and 2 * sum(self.books.counts()["rejects"].values()) > self.by_type["P"]:
            lines.append(
                f"--consume-trades: {trades} of the last {len(rejects)} rejected messages are trades of orders that do "
                "not rest: leave it out where E, C, X and D reduce the orders, as they do in ITCH"
            )
        return lines


def _has_orders(book: Book) -> bool:
    return book.depth("bid") + book.depth("ask") > 0


def _rows(book: Book, depth: int) -> dict[str, list[list[int]]]:
    """Price, quantity and number of orders of the best levels."""
    sides = zip(("bids", "asks"), book.top(depth), strict=True)
    return {
        side: [list(level) for level in levels[["price", "quantity", "order_count"]].tolist()] for side, levels in sides
    }


def _print_book(book: Book, depth: int) -> None:
    """Bids on the left, asks on the right, the best first."""
    rows, best = _rows(book, depth), book.bbo
    state = " crossed" if best.crossed else " locked" if best.locked else ""
    print(f"\n{book.symbol}{state}")
    table = [["orders", "quantity", "bid", "ask", "quantity", "orders"]]
    for bid, ask in zip_longest(rows["bids"], rows["asks"], fillvalue=("", "", "")):
        table.append([str(word) for word in (*reversed(bid), *ask)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        bids = [word.rjust(width) for word, width in zip(line[:3], widths[:3], strict=True)]
        asks = [word.rjust(width) for word, width in zip(line[3:], widths[3:], strict=True)]
        print(f"  {'  '.join(bids)} | {'  '.join(asks)}".rstrip())


def _print_summary(document: dict[str, Any]) -> None:
    lost = sum(last - first + 1 for first, last in document["gaps"])
    rows = {name: document[name] for name in ("messages", "instruments", "live_orders", "state_hash")}
    rows |= {"gaps": len(document["gaps"]), "missing": lost, "rejected": sum(document["rejects"].values())}
    rows |= {"undecodable": sum(document["undecodable"].values()), "truncated": document["truncated"]}
    print(told.pairs({**rows, **document["flags"]}))
    for name, reasons in (("rejected", document["rejects"]), ("undecodable", document["undecodable"])):
        if reasons:
            print(f"{name}:", told.pairs(reasons))
    if document["gaps"]:
        print(told.missing(document["gaps"]))


def _print_books(chosen: list[Book], depth: int) -> None:
    shown = [book for book in chosen if _has_orders(book)]
    if shown:
        print(f"prices: {_UNIT}")
    for book in shown:
        _print_book(book, depth)
    empty = [book.symbol for book in chosen if not _has_orders(book)]
    if empty:
        print("\nwithout orders:", *empty)


def run(options: argparse.Namespace) -> int:
    """Read, and show."""
    if options.plot is not None:
        from numi_bypass import depth_plot

        depth_plot.check(options.plot, len(set(options.symbol or [])))
    day = _Day(options)
    warnings, chosen = day.warnings(), day.chosen(options.symbol)
    if options.plot is not None:
        depth_plot.draw(chosen, options.depth, options.plot)
    if options.json:
        books = {book.symbol: _rows(book, options.depth) for book in chosen}
        json.dump({**day.document, "books": books}, sys.stdout)
        print()
    else:
        _print_summary(day.document)
        _print_books(chosen, options.depth)
    warn(options, warnings)
    if day.failure is not None:
        print(f"{options.prog}: {day.failure}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
