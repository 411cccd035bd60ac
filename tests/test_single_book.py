"""One instrument's book by itself: kept, hashed and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_sim.model import book as book_model
from tests.traffic import add, bare

EMPTY_HASH = "99aa06d3014798d86001c324468d497f"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day") / "day.itch"
    nb.make_itch(path, messages=20_000, symbols=8, seed=6)
    return path


ORDER = ["order", "quantity", "price", "position", "instrument", "side"]


def levels_of(book: nb.Book) -> list[tuple[Any, int, int]]:
    """Side, price and number of orders of each level."""
    sides = zip(("bid", "ask"), book.top(2**31 - 1), strict=True)
    return [(side, price, count) for side, levels in sides for price, _, count in levels.tolist()]


def orders_of(book: nb.Book) -> list[tuple[int, ...]]:
    """All of them, by price and time."""
    queues = [book.orders(side, price)[ORDER].tolist() for side, price, _ in levels_of(book)]
    return [order for queue in queues for order in queue]


def all_of(book: nb.Book) -> list[Any]:
    """Every answer that a book has."""
    orders = orders_of(book)
    levels = [book.level(side, price).tolist() for side, price, _ in levels_of(book)]  # type: ignore[union-attr]
    places = [book.position(order) for order, *_ in orders]
    depths = [book.depth("bid"), book.depth("ask")]
    return [book.symbol, book.instrument, book.bbo, levels_of(book), levels, orders, places, depths]


# --- a copy


def test_a_copy_of_a_book_stays_while_the_books_move_on(day: Path) -> None:
    books = nb.replay(day, until="12:00")
    for symbol in books:
        book = books[symbol]
        before, kept = all_of(book), book.copy()
        books.clear()
        assert (book.depth("bid"), book.depth("ask")) == (0, 0)
        assert all_of(kept) == before
        assert before[5]
        books = nb.replay(day, until="12:00")
    books.close()
    assert all_of(kept) == before


def test_a_copy_keeps_long_queues_in_their_order() -> None:
    books, adds = nb.Books(), np.zeros(100, dtype_of("numi_event"))
    adds["kind"], adds["order"], adds["instrument"] = ord("A"), np.random.default_rng(1).permutation(100) + 1, 3
    adds["quantity"], adds["price"], adds["side"] = np.arange(100) + 1, 1000, np.arange(100) % 2
    books.apply(adds)
    book = books.book(3)
    before, kept = all_of(book), book.copy()
    assert [order for order, *_, side in before[5] if side == 0] == adds["order"][::2].tolist()
    assert all_of(kept) == before
    assert kept.symbol == ""


def test_a_copy_of_an_empty_book_is_empty() -> None:
    books = nb.Books()
    books.name(["X", "Y"], [1, 2])
    assert books["Y"].copy().symbol == "Y"
    assert all_of(books["Y"].copy()) == all_of(books["Y"])
    assert books["Y"].hash() == EMPTY_HASH


# --- its hash


def test_the_hash_of_a_book_is_that_of_books_with_it_alone(day: Path) -> None:
    books, hashes, blank = nb.replay(day, until="12:00"), set(), dict.fromkeys(dtype_of("numi_event").names or (), 0)
    for symbol in books:
        alone, book = book_model.Books(False), books[symbol]
        for values in orders_of(book):
            fields = dict(zip(ORDER, values, strict=True))
            del fields["position"]
            alone.apply({**blank, **fields, "kind": ord("A")})  # type: ignore[typeddict-item]
        wire_id = int(books.wire_ids[book.instrument])
        assert book.hash() == book.copy().hash() == alone.state_hash({book.instrument: wire_id})
        hashes.add(book.hash())
    assert len(hashes) == len(books) == 8


def test_books_without_names_say_how_they_are_named() -> None:
    books, one = nb.Books(), np.zeros(1, dtype_of("numi_event"))
    one["kind"], one["order"], one["quantity"], one["price"] = ord("A"), 1, 10, 1000
    books.apply(one)
    for of in (books, books.book(0)):
        with pytest.raises(
            nb.errors.ArgumentError, match=r"no wire id: .*; Books\.name\(symbols, wire_ids\) names them"
        ):
            of.hash()


# --- looks at it


def test_two_looks_at_one_book_are_equal() -> None:
    books, others = nb.Books(), nb.Books()
    for each in (books, others):
        each.name(["A", "B"], [1, 2])
    assert books["A"] == books.book(0)
    assert len({books["A"], books.book("A"), books["B"]}) == 2
    for other in (books["B"], others["A"], books["A"].copy(), "A", None):
        assert books["A"] != other


def test_the_best_ten_levels_need_no_number(tmp_path: Path) -> None:
    path = bare(tmp_path / "x.itch", *(add(order, price=1000 + order) for order in range(1, 21)))
    bids, asks = nb.replay(path)["A"].top()
    assert (bids["price"].tolist(), len(asks)) == (list(range(1020, 1010, -1)), 0)
