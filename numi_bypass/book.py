"""Order books: every order of every instrument in price-time priority, kept up to date by events.

>>> import numpy as np, numi_bypass as nb
>>> from numi_bypass.layout import dtype_of
>>> adds = np.zeros(3, dtype_of("numi_event"))
>>> adds["kind"], adds["order"], adds["side"] = ord("A"), [1, 2, 3], [0, 0, 1]
>>> adds["price"], adds["quantity"] = [1_000_000, 1_000_000, 1_000_100], [100, 50, 70]
>>> books = nb.Books()
>>> books.apply(adds)
>>> books.name(["NUMI"], [1])
>>> book = books["NUMI"]
>>> book.bbo.bid, book.bbo.bid_quantity, book.bbo.ask
(1000000, 150, 1000100)
>>> book.orders("bid", 1_000_000)["order"].tolist(), book.position(2)
([1, 2], 1)
>>> books.hash()
'4369c55c7cf62e733c168c5fa45c7baf'
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from numi_bypass import errors
from numi_bypass._ffi import CData, checked, ffi, flag, lib, shortened, text, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass.directory import Directory
from numi_bypass.layout import dtype_of

Side = Literal[0, 1, "bid", "ask"]

_SIDES: dict[Any, int] = {0: 0, 1: 1, "bid": 0, "ask": 1}
_AHEAD = ("auto", "never", "always")
_CHANGES_AT_ONCE = 4096
_CACHE_SIZE_MAX = 1 << 40
"""No machine has so much; what is larger was meant otherwise."""

_NEAR_MAX = 3
_LEVELS_ALL = 2**31 - 1


def _side(side: Side) -> int:
    try:
        return _SIDES[side]
    except (KeyError, TypeError):
        raise ValueError(f"side={side!r}: allowed 'bid', 'ask', 0, 1") from None


@dataclass(frozen=True)
class Best:
    """The best prices of a book, the wire's integers; None where a side is empty."""

    bid: int | None
    ask: int | None
    bid_quantity: int | None
    ask_quantity: int | None
    crossed: bool
    locked: bool


@dataclass(frozen=True)
class Order:
    """A resting order, and where it stands in its queue: 0 is served first."""

    order: int
    quantity: int
    price: int
    position: int
    instrument: int
    side: int


