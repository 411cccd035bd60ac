"""Books from files: the face of the core's books, replays, the command; all against the naive model."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_bypass.replaying import nanoseconds
from numi_sim.model import book as book_model
from numi_sim.model import capture, mold
from tests.traffic import FIRST, SECOND, S, add, bare, book, document, message, numi, recorded

EMPTY_HASH = "99aa06d3014798d86001c324468d497f"
DAY = {"messages": 20_000, "symbols": 8, "seed": 6}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day") / "day.itch"
    nb.make_itch(path, **DAY)
    return path


def event_rows(path: Path) -> Iterator[dict[str, int]]:
    for batch in nb.read(path):
        for row in batch:
            yield {name: int(row[name]) for name in batch.dtype.names or ()}


class Modelled:
    """The naive books of a file, up to a time or a message."""

    def __init__(self, path: Path, until_ns: int = 2**63, until_sequence: int = 2**63, trades: bool = False) -> None:
        self.books = book_model.Books(trades)
        for row in event_rows(path):
            if row["exchange_ns"] > until_ns or row["sequence"] > until_sequence:
                break
            self.books.apply(row)
        source = nb.read(path)
        for _ in source:
            pass
        self.symbols = [symbol.decode() for symbol in source.symbols]
        self.hash = self.books.state_hash(dict(enumerate(source.locates.tolist())))


# --- the command


def test_the_state_is_the_model_s(day: Path) -> None:
    model, found = Modelled(day), document(day, "--depth", 2**31 - 1)
    counts = model.books.counts()
    assert found["state_hash"] == model.hash
    assert (found["messages"], found["live_orders"]) == (DAY["messages"], counts["live_orders"])
    assert sum(found["by_type"].values()) == DAY["messages"]
    assert set(found["by_type"]) == set("SRHYLVWKJhAFECXDUPQBINO"), "a day holds every message type"
    assert (found["gaps"], found["rejects"]) == ([], {})
    assert found["flags"] == {"crossed": counts["crossed"], "locked": counts["locked"]}
    for instrument, symbol in enumerate(model.symbols):
        for side, name in enumerate(("bids", "asks")) if symbol else ():
            wanted = [list(level) for level in model.books.top(instrument, side, 2**31)]
            assert found["books"][symbol][name] == wanted, (symbol, name)


@pytest.mark.parametrize("words", [["--at", "11:00:00.25"], ["--at-seq", "7777"]])
def test_the_state_of_a_moment(day: Path, words: list[str]) -> None:
    until = {"until_ns": (11 * 3600 * 10**9) + 250_000_000} if words[0] == "--at" else {"until_sequence": 7777}
    model, found = Modelled(day, **until), document(day, *words)
    assert found["state_hash"] == model.hash
    assert found["messages"] == model.books.counts()["messages"]


@pytest.mark.parametrize("form", ["pcap", "pcapng", "itch.gz"])
def test_every_form_gives_the_same_state(day: Path, tmp_path: Path, form: str) -> None:
    words = ["--messages", "20000", "--symbols", "8", "--seed", "6", "--reorder", "0.1", "--loss", "0.03"]
    out = tmp_path / f"lines.{form}"
    faults = words if form != "itch.gz" else words[:6]
    subprocess.run([sys.executable, "-m", "numi_bypass", "make", "itch", out, *faults], check=True)
    files = sorted(tmp_path.iterdir())
    assert len(files) == (2 if form == "pcap" else 1)
    assert document(*files) == document(day)


def test_one_line_says_what_it_lacks(tmp_path: Path) -> None:
    words = ["--messages", "5000", "--symbols", "5", "--seed", "6", "--loss", "0.05"]
    subprocess.run([sys.executable, "-m", "numi_bypass", "make", "itch", tmp_path / "x.pcap", *words], check=True)
    found = document(tmp_path / "x-A.pcap")
    missing = sum(last - first + 1 for first, last in found["gaps"])
    assert found["messages"] + missing == 5000
    assert missing > 0
    assert found["rejects"].keys() <= {"unknown_order", "excess_quantity"}


def test_symbols_and_depth_choose_what_is_shown(day: Path) -> None:
    found = document(day, "--symbol", "B", "--symbol", "A", "--depth", 1)
    assert list(found["books"]) == ["B", "A"]
    assert all(len(side) <= 1 for sides in found["books"].values() for side in sides.values())
    shown = book(day, "--symbol", "A", "--depth", 3)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[0].startswith("messages=20000 instruments=8 live_orders=")
    assert "A" in shown.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--symbol", "NONE"], 1, "--symbol NONE"),
        (["--at", "24:00"], 2, "09:30:00.5"),
        (["--at", "9:30:00.1234567891"], 2, "09:30:00.5"),
        (["--depth", "0"], 2, "1 to 2147483647"),
        (["--at-seq", "-1"], 2, "0 to"),
        (["--at", "9:30", "--at-seq", "5"], 2, "not allowed with"),
        (["--plot", "/nonexistent/x.png", "--symbol", "A"], 1, "/nonexistent/x.png"),
        (["/nonexistent"], 1, "/nonexistent"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(day: Path, words: list[str], code: int, named: str) -> None:
    run = book(day, *words)
    assert (run.returncode, run.stdout) == (code, "")
    assert named in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_broken_file_shows_what_it_could(day: Path, tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "numi_bypass",
            "make",
            "itch",
            tmp_path / "x.pcap",
            "--messages",
            "3000",
            "--symbols",
            "3",
        ],
        check=True,
    )
    broken = tmp_path / "x-A.pcap"
    broken.write_bytes(broken.read_bytes() + b"\xff" * 16)
    run = book(broken, "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["messages"] == 3000
    assert "(offset" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_plot_draws_a_picture(day: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    run = book(day, "--symbol", "A", "--symbol", "B", "--plot", tmp_path / "x.png")
    assert run.returncode == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "x.png").stat().st_size > 10_000


# --- replays


def test_replay_hands_out_each_batch_after_it_was_applied(day: Path) -> None:
    seen: list[tuple[int, int]] = []
    books = nb.replay(day, lambda books, events: seen.append((books.counts()["messages"], len(events))), batch=999)
    totals = np.cumsum([size for _, size in seen])
    assert [count for count, _ in seen] == totals.tolist()
    assert books.hash() == Modelled(day).hash


@pytest.mark.parametrize("sizes", [False, True])
def test_bbo_is_every_change_of_a_best_price(day: Path, sizes: bool) -> None:
    model, wanted, symbols = book_model.Books(), [], Modelled(day).symbols
    for row in event_rows(day):
        change = model.changes(row, sizes)
        if change is not None:
            sequence, exchange_ns, bid, ask, bid_quantity, ask_quantity, instrument, flags = change
            values = [value or 0 for value in (bid, ask, bid_quantity, ask_quantity)]
            wanted.append((exchange_ns, sequence, symbols[instrument].encode(), *values, flags))
    got = nb.bbo(day, sizes=sizes)
    names = ["time", "sequence", "symbol", "bid", "ask", "bid_quantity", "ask_quantity", "flags"]
    assert [tuple(row) for row in got[names].tolist()] == wanted
    chosen = nb.bbo(day, sizes=sizes, symbols=["B"])
    assert np.array_equal(chosen, got[got["symbol"] == b"B"])


def test_snapshots_are_the_books_at_each_instant(day: Path) -> None:
    every = 3600 * 10**9
    parts = list(nb.snapshots(day, every="1h", depth=3, symbols=["A"]))
    rows = list(event_rows(day))
    first, last = -(-rows[0]["exchange_ns"] // every), rows[-1]["exchange_ns"] // every
    assert len(parts) == last - first + 1
    for hour, part in zip(range(first, last + 1), parts, strict=True):
        books = nb.replay(day, until=hour * every)
        for side, levels in zip((b"bid", b"ask"), books["A"].top(3) if "A" in books else ([], []), strict=True):
            got = part[part["side"] == side]
            assert got["place"].tolist() == list(range(len(levels)))
            assert got[["price", "quantity", "order_count"]].tolist() == [tuple(level) for level in levels]
        assert set(part["time"].tolist()) <= {hour * every}


def test_spans() -> None:
    assert nanoseconds("5m") == 300 * 10**9
    for wrong in ("5", "1 day", "", "-1s", "1.5s"):
        with pytest.raises(ValueError, match="allowed"):
            nanoseconds(wrong)


# --- the face


def some_adds(count: int = 20) -> np.ndarray:
    adds = np.zeros(count, dtype_of("numi_event"))
    adds["kind"], adds["order"], adds["quantity"] = ord("A"), np.arange(1, count + 1), 10
    adds["side"], adds["price"] = np.arange(count) % 2, 1000 + np.arange(count) % 2
    return adds


def test_a_copy_goes_its_own_way() -> None:
    books = nb.Books()
    books.name(["X"], [7])
    books.apply(some_adds())
    copy = books.copy()
    before = books.hash()
    books.clear()
    assert (copy.hash(), books.hash()) == (before, EMPTY_HASH)
    assert copy["X"].bbo == nb.Books.book(copy, 0).bbo
    copy.check()


def test_what_is_asked_wrongly_is_refused() -> None:
    books = nb.Books()
    books.apply(some_adds())
    with pytest.raises(nb.errors.ArgumentError, match="no wire id"):
        books.hash()
    with pytest.raises(ValueError, match="'bid', 'ask', 0, 1"):
        books.book(0).orders("left", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window_bits"):
        nb.Books(window_bits=6)
    with pytest.raises(ValueError, match="ahead"):
        nb.Books(ahead="sometimes")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="'Y'"):
        books.book("Y")
    with pytest.raises(KeyError):
        books["Y"]
    with pytest.raises(TypeError, match="cannot be copied"):
        __import__("copy").copy(books)


def test_an_order_too_many_is_an_error_and_harms_nothing() -> None:
    books = nb.Books(order_max=10)
    books.name(["X"], [7])
    with pytest.raises(nb.errors.OutOfMemoryError, match="order_max"):
        books.apply(some_adds())
    assert books.counts()["live_orders"] == 10
    books.check()


def test_a_second_thread_is_refused() -> None:
    books, caught, stop = nb.Books(), [], threading.Event()
    adds = some_adds(200_000)

    def apply() -> None:
        while not stop.is_set():
            try:
                books.apply(adds)
            except nb.errors.BusyError as error:
                caught.append(error)
                stop.set()

    threads = [threading.Thread(target=apply) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert caught
    assert "another thread" in caught[0].detail


# --- captures by hand: sessions, gaps, names that come late


@pytest.fixture
def two_sessions(tmp_path: Path) -> Path:
    """Two orders until second 5; then, in another session, one order from second 2 on."""
    return recorded(
        tmp_path / "two.pcap",
        mold.encode(FIRST, 1, [add(1, 3), add(2, 5)]),
        mold.encode(SECOND, 1, [add(7, 2, shares=70), message("S", timestamp=4 * S)]),
    )


def test_a_session_begins_with_empty_books(two_sessions: Path) -> None:
    books = nb.replay(two_sessions)
    assert (books.counts()["live_orders"], books.counts()["messages"]) == (1, 4)
    assert books["A"].bbo.bid_quantity == 70
    assert nb.bbo(two_sessions, sizes=True)["bid_quantity"].tolist() == [10, 20, 70]
    assert document(two_sessions)["live_orders"] == 1


def test_snapshots_of_each_session_are_in_its_own_time(two_sessions: Path) -> None:
    rows = np.concatenate(list(nb.snapshots(two_sessions, every="1s")))
    assert rows[["time", "quantity"]].tolist() == [
        *((at * S, quantity) for at, quantity in ((3, 10), (4, 10), (5, 20))),
        *((at * S, 70) for at in (2, 3, 4)),
    ]


def test_a_gap_has_no_time_of_its_own(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "gaps.pcap",
        mold.heartbeat(FIRST, 5),
        mold.encode(FIRST, 8, [add(1, 3.5)]),
        mold.encode(FIRST, 20, [add(2, 4), add(3, 6)]),
        mold.heartbeat(FIRST, 30),
    )
    parts = [part[["time", "quantity"]].tolist() for part in nb.snapshots(path, every="1s")]
    assert parts == [[(4 * S, 20)], [(5 * S, 20)], [(6 * S, 30)]]
    found = document(path)
    assert (found["gaps"], found["messages"]) == ([[5, 7], [9, 19], [22, 29]], 3)
    assert document(path, "--at-seq", 8)["gaps"] == [[5, 7]]
    shown = book(path, "--symbol", "A").stdout.splitlines()
    assert "gaps=3 missing=22 rejected=0" in shown[0]
    assert shown[1] == "missing: 5-7 9-19 22-29"


def test_many_gaps_do_not_hide_the_books(tmp_path: Path) -> None:
    path = recorded(tmp_path / "gaps.pcap", *(mold.encode(FIRST, 1 + 2 * at, [add(1 + at)]) for at in range(20)))
    shown = book(path).stdout.splitlines()
    assert shown[1] == "missing: 2 4 6 8 10 12 14 16 and 11 gaps more, --json lists them"
    assert len(document(path)["gaps"]) == 19


def test_an_instrument_whose_name_comes_late_has_it(tmp_path: Path) -> None:
    path = tmp_path / "late.itch"
    nameless = message("D", stock_locate=4, order_reference_number=9)
    path.write_bytes(capture.write_itch([nameless, add(1), add(2, symbol=b"LATE", locate=4)]))
    books = nb.replay(path, batch=1)
    assert books.symbols == ["LATE", "A"]
    assert books.wire_ids.tolist() == [4, 1]
    assert books["LATE"].position(2) == 0
    assert list(books) == ["LATE", "A"]
    assert nb.bbo(path)["symbol"].tolist() == [b"A", b"LATE"]


def test_a_file_goes_on_where_another_ended(tmp_path: Path) -> None:
    path, same, other = (tmp_path / name for name in ("one.itch", "same.itch", "other.itch"))
    path.write_bytes(capture.write_itch([add(1, symbol=b"A", locate=1), add(2, symbol=b"B", locate=2)]))
    same.write_bytes(capture.write_itch([add(3, symbol=b"A", locate=1)]))
    other.write_bytes(capture.write_itch([add(4, symbol=b"B", locate=2)]))
    books = nb.replay(same, books=nb.replay(path), resume=True)
    assert books["A"].orders("bid", 1000)["order"].tolist() == [1, 3]
    assert books["B"].position(2) == 0
    with pytest.raises(ValueError, match="other instruments"):
        nb.replay(other, books=books, resume=True)
    assert books.hash() == books.copy().hash()


def test_one_symbol_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "names.itch"
    path.write_bytes(capture.write_itch([add(n, symbol=name, locate=n) for n, name in enumerate((b"A", b"AB", b"B"))]))
    assert nb.bbo(path, symbols="AB")["symbol"].tolist() == [b"AB"]
    assert nb.bbo(path, symbols=["B", b"A"])["symbol"].tolist() == [b"A", b"B"]
    assert next(nb.snapshots(path, symbols="AB"))["symbol"].tolist() == [b"AB"]


def test_trades_take_where_the_books_say_so(tmp_path: Path) -> None:
    path = tmp_path / "trades.itch"
    path.write_bytes(capture.write_itch([add(1), message("P", stock_locate=1, order_reference_number=1, shares=4)]))
    assert nb.replay(path)["A"].bbo.bid_quantity == 10
    assert nb.replay(path, books=nb.Books(consume_trades=True))["A"].bbo.bid_quantity == 6
    assert document(path, "--consume-trades")["books"]["A"]["bids"] == [[1000, 6, 1]]


def test_trades_that_find_no_order_are_no_riddle(day: Path, tmp_path: Path) -> None:
    run = book(day, "--consume-trades")
    assert run.returncode == 0
    assert "warning: --consume-trades: 64 of the last 64 rejected messages are trades" in run.stderr
    assert book(day).stderr == ""
    trades = [message("P", stock_locate=1, order_reference_number=order, shares=1) for order in (1, 1, 1, 9)]
    path = bare(tmp_path / "trades.itch", add(1), *trades)
    assert document(path, "--consume-trades")["rejects"] == {"unknown_order": 1}


def test_a_moment_splits_messages_of_one_batch(tmp_path: Path) -> None:
    path = tmp_path / "moments.itch"
    path.write_bytes(capture.write_itch([add(1, 1), add(2, 2), add(3, 2), add(4, 3)]))
    assert nb.replay(path, until=2 * S).counts()["messages"] == 3
    assert nb.replay(path, until=2 * S - 1).counts()["messages"] == 1
    assert nb.replay(path, until_sequence=0).counts()["messages"] == 0
    assert nb.replay(path, until=9 * S, until_sequence=3).counts()["messages"] == 3
    for wrong in ({"until": -1}, {"until_sequence": 2**64}, {"batch": 0}):
        with pytest.raises(nb.errors.ArgumentError, match="allowed"):
            nb.replay(path, **wrong)


def test_two_lines_give_the_same_prices_and_snapshots_as_the_bare_day(day: Path, tmp_path: Path) -> None:
    faults = nb.LineFaults(loss=0.05, duplicates=0.02)
    nb.make_itch(tmp_path / "x.pcap", **DAY, faults=faults)
    lines = {"path": tmp_path / "x-A.pcap", "other": tmp_path / "x-B.pcap"}
    names = [name for name in nb.bbo(day).dtype.names or () if name != "rx_ns"]
    assert np.array_equal(nb.bbo(**lines)[names], nb.bbo(day)[names])
    pairs = zip(nb.snapshots(**lines, every="30m"), nb.snapshots(day, every="30m"), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_snapshots_take_spans_and_symbols_of_every_form(day: Path) -> None:
    wanted = np.concatenate(list(nb.snapshots(day, every="1h", depth=2)))
    for every in (timedelta(hours=1), 3600 * S, np.int64(3600 * S), "60m"):
        assert np.array_equal(np.concatenate(list(nb.snapshots(day, every=every, depth=2))), wanted)
    chosen = np.concatenate(list(nb.snapshots(day, every="1h", depth=2, symbols=["B"])))
    assert np.array_equal(chosen, wanted[wanted["symbol"] == b"B"])
    assert set(wanted["side"].tolist()) == {b"bid", b"ask"}
    with pytest.raises(ValueError, match="allowed"):  # before the first one is asked for
        nb.snapshots(day, every="1 day")
    with pytest.raises(ValueError, match="depth=0"):
        nb.snapshots(day, depth=0)


# --- more of the command


def test_books_without_orders_are_named_in_one_line(day: Path) -> None:
    shown = book(day, "--at-seq", 20, "--symbol", "A", "--symbol", "B").stdout.splitlines()
    assert shown[1:] == ["", "without orders: A B"]


def test_columns_line_up(tmp_path: Path) -> None:
    path = tmp_path / "wide.itch"
    asks = [add(order, shares=2**31, price=2**31 + order, buy_sell_indicator=b"S") for order in (3, 4)]
    path.write_bytes(capture.write_itch([add(1), add(2, price=999), *asks]))
    legend, _, *lines = book(path).stdout.splitlines()[1:]
    assert (legend, lines[0]) == ("prices: the wire's integers, 1e-4 dollars", "A")
    assert lines[2:] == [
        "       1        10  1000 | 2147483651  2147483648       1",
        "       1        10   999 | 2147483652  2147483648       1",
    ]
    assert len({len(line) for line in lines[1:]}) == 1


def test_the_unit_of_prices_is_told(day: Path) -> None:
    assert "prices: the wire's integers, 1e-4 dollars" in book(day, "--symbol", "A").stdout.splitlines()
    assert document(day, "--symbol", "A")["price_scale"] == 4
    assert "1e-4 dollars: 1702500 is 170.25" in " ".join(book("--help").stdout.split())
    assert "1e-4 dollars, those of MWCB levels (V) 1e-8" in " ".join(numi("decode", "--help").stdout.split())


def test_a_crossed_book_says_so(tmp_path: Path) -> None:
    path = tmp_path / "crossed.itch"
    path.write_bytes(capture.write_itch([add(1), add(2, price=900, buy_sell_indicator=b"S")]))
    assert "A crossed" in book(path).stdout.splitlines()
    assert document(path)["flags"] == {"crossed": 1, "locked": 0}


def test_what_broke_a_file_is_told_beside_a_symbol_that_is_not_in_it(tmp_path: Path) -> None:
    broken = recorded(tmp_path / "x.pcap", mold.encode(FIRST, 1, [add(1)]))
    broken.write_bytes(broken.read_bytes() + b"\xff" * 16)
    run = book(broken, "--symbol", "B")
    assert (run.returncode, run.stdout) == (1, "")
    assert "--symbol B: none of the 1 instruments" in run.stderr
    assert "(offset" in run.stderr
    assert "(offset" in json.loads(book(broken, "--json").stdout)["error"]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--plot", "x.xlsx"], 2, "x.xlsx: allowed a name that ends in .png"),
        (["--plot", "x.png", *(word for n in range(13) for word in ("--symbol", f"S{n}"))], 2, "13 symbols"),
        (["--plot", "/nonexistent/x.png"], 1, "no folder /nonexistent"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_reading(words: list[str], code: int, named: str) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    run = book("/no/such/file", *words)
    assert run.returncode == code
    assert named in run.stderr


def test_without_matplotlib_the_command_says_what_to_install(day: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from numi_bypass.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "book", str(day), "--plot", "x.png"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 3
    assert run.stderr == "numi-bypass book: matplotlib is missing: pip install 'numi-bypass[plot]'\n"


def test_more_symbols_than_a_picture_holds(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    path = tmp_path / "many.itch"
    path.write_bytes(capture.write_itch([add(n, symbol=b"S%d" % n, locate=n) for n in range(1, 14)]))
    run = book(path, "--plot", tmp_path / "x.png")
    assert (run.returncode, run.stdout) == (2, "")
    assert "13 symbols: allowed at most 12, choose them with --symbol" in run.stderr
    assert not (tmp_path / "x.png").exists()
    for chosen, at in (("S1", "9:30"), ("S2", "0:00")):
        run = book(path, "--plot", tmp_path / "x.png", "--symbol", chosen, "--at", at)
        assert (run.returncode, run.stderr) == (0, ""), "one side alone is drawn, too"


# --- more of the face


def test_events_need_not_lie_side_by_side() -> None:
    adds, books, one = some_adds(), nb.Books(), nb.Books()
    books.apply(np.repeat(adds, 2)[::2])
    one.apply(adds[0])
    for each in (books, one):
        each.name(["X"], [7])
    whole = nb.Books()
    whole.name(["X"], [7])
    assert len(whole.changes(adds[::-1][::-1])) == 2
    assert whole.hash() == books.hash()
    assert one.counts()["live_orders"] == 1
    books.apply(adds[:0])
    for wrong in (np.arange(5), adds.reshape(2, 10), adds["order"], np.zeros(3, [("kind", "u1")])):
        with pytest.raises(TypeError, match="allowed struct numi_event"):
            books.apply(wrong)
        with pytest.raises(TypeError, match="allowed struct numi_event"):
            books.changes(wrong)
    assert books.hash() == whole.hash()


def test_more_changes_than_are_kept_at_once_all_come() -> None:
    adds = some_adds(20_000)
    adds["side"], adds["price"] = 0, np.arange(20_000)
    changes = nb.Books().changes(adds)
    assert changes["bid"].tolist() == list(range(20_000))
    assert changes["sequence"].tolist() == adds["sequence"].tolist()


def test_what_numpy_gives_can_be_asked_with() -> None:
    books = nb.Books()
    books.name([b"X   "], np.array([7], np.uint64))
    books.apply(some_adds())
    bids, _ = books[b"X"].top(np.int64(1))  # type: ignore[arg-type]
    queue = books["X"].orders(np.uint8(0), bids["price"][0])  # type: ignore[arg-type]
    assert len(queue) == 10
    assert books["X"].position(queue["order"][-1]) == 9
    assert books["X"].level("bid", bids[0]["price"])["quantity"] == 100  # type: ignore[index]
    for wrong in (1.5, "1", None, 2**63):
        with pytest.raises(nb.errors.ArgumentError, match="price="):
            books["X"].level("bid", wrong)  # type: ignore[arg-type]


def test_names_are_whole_and_as_many_as_wire_ids() -> None:
    books = nb.Books()
    with pytest.raises(ValueError, match="2 symbols and 1 wire ids"):
        books.name(["X", "Y"], [1])
    for wrong in (-1, 2**64, 0.5):
        with pytest.raises(nb.errors.ArgumentError, match="wire_ids="):
            books.name(["X"], [wrong])  # type: ignore[list-item]
    books.name(["", "X "], [3, 2**64 - 1])
    assert (len(books), list(books), books.symbols) == (1, ["X"], ["", "X"])
    assert "X" in books
    assert "" not in books
    assert 0 not in books
    assert (books["X"].instrument, books["X"].symbol, books.book(5).symbol) == (1, "X", "")


def test_closed_books_say_so() -> None:
    with nb.Books() as books:
        books.name(["X"], [7])
        books.apply(some_adds())
        view = books["X"]
        copy = books.copy()
    books.close()
    asked: tuple[Callable[[], object], ...] = (books.hash, books.copy, books.counts, books.clear, lambda: view.bbo)
    for ask in asked:
        with pytest.raises(ValueError, match="the books are closed"):
            ask()
    assert copy["X"].bbo.bid_quantity == 100
    assert repr(books) == "<Books, closed>"
    assert repr(copy["X"]) == "<Book of X>"


READS: dict[str, Callable[[nb.Books], object]] = {
    "counts": lambda books: books.counts(),
    "rejects": lambda books: books.rejects(),
    "hash": lambda books: books.hash(),
    "copy": lambda books: books.copy(),
    "clear": lambda books: books.clear(),
    "check": lambda books: books.check(),
    "memory": lambda books: books.memory,
    "order": lambda books: books.order(1),
    "name": lambda books: books.name(["Y"], [1]),
    "close": lambda books: books.close(),
    "apply": lambda books: books.apply(some_adds()),
    "changes": lambda books: books.changes(some_adds()),
    "bbo": lambda books: books.book(0).bbo,
    "top": lambda books: books.book(0).top(1),
    "top_of": lambda books: books.top_of([0], 1),
    "depth": lambda books: books.book(0).depth("bid"),
    "level": lambda books: books.book(0).level("bid", 1000),
    "orders": lambda books: books.book(0).orders("bid", 1000),
    "position": lambda books: books.book(0).position(1),
}


@pytest.mark.parametrize("name", READS)
def test_whatever_a_second_thread_asks_is_refused(name: str) -> None:
    books = nb.Books()
    books.name(["X"], [7])
    books.apply(some_adds())
    before = books.hash()
    with books._turn, pytest.raises(nb.errors.BusyError, match="set of books is in use by another thread"):
        READS[name](books)
    assert books.hash() == before
    READS[name](books)


def test_a_forked_child_is_refused() -> None:
    books = nb.Books()
    books.apply(some_adds())
    pid = os.fork()
    if pid == 0:
        try:
            books.counts()
        except nb.errors.BusyError as error:
            os._exit(0 if "forked child" in error.detail else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert books.counts()["live_orders"] == 20
