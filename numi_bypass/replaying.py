r"""Files through the books: replay, best-price changes, snapshots.

>>> import pathlib, tempfile, numi_bypass as nb
>>> path = pathlib.Path(tempfile.mkdtemp()) / "day.itch"
>>> _ = nb.make_itch(path, messages=20_000, symbols=5, seed=1)
>>> books = nb.replay(path)
>>> books.counts()["messages"], len(books)
(20000, 5)
>>> best = nb.bbo(path, symbols=["A"])
>>> bool((best["bid"][-1], best["ask"][-1]) == (books["A"].bbo.bid, books["A"].bbo.ask))
True
>>> rows = next(nb.snapshots(path, every="1h", depth=1))
>>> rows.dtype.names
('time', 'symbol', 'side', 'place', 'price', 'quantity', 'order_count')
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import flag, lib, refused, shortened, whole
from numi_bypass.book import Books, text_of, unknown_symbols
from numi_bypass.errors import InputWarning
from numi_bypass.reading import Events, Path

BATCH = 4096
"""Events that stay in the cache from the decoder to the books."""

_UNITS_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def nanoseconds(every: str | timedelta | int) -> int:
    """A span as "1s", "100ms", "5m", "1h", a timedelta, or ns.

    >>> nanoseconds("100ms"), nanoseconds(timedelta(seconds=1))
    (100000000, 1000000000)
    """
    if isinstance(every, timedelta):
        every = (every // timedelta(microseconds=1)) * 1000
    if isinstance(every, str):
        found = re.fullmatch(r"(\d+)(ns|us|ms|s|m|h)", every.strip())
        if found is None:
            raise ValueError(f"every={every!r}: allowed a whole number and ns, us, ms, s, m or h, as 100ms")
        every = int(found[1]) * _UNITS_NS[found[2]]
    return whole("every", every, 1, 2**63 - 1)


def time_of_day(word: str) -> int:
    """A New York time of day as ns since midnight.

    >>> time_of_day("09:30:00.5"), time_of_day("9:30")
    (34200500000000, 34200000000000)
    """
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?", word)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3]) if found else (24, 60, 60)
    if found is None or hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{word!r}: allowed a time of day as 09:30:00.5")
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int((found[4] or "").ljust(9, "0"))


def _last_ns(until: str | int) -> int:
    """The moment up to which events are applied."""
    if not isinstance(until, str):
        return whole("until", until, 0, 2**64 - 1)
    try:
        return time_of_day(until)
    except ValueError as error:
        raise refused(f"until={error}, or ns since midnight") from None


def _books_for(books: Books | None, resume: bool) -> Books:
    """New ones, or those given, if they may be replayed into."""
    may_resume = flag("resume", resume)
    if books is None:
        return Books()
    if not isinstance(books, Books):
        raise TypeError(f"books={shortened(books)}: allowed numi_bypass.Books")
    resting = books.counts()["live_orders"]
    if resting and not may_resume:
        remedy = "allowed empty ones, or resume=True where the file goes on from their state"
        raise refused(f"books={books!r}: {resting} orders rest in them: {remedy}")
    return books


class Replay:
    """Events of a file, or of two lines of a feed, on their way into books: `for events in run: run.apply(events)`.

    With the first batch of another session `begins` is true, and the books still hold the session before, under its
    names; they are cleared, and named anew, when the batch is applied.
    """

    def __init__(
        self,
        path: Path,
        *,
        other: Path | None = None,
        books: Books | None = None,
        until: str | int | None = None,
        until_sequence: int | None = None,
        resume: bool = False,
        batch: int = BATCH,
    ) -> None:
        self._until: dict[str, np.uint64] = {}
        if until is not None:
            self._until["exchange_ns"] = np.uint64(_last_ns(until))
        if until_sequence is not None:
            self._until["sequence"] = np.uint64(whole("until_sequence", until_sequence, 0, 2**64 - 1))
        self.books = _books_for(books, resume)
        self.events = Events(path, batch=batch, other=other, merge=True)
        self.gaps: list[list[int]] = []
        """Declared so far, among the events that were handed out: the first sequence missing, and the last."""
        self.begins = False
        self._resumes = resume
        self._directory = self.events.directory()
        self._met: dict[str, None] = {}

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Batches that are to be applied next."""
        try:
            yield from self._batches()
        finally:
            self.books.note_input(len(self.events.truncated()), self.events.undecodable())

    def _batches(self) -> Iterator[NDArray[Any]]:
        for batch in self.events:
            part = batch[: self._wanted(batch)]
            if len(part):
                self.begins = self.events.sessions > self._directory.session > 0
                self._meet()
                self._note_gaps(part)
                yield part
            if len(part) < len(batch):
                return

    @property
    def symbols(self) -> NDArray[np.bytes_]:
        """By instrument of the last batch."""
        return self._directory.symbols

    def unknown(self, symbols: Collection[str]) -> list[str]:
        """Those that no message of the session names. Reads on in it, applying nothing, while there are any."""
        rest, session = iter(self.events), max(self._directory.session, 1)
        while self.events.sessions <= session:
            self._meet()
            if all(symbol in self.books for symbol in symbols) or next(rest, None) is None:
                break
        return [symbol for symbol in symbols if symbol not in self.books]

    def require(self, symbols: Collection[str]) -> None:
        """UnknownSymbolError for those that no message of any session named."""
        if missing := [symbol for symbol in symbols if symbol not in self._met]:
            raise unknown_symbols(missing, self._met)

    def warn(self) -> None:
        """Tells the caller of the caller what of the files was left out."""
        for line in self.events.warnings():
            warnings.warn(line, InputWarning, stacklevel=3)

    def apply(self, events: NDArray[Any]) -> None:
        """Into the books."""
        self._begun().apply(events)

    def changes(self, events: NDArray[Any], sizes: bool) -> NDArray[Any]:
        """Likewise, with the changes of best prices."""
        return self._begun().changes(events, sizes)

    def _begun(self) -> Books:
        if self.begins:
            self.books.clear()
            self.begins = self._resumes = False
            self._name()
        return self.books

    def _note_gaps(self, part: NDArray[Any]) -> None:
        declared = part[part["kind"] == int(lib.NUMI_EVENT_GAP)]
        self.gaps += [[int(gap["order"]), int(gap["aux"])] for gap in declared]

    def _wanted(self, batch: NDArray[Any]) -> int:
        """How many come before the first that is too late."""
        late = np.zeros(len(batch), bool)
        for name, last in self._until.items():
            late |= batch[name] > last
        return int(late.argmax()) if late.any() else len(batch)

    def _meet(self) -> None:
        """Takes the names of what was read last, as often as they change; the books wait for those of a new session."""
        directory = self.events.directory()
        if directory == self._directory:
            return
        self._directory = directory
        if not self.begins:
            self._name()

    def _name(self) -> None:
        """Tells the books what the instruments are called."""
        symbols, locates = self.symbols.tolist(), self._directory.locates.tolist()
        if self._resumes:
            known = self.books.wire_ids.tolist()
            both = min(len(locates), len(known))
            if locates[:both] != known[:both]:
                raise ValueError(f"{self.events.path}: other instruments than those of the books: allowed new books")
            symbols, locates = [*symbols, *self.books.symbols[len(symbols) :]], [*locates, *known[len(locates) :]]
        self.books.name(symbols, locates)
        self._met |= dict.fromkeys(self.books)


