"""What replays and books are asked with: what is given wrongly is refused by its name, with what is allowed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from tests.traffic import S, add, bare, message


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day") / "day.itch"
    nb.make_itch(path, messages=20_000, symbols=8, seed=6)
    return path


def test_what_is_no_name_of_a_file_is_refused_in_short(day: Path) -> None:
    content = day.read_bytes()
    wrong: tuple[Any, ...] = (content, bytearray(content), io.BytesIO(content), 5, None, [day])
    for given in wrong:
        for ask in (nb.replay, nb.bbo, nb.snapshots, nb.read):
            with pytest.raises(TypeError, match=r"a path of type \w+: allowed the name of a file") as caught:
                ask(given)
            assert len(str(caught.value)) < 100
    with day.open("rb") as file, pytest.raises(TypeError, match="BufferedReader"):
        nb.replay(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a path of type bytes"):
        nb.replay(day, other=content)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a zero byte") as zero:
        nb.replay(content.decode("latin-1"))
    assert len(str(zero.value)) < 100


@pytest.mark.parametrize("wrong", [[1], 5, ["A", None], 1.5])
def test_symbols_of_a_wrong_type_are_named(day: Path, wrong: Any) -> None:
    for ask in (nb.bbo, nb.snapshots):
        with pytest.raises(TypeError, match=r"symbols=.*allowed one symbol, or several"):
            ask(day, symbols=wrong)


def test_options_of_a_wrong_type_are_named(day: Path) -> None:
    with pytest.raises(TypeError, match=r"books=5: allowed numi_bypass\.Books"):
        nb.replay(day, books=5)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"on_batch='b\.pcap': allowed a function; the second line of a feed is `other`"
    ):
        nb.replay(day, "b.pcap")  # type: ignore[arg-type]
    for wrong in ("x", 2, None):
        with pytest.raises(nb.errors.ArgumentError, match=r"sizes=.*: allowed True or False"):
            nb.bbo(day, sizes=wrong)  # type: ignore[arg-type]
        with pytest.raises(nb.errors.ArgumentError, match=r"sizes=.*: allowed True or False"):
            nb.Books().changes(np.zeros(0, dtype_of("numi_event")), sizes=wrong)  # type: ignore[arg-type]
        with pytest.raises(nb.errors.ArgumentError, match=r"consume_trades=.*: allowed True or False"):
            nb.Books(consume_trades=wrong)  # type: ignore[arg-type]
        with pytest.raises(nb.errors.ArgumentError, match=r"resume=.*: allowed True or False"):
            nb.replay(day, resume=wrong)  # type: ignore[arg-type]
    assert len(nb.bbo(day, sizes=np.bool_(True))) == len(nb.bbo(day, sizes=True))  # type: ignore[arg-type]
    with pytest.raises(nb.errors.ArgumentError, match=r"cache_size=1000000000000000: allowed .* to 1099511627776"):
        nb.Books(cache_size=10**15)
    books = nb.Books()
    with pytest.raises(TypeError, match="5 as a symbol: allowed str or bytes"):
        books.name([5], [1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"0 as a symbol: allowed str or bytes; Books\.book takes an index"):
        books[0]  # type: ignore[index]


def test_stdin_can_be_named_once() -> None:
    with pytest.raises(nb.errors.ArgumentError, match="stdin can be named once"):
        nb.replay("-", other="-")


# --- until and from where


def test_a_moment_is_a_time_of_day_or_nanoseconds(tmp_path: Path) -> None:
    path = bare(tmp_path / "x.itch", *(add(order, at=34_200 + order / 4) for order in range(1, 9)))
    for until in ("09:30:00.5", "9:30:00.500", 34_200 * S + S // 2, np.int64(34_200 * S + S // 2)):
        assert nb.replay(path, until=until).counts()["messages"] == 2
    assert nb.replay(path, until="9:30").counts()["messages"] == 0
    for wrong in ("24:00", "9:60", "9.30", "", "9:30:00.1234567891", "930"):
        with pytest.raises(
            nb.errors.ArgumentError, match=f"until='{wrong}': allowed a time of day as 09:30:00.5, or ns"
        ):
            nb.replay(path, until=wrong)
    with pytest.raises(nb.errors.ArgumentError, match=r"until=1\.5: allowed a whole number"):
        nb.replay(path, until=1.5)  # type: ignore[arg-type]


def test_books_with_orders_are_replayed_into_only_where_it_is_said(tmp_path: Path) -> None:
    path = bare(tmp_path / "x.itch", add(1), add(2))
    more = bare(tmp_path / "more.itch", add(3), message("D", stock_locate=1, order_reference_number=1))
    books = nb.replay(path)
    with pytest.raises(nb.errors.ArgumentError, match="2 orders rest in them: allowed empty ones, or resume=True"):
        nb.replay(path, books=books)
    assert books.counts()["messages"] == 2
    assert nb.replay(more, books=books, resume=True) is books
    assert books["A"].orders("bid", 1000)["order"].tolist() == [2, 3]
    books.clear()
    assert nb.replay(path, books=books)["A"].bbo.bid_quantity == 20
