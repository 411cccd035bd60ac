"""Books from files: the face of the core's books, replays, the command; all against the naive model."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_bypass.replaying import nanoseconds
from numi_sim.model import book as book_model

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


def book(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numi_bypass", "book", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def document(*words: object) -> dict[str, Any]:
    run = book(*words, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


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
        books = nb.replay(day, until_ns=hour * every)
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
        nb.Books(window_bits=5)
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