def replay(
    path: Path,
    on_batch: Callable[[Books, NDArray[Any]], object] | None = None,
    *,
    other: Path | None = None,
    books: Books | None = None,
    until: str | int | None = None,
    until_sequence: int | None = None,
    resume: bool = False,
    batch: int = BATCH,
) -> Books:
    """Applies a file, or the two lines of a feed, and returns the books.

    `on_batch(books, events)` is called after each batch. It ends before the first event past `until` (exchange time in
    New York as "09:30:00.5", or ns since midnight) or `until_sequence`. Each session begins with empty books and its
    own instruments. `books` are empty ones with options of their own; with `resume` those of what came before in the
    same session, whose instruments go on.

    A file that ends too early, or holds messages that cannot be decoded, is an InputWarning; `Books.counts` has both.
    """
    if on_batch is not None and not callable(on_batch):
        raise TypeError(f"on_batch={shortened(on_batch)}: allowed a function; the second line of a feed is `other`")
    run = Replay(path, other=other, books=books, until=until, until_sequence=until_sequence, resume=resume, batch=batch)
    for events in run:
        run.apply(events)
        if on_batch is not None:
            on_batch(run.books, events)
    run.warn()
    return run.books


_BBO = np.dtype(
    [
        ("time", "<u8"),
        ("rx_ns", "<i8"),
        ("sequence", "<u8"),
        ("symbol", "S8"),
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("bid_quantity", "<u8"),
        ("ask_quantity", "<u8"),
        ("flags", "<u4"),
    ]
)


Symbols = str | bytes | Collection[str | bytes] | None
"""One, some, or all."""


def _listed(symbols: Symbols) -> list[str] | None:
    if symbols is None:
        return None
    several = [symbols] if isinstance(symbols, str | bytes) else symbols
    try:
        return list(dict.fromkeys(text_of(symbol) for symbol in several))
    except TypeError:
        raise TypeError(f"symbols={shortened(symbols)}: allowed one symbol, or several, as str or bytes") from None