class Books(Handle):
    """The books of all instruments of a feed. One thread at a time.

    An event is applied as csrc/feed/book.h says: A F add, E C X take from an order, D deletes, U replaces (to the back
    of its new level), P takes from an order where `consume_trades` is set. What cannot be applied changes nothing, is
    counted by reason, and stands among the last 64 `rejects()`.
    """

    def __init__(
        self,
        *,
        window_bits: int = 22,
        ahead: Literal["auto", "never", "always"] = "auto",
        consume_trades: bool = False,
        seed: int = 0,
        cache_size: int = 0,
        order_max: int = 1 << 26,
    ) -> None:
        if ahead not in _AHEAD:
            raise ValueError(f"ahead={ahead!r}: allowed 'auto', 'never', 'always'")
        options = ffi.new("struct numi_books_options *")
        options.seed = whole("seed", seed, 0, 2**64 - 1)
        options.cache_size = whole("cache_size", cache_size, 0, _CACHE_SIZE_MAX)
        options.order_max = whole("order_max", order_max, 1, int(lib.NUMI_BOOK_ORDER_MAX))
        options.window_bits = whole("window_bits", window_bits, 7, 30)
        options.ahead = _AHEAD.index(ahead)
        options.consume_trades = flag("consume_trades", consume_trades)
        self._open(options)

    def _open(self, options: CData) -> None:
        out = ffi.new("struct numi_books **")
        checked(lib.numi_books_open(out, options))
        self._own(out[0], options)

    def _own(self, books: CData, options: CData) -> None:
        self._memory: CData = ffi.gc(books, lib.numi_books_close)
        self._turn = Turn("set of books")
        self._options = options
        self._input: dict[str, Any] = {}
        self._symbols: list[str] = []
        self._instruments: dict[str, int] = {}
        self._wire_ids = np.empty(0, np.uint64)

    @property
    def _books(self) -> CData:
        """The core's books, while a turn is held."""
        if self._memory is None:
            raise ValueError("the books are closed")
        return self._memory

    def __enter__(self) -> "Books":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives the memory back; it also goes with the last name for the books."""
        with self._turn:
            if self._memory is not None:
                ffi.release(self._memory)
                self._memory = None

    def __repr__(self) -> str:
        state = "closed" if self._memory is None else f"{len(self)} instruments"
        return f"<Books, {state}>"

    def apply(self, events: NDArray[Any]) -> None:
        """Applies events (struct numi_event) in turn."""
        rows = _rows(events)
        with self._turn:
            checked(lib.numi_books_step(self._books, _events(rows), len(rows), ffi.NULL))

    def changes(self, events: NDArray[Any], sizes: bool = False) -> NDArray[Any]:
        """The same; returns each change of a best price (struct numi_book_best), with `sizes` of its quantity too."""
        rows = _rows(events)
        found = np.empty(_CHANGES_AT_ONCE, dtype_of("numi_book_best"))
        out = ffi.new("struct numi_book_changes *", {"sizes": flag("sizes", sizes), "row_max": len(found)})
        out.rows = ffi.from_buffer("struct numi_book_best[]", found)
        parts, done = [], 0
        with self._turn:
            while done < len(rows):
                out.row_count = 0
                done += checked(lib.numi_books_step(self._books, _events(rows[done:]), len(rows) - done, out))
                parts.append(found[: out.row_count].copy())
        return np.concatenate([found[:0], *parts])

    def counts(self) -> dict[str, Any]:
        """What became of all events so far: messages, and `gaps`, which are none.

        `rejects` are by reason, without those that did not happen. A replay adds what of its files never became an
        event: `truncated`, how many of them end too early, and `undecodable`, messages by reason.
        """
        names = ("applied", "ignored", "gaps", "crossed", "locked", "live_orders", "live_levels")
        with self._turn:
            c = lib.numi_books_counts(self._books)
            counts = {"messages": int(c.messages - c.gaps), **{name: int(getattr(c, name)) for name in names}}
            rejects = {text(lib.numi_book_reason_name(reason)): int(n) for reason, n in enumerate(c.rejects) if n}
        return {**counts, "rejects": rejects, **self._input}

    def note_input(self, truncated: int, undecodable: Mapping[str, int]) -> None:
        """Adds to the counts what of the files behind the events never became one."""
        known = self._input.get("undecodable", {})
        total = {reason: known.get(reason, 0) + undecodable.get(reason, 0) for reason in {**known, **undecodable}}
        self._input = {"truncated": self._input.get("truncated", 0) + truncated, "undecodable": total}

    def rejects(self) -> NDArray[Any]:
        """The last 64 messages that were not applied, the oldest first (struct numi_book_reject)."""
        rows = np.empty(int(lib.NUMI_BOOK_REJECT_MAX), dtype_of("numi_book_reject"))
        memory = ffi.from_buffer("struct numi_book_reject[]", rows)
        with self._turn:
            return rows[: lib.numi_books_rejects(self._books, memory, len(rows))]

    def name(self, symbols: Sequence[str | bytes], wire_ids: Sequence[int] | NDArray[Any]) -> None:
        """What each instrument is called, and its number on the wire (ITCH: the stock locate)."""
        if len(symbols) != len(wire_ids):
            raise ValueError(f"{len(symbols)} symbols and {len(wire_ids)} wire ids: allowed as many of each")
        ids = [whole("wire_ids", one, 0, 2**64 - 1) for one in wire_ids]
        with self._turn:
            self._symbols = [text_of(symbol).rstrip() for symbol in symbols]
            self._instruments = {symbol: index for index, symbol in enumerate(self._symbols) if symbol}
            self._wire_ids = np.array(ids, np.uint64)

    def hash(self) -> str:
        """The state hash: XXH3-128 over every resting order, instruments by wire id."""
        digest = ffi.new("uint8_t[16]")
        with self._turn:
            ids = ffi.from_buffer("uint64_t[]", self._wire_ids)
            try:
                checked(lib.numi_books_hash(self._books, ids, len(self._wire_ids), digest))
            except errors.ArgumentError as error:
                remedy = "Books.name(symbols, wire_ids) names them"
                raise errors.ArgumentError(error.code, error.name, f"{error.detail}; {remedy}") from None
        return bytes(digest).hex()

    def check(self) -> None:
        """Holds all of it against itself; CorruptError says what is wrong. As slow as there are orders."""
        with self._turn:
            checked(lib.numi_books_check(self._books))

    def clear(self) -> None:
        """Removes every order; what was counted stays."""
        with self._turn:
            lib.numi_books_clear(self._books)

    def copy(self) -> "Books":
        """The same books in memory of their own."""
        out = ffi.new("struct numi_books **")
        with self._turn:
            checked(lib.numi_books_copy(out, self._books))
        books = Books.__new__(Books)
        books._own(out[0], self._options)
        books._input = self._input
        books._symbols, books._instruments = self._symbols, self._instruments
        books._wire_ids = self._wire_ids
        return books

    @classmethod
    def _copied(cls, source: CData, directory: Directory) -> "Books":
        """Books of the core's that somebody else owns, in memory of their own."""
        out, books = ffi.new("struct numi_books **"), cls.__new__(cls)
        checked(lib.numi_books_copy(out, source))
        options = ffi.new("struct numi_books_options *")
        lib.numi_books_defaults(options)
        books._own(out[0], options)
        books.name(directory.symbols.tolist(), directory.locates)
        return books

    def _orders_of(self, instrument: int) -> NDArray[Any]:
        """All orders of a book, bids first, the best levels first, each in its queue's order."""
        sides = [(side, _levels(self._books, instrument, side, _LEVELS_ALL)) for side in (0, 1)]
        rows = np.zeros(sum(int(levels["order_count"].sum()) for _, levels in sides), dtype_of("numi_book_order"))
        memory, done = ffi.from_buffer("struct numi_book_order[]", rows), 0
        for side, levels in sides:
            for price, count in zip(levels["price"].tolist(), levels["order_count"].tolist(), strict=True):
                done += lib.numi_books_queue(self._books, instrument, side, price, memory + done, count)
        return rows

    def _alone(self, instrument: int) -> "Books":
        """Books that hold this instrument's book and no other."""
        with self._turn:
            orders = self._orders_of(instrument)
            symbols, wire_ids = self._symbols[instrument : instrument + 1], self._wire_ids[: instrument + 1]
        adds = np.zeros(len(orders), dtype_of("numi_event"))
        for name in ("order", "price", "quantity", "instrument", "side"):
            adds[name] = orders[name]
        adds["kind"] = ord("A")
        books = Books.__new__(Books)
        books._open(self._options)
        books._symbols = [""] * instrument + symbols
        books._instruments = {symbol: instrument for symbol in symbols if symbol}
        books._wire_ids = wire_ids
        books.apply(adds)
        return books

    def order(self, order: int) -> Order | None:
        """The order of an id; None where none rests."""
        row = ffi.new("struct numi_book_order *")
        number = whole("order", order, 0, 2**64 - 1)
        with self._turn:
            found = lib.numi_books_order(self._books, number, row)
        if not found:
            return None
        names = ("order", "quantity", "price", "position", "instrument", "side")
        return Order(**{name: int(getattr(row, name)) for name in names})

    def position(self, order: int) -> int | None:
        """How many orders are served before this one at its price; None where it does not rest."""
        found = self.order(order)
        return None if found is None else found.position

    @property
    def memory(self) -> int:
        """Bytes taken."""
        with self._turn:
            return int(lib.numi_books_memory(self._books))

    @property
    def symbols(self) -> list[str]:
        """By instrument; empty where no message named it."""
        return list(self._symbols)

    @property
    def wire_ids(self) -> NDArray[np.uint64]:
        """By instrument, as they were named."""
        return self._wire_ids.copy()

    def top_of(self, instruments: Sequence[int], n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The best `n` levels of several books, of each its bids and its asks; and how many of both, a row a book."""
        count, level = whole("n", n, 0, _LEVELS_ALL), dtype_of("numi_book_level")
        with self._turn:
            books = self._books
            depths = [[lib.numi_books_depth(books, one, side) for side in (0, 1)] for one in instruments]
            counts = np.minimum(np.array(depths, np.int64).reshape(-1, 2), count)
            rows = np.empty(int(counts.sum()), level)
            memory, done = ffi.from_buffer("struct numi_book_level[]", rows), 0
            for one, wanted in zip(instruments, counts.tolist(), strict=True):
                for side in (0, 1):
                    done += lib.numi_books_top(books, one, side, memory + done, wanted[side])
        return rows, counts

    def book(self, instrument: int | str | bytes) -> "Book":
        """The book of an instrument, by its index or its symbol."""
        if isinstance(instrument, str | bytes):
            return self[instrument]
        return Book(self, whole("instrument", instrument, 0, int(lib.NUMI_BOOK_INSTRUMENT_MAX) - 1))

    def __getitem__(self, symbol: str | bytes) -> "Book":
        index = self._instruments.get(text_of(symbol))
        if index is None:
            raise unknown_symbols([text_of(symbol)], self._instruments)
        return Book(self, index)

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str | bytes) and text_of(symbol) in self._instruments

    def __iter__(self) -> Iterator[str]:
        return iter(self._instruments)

    def __len__(self) -> int:
        return len(self._instruments)


class Book:
    """One instrument's book: a look into `Books`, always at what they are now.

    Two looks at the same book of the same `Books` are equal.
    """

    def __init__(self, books: Books, instrument: int) -> None:
        self._of = books
        self._turn = books._turn
        self.instrument = instrument

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Book):
            return NotImplemented
        return self._of is other._of and self.instrument == other.instrument

    def __hash__(self) -> int:
        return hash((id(self._of), self.instrument))

    @property
    def symbol(self) -> str:
        """What the instrument is called; empty where nobody has said it."""
        symbols = self._of._symbols
        return symbols[self.instrument] if self.instrument < len(symbols) else ""

    def __repr__(self) -> str:
        return f"<Book of {self.symbol or f'instrument {self.instrument}'}>"

    @property
    def bbo(self) -> Best:
        """Best bid and offer."""
        best = ffi.new("struct numi_book_best *")
        with self._turn:
            lib.numi_books_best(self._of._books, self.instrument, best)
        has_bid, has_ask = best.flags & int(lib.NUMI_BOOK_HAS_BID), best.flags & int(lib.NUMI_BOOK_HAS_ASK)
        return Best(
            bid=int(best.bid) if has_bid else None,
            ask=int(best.ask) if has_ask else None,
            bid_quantity=int(best.bid_quantity) if has_bid else None,
            ask_quantity=int(best.ask_quantity) if has_ask else None,
            crossed=bool(best.flags & int(lib.NUMI_BOOK_CROSSED)),
            locked=bool(best.flags & int(lib.NUMI_BOOK_LOCKED)),
        )

    def depth(self, side: Side) -> int:
        """How many levels a side has."""
        number = _side(side)
        with self._turn:
            return int(lib.numi_books_depth(self._of._books, self.instrument, number))

    def top(self, n: int = 10) -> tuple[NDArray[Any], NDArray[Any]]:
        """The best `n` levels of bids and of asks, the best first (struct numi_book_level)."""
        count = whole("n", n, 0, _LEVELS_ALL)
        with self._turn:
            books = self._of._books
            return _levels(books, self.instrument, 0, count), _levels(books, self.instrument, 1, count)

    def level(self, side: Side, price: int) -> np.void | None:
        """The level at a price: price, quantity, order_count; None where no order rests."""
        number, at = _side(side), whole("price", price, -(2**63), 2**63 - 1)
        row = np.empty(1, dtype_of("numi_book_level"))
        memory = ffi.from_buffer("struct numi_book_level[]", row)
        with self._turn:
            is_there = lib.numi_books_level(self._of._books, self.instrument, number, at, memory)
        found: np.void = row[0]
        return found if is_there else None

    def orders(self, side: Side, price: int) -> NDArray[Any]:
        """The queue at a price, the first to be served first (struct numi_book_order)."""
        number, at = _side(side), whole("price", price, -(2**63), 2**63 - 1)
        with self._turn:
            books = self._of._books
            count = lib.numi_books_queue(books, self.instrument, number, at, ffi.NULL, 0)
            rows = np.zeros(count, dtype_of("numi_book_order"))
            memory = ffi.from_buffer("struct numi_book_order[]", rows)
            lib.numi_books_queue(books, self.instrument, number, at, memory, count)
        return rows

    def position(self, order: int) -> int | None:
        """How many orders are served before this one at its price; None where it does not rest in this book."""
        found = self._of.order(order)
        return None if found is None or found.instrument != self.instrument else found.position

    def copy(self) -> "Book":
        """This book as it is now, in memory of its own: it stays so while the books move on.

        It is a look into new `Books` that hold this book alone: each of its orders is added to them anew, and they take
        a millisecond and 1.5 MB at least. To keep many books of one moment, copy the `Books`.
        """
        return Book(self._of._alone(self.instrument), self.instrument)

    def hash(self) -> str:
        """The state hash of this book: that of `Books` which hold it alone. Takes as long as a copy."""
        return self._of._alone(self.instrument).hash()


def _rows(events: NDArray[Any]) -> NDArray[Any]:
    """Events as the core takes them; a copy only where they do not lie side by side."""
    rows = np.asarray(events)
    if rows.dtype != dtype_of("numi_event") or rows.ndim > 1:
        raise TypeError(f"events of {rows.dtype} in {rows.ndim} dimensions: allowed struct numi_event in one")
    return np.ascontiguousarray(rows)


def _events(rows: NDArray[Any]) -> CData:
    return ffi.from_buffer("struct numi_event[]", rows)


def _levels(books: CData, instrument: int, side: int, count: int) -> NDArray[Any]:
    """The best `count` levels of a side."""
    depth = int(lib.numi_books_depth(books, instrument, side))
    rows = np.empty(min(count, depth), dtype_of("numi_book_level"))
    lib.numi_books_top(books, instrument, side, ffi.from_buffer("struct numi_book_level[]", rows), len(rows))
    return rows


def text_of(symbol: str | bytes) -> str:
    """A symbol as text."""
    if not isinstance(symbol, str | bytes):
        raise TypeError(f"{shortened(symbol)} as a symbol: allowed str or bytes; Books.book takes an index as well")
    return symbol.decode("ascii", "replace") if isinstance(symbol, bytes) else symbol


def unknown_symbols(symbols: Collection[str], known: Collection[str]) -> errors.UnknownSymbolError:
    """The error for symbols that nobody is called, with what may have been meant."""
    from difflib import get_close_matches

    capitals = {name.upper(): name for name in known}
    near = [capitals[name] for one in symbols for name in get_close_matches(one.upper(), capitals, _NEAR_MAX)]
    return errors.UnknownSymbolError(list(symbols), list(dict.fromkeys(near)), len(known))
