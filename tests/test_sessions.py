"""Captures of several sessions, each with its own instruments: events, tables, books, prices against the models."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_sim.model import book as book_model
from numi_sim.model import capture, mold, packet
from numi_sim.model import event as event_model
from numi_sim.model.event import Event
from tests.traffic import FIRST, HEADERS, NOON_NS, SECOND, S, add, book, message, numi, recorded

on_files = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
NAMES = (b"A", b"B", b"C", b"D")
LOCATES = (1, 2, 7, 9)


@dataclass
class Session:
    """What was sent under one name, and which packets came on which line."""

    name: bytes
    messages: list[bytes]
    packets: list[tuple[int, int]]
    """The first message of each, and the first behind it."""
    lines: list[str]
    """Of each packet: "A", "B", "AB", or neither."""
    is_announced: bool
    """Heartbeats told where it ended."""

    def on(self, line: str) -> list[bytes]:
        """Its payloads on a line."""
        told = zip(self.packets, self.lines, strict=True)
        payloads = [mold.encode(self.name, 1 + at, self.messages[at:end]) for (at, end), lines in told if line in lines]
        ends = [mold.heartbeat(self.name, 1 + len(self.messages))] * self.is_announced
        return [mold.heartbeat(self.name, 1), *payloads, *ends]

    def came(self, lines: str) -> list[int]:
        """The places of the messages that came on any of these lines."""
        told = zip(self.packets, self.lines, strict=True)
        return [place for (at, end), on in told if set(on) & set(lines) for place in range(at, end)]

    def events(self, lines: str) -> list[Event]:
        """What the lines bring, and the gaps between."""
        came, instruments = self.came(lines), dict[int, int]()
        ends = [len(self.messages)] if self.is_announced else came[-1:] and [came[-1] + 1]
        found = []
        for last, place in pairwise([-1, *came, *ends]):
            if place > last + 1:
                found.append(event_model.gap_of(last + 2, place))
            if place in came:
                found.append(event_model.event_of(self.messages[place], place + 1, instruments))
        return found

    def names(self, places: list[int]) -> dict[int, bytes]:
        """What these messages call their locates, in the order of their first ones; empty where none has."""
        found: dict[int, bytes] = {}
        for one in (self.messages[place] for place in places):
            stock = one[24:32].rstrip() if one[:1] == b"A" else b""
            locate = int.from_bytes(one[1:3], "big")
            found[locate] = found.get(locate) or stock
        return found


orders = st.integers(1, 6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("A"), st.integers(0, 3), orders, st.integers(1000, 1003), st.sampled_from([b"B", b"S"])),
        st.tuples(st.just("A"), st.integers(0, 3), orders, st.integers(1000, 1003), st.sampled_from([b"B", b"S"])),
        st.tuples(st.just("D"), st.integers(0, 3), orders, st.just(0), st.just(b"")),
        st.tuples(st.just("X"), st.integers(0, 3), orders, st.just(0), st.just(b"")),
    ),
    min_size=1,
    max_size=14,
)


@st.composite
def sessions(draw: st.DrawFn) -> list[Session]:
    """Whatever a locate was called in one of them, it is called otherwise in the next."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        names = dict(zip(LOCATES, draw(st.permutations(NAMES)), strict=True))
        messages = []
        for kind, place, order, price, side in draw(steps):
            fields: dict[str, Any] = {"stock_locate": LOCATES[place], "order_reference_number": order}
            fields |= {"timestamp": S * (1 + len(messages))}
            if kind == "A":
                fields |= {"stock": names[LOCATES[place]], "shares": 5, "price": price, "buy_sell_indicator": side}
            messages.append(message(kind, **fields, **({"cancelled_shares": 3} if kind == "X" else {})))
        cuts = sorted(draw(st.sets(st.integers(1, len(messages)), max_size=4)) | {0, len(messages)})
        packets = list(pairwise(cuts))
        on = st.sampled_from(["AB", "AB", "A", "B", ""])
        lines = draw(st.lists(on, min_size=len(packets), max_size=len(packets)))
        found.append(Session(b"SESSION%03d" % number, messages, packets, lines, draw(st.booleans())))
    return found


def written(folder: Path, given: list[Session]) -> list[Path]:
    """Line A and line B: what comes on both comes on B a little later, and no session begins before all of the last."""
    paths = []
    for place, line in enumerate("AB"):
        packets = []
        for number, session in enumerate(given):
            for at, payload in enumerate(session.on(line)):
                packets.append((NOON_NS + number * S + at * 1000 + place, packet.build(HEADERS, payload)))
        paths.append(folder / f"{line}.pcap")
        paths[-1].write_bytes(capture.write_pcap(packets))
    return paths