def bbo(path: Path, *, other: Path | None = None, symbols: Symbols = None, sizes: bool = False) -> NDArray[Any]:
    """Every change of a best price, as an array; with `sizes` also each change of the quantity there.

    `time` is the exchange's, ns since midnight in New York; prices are the wire's integers. A side without orders is 0
    and has no NUMI_BOOK_HAS_BID (4) or NUMI_BOOK_HAS_ASK (8) in `flags`; 1 is a crossed book, 2 a locked one. A symbol
    that no message names is an UnknownSymbolError; what of a file is left out, an InputWarning.
    """
    chosen, sizes = _listed(symbols), flag("sizes", sizes)
    wanted = None if chosen is None else [symbol.encode() for symbol in chosen]
    run, parts = Replay(path, other=other), [np.empty(0, _BBO)]
    for events in run:
        changes = run.changes(events, sizes)
        if wanted is not None:
            changes = changes[np.isin(run.symbols, wanted)[changes["instrument"]]]
        rows = np.empty(len(changes), _BBO)
        rows["time"], rows["symbol"] = changes["exchange_ns"], run.symbols[changes["instrument"]]
        for name in ("rx_ns", "sequence", "bid", "ask", "bid_quantity", "ask_quantity", "flags"):
            rows[name] = changes[name]
        parts.append(rows)
    run.require(chosen or [])
    run.warn()
    return np.concatenate(parts)


_SNAPSHOT = np.dtype(
    [
        ("time", "<u8"),
        ("symbol", "S8"),
        ("side", "S3"),
        ("place", "<u4"),
        ("price", "<i8"),
        ("quantity", "<u8"),
        ("order_count", "<u8"),
    ]
)


def snapshot(books: Books, time: int, depth: int, symbols: Collection[str] | None = None) -> NDArray[Any]:
    """The best levels of each book, one row a level: `place` 0 is the best, `side` b"bid" or b"ask"."""
    chosen = [symbol for symbol in (books if symbols is None else symbols) if symbol in books]
    levels, counts = books.top_of([books[symbol].instrument for symbol in chosen], depth)
    rows = np.empty(len(levels), _SNAPSHOT)
    rows["time"] = time
    rows["symbol"] = np.repeat(np.array(chosen, "S8"), counts.sum(axis=1))
    each = counts.ravel()
    rows["side"] = np.repeat(np.array([b"bid", b"ask"] * len(chosen), "S3"), each)
    rows["place"] = np.arange(len(rows)) - np.repeat(np.cumsum(each) - each, each)
    for name in ("price", "quantity", "order_count"):
        rows[name] = levels[name]
    return rows


def snapshots(
    path: Path,
    *,
    every: str | timedelta | int = "1s",
    depth: int = 10,
    other: Path | None = None,
    symbols: Symbols = None,
) -> Iterator[NDArray[Any]]:
    """The best `depth` levels of each book at every multiple of `every` of exchange time, one array an instant.

    The instants run from the first multiple at or after the first event to the last one at or before the last event; a
    new session starts anew. The state at an instant holds every event up to it, its own included.
    `np.concatenate(list(snapshots(...)))` makes one array of them, which pandas.DataFrame takes as it is.

    Behind the last instant, when all has been read, a symbol that no message names is an UnknownSymbolError, and what
    of a file is left out an InputWarning.
    """
    step, count = nanoseconds(every), whole("depth", depth, 1, 2**31 - 1)
    return _snapshots(Replay(path, other=other), step, count, _listed(symbols))


_NEVER = -1


def _snapshots(run: Replay, step: int, depth: int, symbols: list[str] | None) -> Iterator[NDArray[Any]]:
    instant = last = _NEVER
    for events in run:
        if run.begins:
            if instant == last != _NEVER:
                yield snapshot(run.books, instant, depth, symbols)
            instant = last = _NEVER
        times, done = _times(events, last), 0
        if instant == _NEVER and times[-1] != _NEVER:
            instant = -(-int(times[times != _NEVER][0]) // step) * step
        while instant < times[-1]:
            end = int(np.searchsorted(times, instant, side="right"))
            run.apply(events[done:end])
            yield snapshot(run.books, instant, depth, symbols)
            done, instant = end, instant + step
        run.apply(events[done:])
        last = int(times[-1])
    # Only now is it sure that no other event has this time.
    if instant == last != _NEVER:
        yield snapshot(run.books, instant, depth, symbols)
    run.require(symbols or [])
    run.warn()


def _times(events: NDArray[Any], last: int) -> NDArray[np.int64]:
    """Exchange times as they go on after `last`: a declared gap has none of its own, and none goes back."""
    times = np.where(events["kind"] == int(lib.NUMI_EVENT_GAP), last, events["exchange_ns"].astype(np.int64))
    return np.maximum.accumulate(np.maximum(times, last))