def packed(events: Any) -> list[bytes]:
    rows = events.copy()
    rows["rx_ns"], rows["flags"] = 0, rows["flags"] & 0xFF00
    return [row.tobytes() for row in rows]


def of_sessions(reader: nb.Events) -> Iterator[tuple[int, Any, dict[int, bytes]]]:
    """Each batch with its session's number, and what its locates are called."""
    for batch in reader:
        yield reader.sessions, batch, dict(zip(reader.locates.tolist(), reader.symbols.tolist(), strict=True))


@on_files
@given(sessions(), st.sampled_from([1, 3, 100]), st.booleans())
def test_events_are_of_the_instruments_of_their_session(
    tmp_path: Path, given: list[Session], size: int, merged: bool
) -> None:
    a, b = written(tmp_path, given)
    lines = "AB" if merged else "A"
    told = [session for session in given if session.events(lines) and (merged or session.came(lines))]
    reader = nb.Events(a, other=b, batch=size) if merged else nb.Events(a, batch=size)
    found: list[list[bytes]] = [[] for _ in told]
    for number, batch, names in of_sessions(reader):
        found[number - 1] += packed(batch)
        messages = [place for place in told[number - 1].came(lines) if place < batch["sequence"][-1]]
        assert names == told[number - 1].names(messages)
    wanted = [[event_model.pack(one) for one in session.events(lines) if merged or one["kind"]] for session in told]
    assert found == wanted


@on_files
@given(sessions(), st.booleans())
def test_tables_name_the_instruments_of_each_session(tmp_path: Path, given: list[Session], merged: bool) -> None:
    a, b = written(tmp_path, given)
    lines, other = ("AB", b) if merged else ("A", None)
    rows = []
    for session in given:
        names = session.names(session.came(lines))
        for event in session.events(lines):
            locate = int.from_bytes(session.messages[event["sequence"] - 1][1:3], "big")
            symbol = names[locate].decode() or None if event["kind"] else None
            if merged or event["kind"]:
                rows.append((chr(event["kind"]) if event["kind"] else None, event["sequence"], symbol))
    nb.read(a, other=other).to_parquet(tmp_path / "events.parquet")
    for table in (nb.read(a, other=other).to_arrow(), pq.read_table(tmp_path / "events.parquet")):
        columns = [table[name].to_pylist() for name in ("kind", "sequence", "symbol")]
        assert list(zip(*columns, strict=True)) == rows
    raw = nb.read(a, schema="raw", other=other)
    assert raw.source.gaps == [
        [event["order"], event["aux"]] for one in given for event in one.events(lines) if not event["kind"] and merged
    ]
    for letter, found in raw.to_arrow().items():
        columns = [found[name].to_pylist() for name in ("sequence", "symbol")]
        assert list(zip(*columns, strict=True)) == [row[1:] for row in rows if row[0] == letter]
    assert sum(map(len, (rows for _, rows in raw.items()))) == sum(len(session.came(lines)) for session in given)


class Modelled:
    """The naive books of a day of sessions, after each event; and each change of a best price."""

    def __init__(self, given: list[Session]) -> None:
        self.books = book_model.Books()
        self.hashes: list[str] = []
        self.changes: list[tuple[int, bytes, int, int]] = []
        self.symbols: list[str] = []
        for session in given:
            events = session.events("AB")
            locates = session.names(session.came("AB"))
            self.books.clear() if events else None
            self.symbols = [name.decode() for name in locates.values()] if events else self.symbols
            for event in events:
                change = self.books.changes(event)
                self.hashes.append(self.books.state_hash(dict(enumerate(locates))))
                if change:
                    symbol = list(locates.values())[change.instrument]
                    self.changes.append((change.sequence, symbol, change.bid, change.ask))


@on_files
@given(sessions(), st.sampled_from([1, 2, 100]))
def test_books_are_those_of_the_last_session(tmp_path: Path, given: list[Session], size: int) -> None:
    a, b = written(tmp_path, given)
    model, seen, hashes = Modelled(given), 0, []

    def note(books: nb.Books, events: Any) -> None:
        nonlocal seen
        seen += len(events)
        hashes.append((books.hash(), model.hashes[seen - 1]))

    books = nb.replay(a, note, other=b, batch=size)
    assert all(found == wanted for found, wanted in hashes)
    assert seen == len(model.hashes)
    assert books.symbols == model.symbols
    counts = books.counts()
    wanted = model.books.counts()
    wanted["messages"] -= wanted["gaps"]
    assert {name: counts[name] for name in wanted} == wanted
    rows = nb.bbo(a, other=b)
    assert rows[["sequence", "symbol", "bid", "ask"]].tolist() == model.changes


# --- by hand


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Locate 1 is OLD, and in the next session NEW; its 2 comes first there."""
    return recorded(
        tmp_path / "moved.pcap",
        mold.encode(FIRST, 1, [add(1, 1, symbol=b"OLD", locate=1)]),
        mold.encode(FIRST, 2, [add(2, 2, symbol=b"BOTH", locate=2, price=900)]),
        mold.encode(SECOND, 1, [add(3, 1, symbol=b"BOTH", locate=2, price=800)]),
        mold.encode(SECOND, 2, [add(4, 2, symbol=b"NEW", locate=1)]),
    )


def test_books_take_other_locates_with_another_session(moved: Path) -> None:
    books = nb.replay(moved, batch=1)
    assert (books.symbols, books.wire_ids.tolist()) == (["BOTH", "NEW"], [2, 1])
    assert books["BOTH"].bbo.bid == 800
    assert nb.bbo(moved)["symbol"].tolist() == [b"OLD", b"BOTH", b"BOTH", b"NEW"]
    assert nb.bbo(moved, symbols="OLD")["symbol"].tolist() == [b"OLD"]
    with pytest.raises(nb.errors.UnknownSymbolError, match="none of the 3 instruments is called 'NONE'"):
        nb.bbo(moved, symbols="NONE")


def test_snapshots_name_the_books_of_their_session(moved: Path) -> None:
    rows = np.concatenate(list(nb.snapshots(moved, every="1s")))
    first = [(S, b"OLD", 1000), (2 * S, b"OLD", 1000), (2 * S, b"BOTH", 900)]
    assert rows[["time", "symbol", "price"]].tolist() == [
        *first,
        *((S, b"BOTH", 800), (2 * S, b"BOTH", 800), (2 * S, b"NEW", 1000)),
    ]


def test_a_moment_of_one_session_has_the_names_of_that(moved: Path) -> None:
    words = ("--at-seq", 1, "--symbol")
    assert '"OLD": {"bids": [[1000, 10, 1]]' in book(moved, *words, "OLD", "--json").stdout
    assert "without orders: BOTH" in book(moved, *words, "BOTH").stdout
    run = book(moved, *words, "NEW")
    assert (run.returncode, "none of the 2 instruments is called 'NEW'" in run.stderr) == (1, True)


def test_decode_asks_and_names_each_session(moved: Path) -> None:
    for schema in ("raw", "events"):
        run = numi("decode", moved, "--schema", schema, "--symbol", "OLD", "--symbol", "NEW")
        assert (run.returncode, run.stderr) == (0, "")
        assert [line.partition("symbol=")[2].split()[0] for line in run.stdout.splitlines()] == ["OLD", "NEW"]


def test_books_that_are_given_empty_are_named_anew(moved: Path, tmp_path: Path) -> None:
    other = recorded(tmp_path / "other.pcap", mold.encode(FIRST, 1, [add(1, symbol=b"X", locate=9)]))
    books = nb.replay(moved)
    books.clear()
    assert nb.replay(other, books=books).symbols == ["X"]
    with pytest.raises(ValueError, match="other instruments"):
        nb.replay(moved, books=books, resume=True)


def test_control_packets_of_another_session_change_nothing(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "x.pcap",
        mold.encode(FIRST, 1, [add(1, symbol=b"X", locate=9)]),
        mold.heartbeat(SECOND, 1),
        mold.encode(FIRST, 2, [message("D", stock_locate=9, order_reference_number=1)]),
    )
    events = nb.read(path)
    batch = np.concatenate([np.empty(0, dtype_of("numi_event")), *events])
    assert (batch["instrument"].tolist(), events.symbols.tolist(), events.sessions) == ([0, 0], [b"X"], 1)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_sessions_without_messages_clear_no_books(tmp_path: Path, batch: int) -> None:
    path = recorded(
        tmp_path / "x.pcap",
        mold.encode(FIRST, 1, [add(1), add(2), add(3)]),
        *[mold.heartbeat(SECOND, 1)] * 3,
    )
    assert nb.replay(path, batch=batch).counts()["live_orders"] == 3
