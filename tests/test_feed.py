"""The feed: ports to books, whatever the batch and the stages, with every frame accounted for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.feeding import END_OF_TIME
from numi_bypass.merging import Line
from numi_sim.model import mold, packet
from numi_sim.model.capture import read_pcap

SESSION = b"NUMI000001"
MS = 1_000_000
DAY: dict[str, Any] = {"messages": 20_000, "symbols": 20, "seed": 7}
FAULTS = nb.LineFaults(loss=0.05, duplicates=0.02, reorder=0.05)
ENDLESS: dict[str, Any] = {"gap_timeout_ns": None, "silence_ns": None, "pending_max": 8000}

Packets = list[tuple[int, Line, bytes]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two captures of one feed, each with loss that the other covers."""
    folder = tmp_path_factory.mktemp("day")
    nb.make_itch(folder / "day.pcap", **DAY, faults=FAULTS)
    return [folder / "day-A.pcap", folder / "day-B.pcap"]


def payloads(path: Path, line: Line) -> Packets:
    return [(one.ts_ns or 0, line, packet.parse(one.data)[1]) for one in read_pcap(path.read_bytes()).records]


def schedule(day: list[Path]) -> Packets:
    lines: list[Line] = ["A", "B"]
    found = [one for path, line in zip(day, lines, strict=True) for one in payloads(path, line)]
    return sorted(found, key=lambda one: one[0])


def drained(feed: nb.Feed, **run: Any) -> tuple[str, str, int]:
    """Both hashes and the number of events, when all is out and every frame is home."""
    events = sum(len(batch) for batch in feed.run(**run))
    assert feed.ledger().whole
    pool = feed.pool_ledger()
    assert (pool.available, pool.remainder, pool.misses, pool.return_drops) == (pool.size, 0, 0, 0)
    assert feed.counts()["event_reallocs"] == 0
    return feed.event_hash, feed.state_hash(), events


def test_two_captures_make_the_books_that_replay_makes(day: list[Path]) -> None:
    with nb.Feed([f"pcap:{path}" for path in day], **ENDLESS) as feed:
        _, state, _ = drained(feed)
        assert feed.counts()["gaps"] == 0
        books = feed.books()
    replayed = nb.replay(day[0], other=day[1])
    assert state == replayed.hash() == books.hash()
    assert books.symbols == replayed.symbols


@pytest.mark.parametrize(
    ("batch", "staged", "events_max"),
    [(64, 0, 4096), (1, 0, 4096), (64, 256, 4096), (1, 2, 1), (64, 2, 37), (7, 16, 1)],
)
def test_neither_batch_nor_stages_nor_ports_change_what_comes_out(
    day: list[Path], batch: int, staged: int, events_max: int
) -> None:
    with nb.Feed([nb.PcapPort(day[0], "A"), nb.PcapPort(day[1], "B")], **ENDLESS) as feed:
        wanted = drained(feed)
    how = {"batch": batch, "staged": staged, "events_max": events_max, **ENDLESS}
    frames = 1000 if batch > 1 else 7
    with nb.Feed([nb.PcapPort(day[0], "A"), nb.PcapPort(day[1], "B")], **how) as feed:
        assert drained(feed, frames=frames) == wanted
    port = nb.SimPort.of(schedule(day))
    with nb.Feed([port, port.on("B")], **how) as feed:
        assert drained(feed, frames=frames) == wanted


@pytest.mark.parametrize(("staged", "events_max", "cpus"), [(0, 4096, [0]), (256, 4096, None), (2, 1, [None, 0])])
def test_threads_of_the_core_make_the_same(
    day: list[Path], staged: int, events_max: int, cpus: list[int | None] | None
) -> None:
    with nb.Feed([f"pcap:{path}" for path in day], **ENDLESS) as feed:
        wanted = drained(feed)
    with nb.Feed([f"pcap:{path}" for path in day], staged=staged, events_max=events_max, **ENDLESS) as feed:
        stages = feed.run_threads(cpus)
        assert [stage.code for stage in stages] == [0] * (2 if staged else 1)
        assert drained(feed)[:2] == wanted[:2]
        assert feed.counts()["events"] == wanted[2]


def test_a_core_that_cannot_be_had_is_an_error(day: list[Path]) -> None:
    with nb.Feed([f"pcap:{day[0]}"], **ENDLESS, lines=1) as feed, pytest.raises(nb.errors.ArgumentError):
        feed.run_threads([999])


def block(first: int, count: int) -> bytes:
    """Cancels of orders that nobody knows: events are enough."""
    messages = [b"X" + bytes([0, 1]) + bytes(8) + n.to_bytes(8, "big") + bytes(4) for n in range(first, first + count)]
    return mold.encode(SESSION, first, messages)


def sequences(feed: nb.Feed) -> list[int]:
    return [int(event["sequence"]) for batch in feed.run() for event in batch if event["kind"]]


def test_a_line_cut_for_200_ms_is_left_and_returned_to(tmp_path: Path) -> None:
    """A packet a ms on each line, B 100 us behind; A is cut from 100 to 300 ms."""
    packets: Packets = []
    for number in range(500):
        if not 100 <= number < 300:
            packets.append((number * MS, "A", block(1 + number, 1)))
        packets.append((number * MS + MS // 10, "B", block(1 + number, 1)))
    port = nb.SimPort.of(sorted(packets, key=lambda one: one[0]))
    with nb.Feed([port, port.on("B")]) as feed:
        seen: list[tuple[int, str]] = []
        found: list[int] = []
        for now in range(0, 520 * MS, MS // 20):
            for batch in feed.run(until=now):
                found += batch["sequence"].tolist()
            switches = feed.switches()["switches"]
            if switches != len(seen):
                seen.append((int(feed.switches()["switched_ns"] or 0), feed.preferred))
                if len(seen) == 1:
                    # The last of A came at 99 ms; the second of B that A did not bring, at 101.1 ms.
                    assert feed.switches()["switch_ns"] == 2 * MS + MS // 10
        assert seen == [(101 * MS + MS // 10, "B"), (307 * MS, "A")]
        assert found == list(range(1, 501))
        assert feed.ledger().frames["duplicate"] == 300
        assert feed.counts()["gaps"] == 0


def test_a_gap_of_1000_messages_is_filled_by_recovery() -> None:
    """Both lines lose 1001 to 2000; recovery answers 30 ms after the gap is known."""
    packets: Packets = []
    for number in [*range(1, 1001), *range(2001, 3001)]:
        for line, late in (("A", 0), ("B", 1000)):
            packets.append((number * 10_000 + late, line, block(number, 1)))  # type: ignore[arg-type]
    for first in range(1001, 2001, 40):
        packets.append((20_010_000 + 30 * MS + first, "recovery", block(first, 40)))
    port = nb.SimPort.of(sorted(packets, key=lambda one: one[0]))
    with nb.Feed([port, port.on("B"), port.on("recovery")], gap_timeout_ns=100 * MS) as feed:
        assert sequences(feed) == list(range(1, 3001))
        assert feed.counts()["gaps"] == 0
        assert feed.lines()["recovery"].first == 1000
        assert feed.pool_ledger().available == feed.pool_ledger().size


def test_a_gap_that_nobody_fills_is_declared_at_its_time() -> None:
    port = nb.SimPort.of([(10, "A", block(1, 2)), (20, "A", block(5, 2))])
    with nb.Feed([port], gap_timeout_ns=100, lines=1) as feed:
        assert [batch["sequence"].tolist() for batch in feed.run(until=119)] == [[1, 2]]
        assert feed.due == 120
        (batch,) = feed.run(until=120)
        assert batch["kind"].tolist() == [0, ord("X"), ord("X")]
        assert (batch["order"][0], batch["aux"][0]) == (3, 4)


def test_books_are_cleared_and_instruments_count_anew_with_a_session() -> None:
    def add(session: bytes, sequence: int, locate: int, stock: bytes) -> bytes:
        head = b"A" + locate.to_bytes(2, "big") + bytes(8) + sequence.to_bytes(8, "big")
        order = b"B" + (100).to_bytes(4, "big") + stock.ljust(8) + (10_000).to_bytes(4, "big")
        return mold.encode(session, sequence, [head + order])

    packets: Packets = [
        (1, "A", add(b"ONE       ", 1, 7, b"OLD")),
        (2, "A", add(b"TWO       ", 1, 9, b"NEW")),
        (3, "A", add(b"TWO       ", 2, 9, b"NEW")),
    ]
    with nb.Feed([nb.SimPort.of(packets)], lines=1) as feed:
        batches = [batch["instrument"].tolist() for batch in feed.run()]
        assert batches == [[0], [0, 0]]
        books = feed.books()
    assert books.symbols == ["NEW"]
    assert books["NEW"].top(5)[0]["quantity"].tolist() == [200]


def test_a_pool_that_is_too_small_is_refused_with_the_sum() -> None:
    with pytest.raises(nb.errors.ArgumentError, match="a pool of 1024 frames: 16384 held, 1 ports with 64 each"):
        nb.Feed([nb.SimPort.of([])], pool_frames=1024)


@pytest.mark.parametrize("name", ["books", "hashes", "consume_trades", "little_endian"])
def test_flags_are_true_or_false(name: str) -> None:
    for wrong in ("no", 2, None):
        with pytest.raises(nb.errors.ArgumentError, match=rf"{name}=.*: allowed True or False"):
            nb.Feed([nb.SimPort.of([])], **{name: wrong})
    with nb.Feed([nb.SimPort.of([])], **{name: np.bool_(True)}) as feed:
        assert feed.keeps_books


def test_a_feed_without_books_has_none_to_copy() -> None:
    with nb.Feed([nb.SimPort.of([])], books=False) as feed:
        for ask in (feed.books, feed.state_hash):
            with pytest.raises(nb.errors.ArgumentError, match="the feed keeps no books"):
                ask()


def test_frames_that_find_no_place_are_lost_and_counted() -> None:
    """A port that fills the pool in one poll; what came after is a gap."""
    port = nb.SimPort.of([(1, "A", block(1 + number, 1)) for number in range(100)])
    with nb.Feed([port], pool_frames=16, pending_max=3, batch=8, lines=1) as feed:
        assert sequences(feed) == list(range(1, 101))
        assert feed.ports()[0]["no_frame"] == 0
        assert feed.step(END_OF_TIME)[0] == 0


def test_arrivals_must_be_in_order_and_within_the_payloads() -> None:
    port = nb.SimPort.of([(2, "A", b"x"), (1, "A", b"y")])
    with pytest.raises(nb.errors.ArgumentError, match="arrival 1: at 1 ns, before the last"):
        nb.Feed([port])
    port = nb.SimPort.of([(1, "A", b"xyz")])
    port.arrivals["size"] = 4
    with pytest.raises(nb.errors.ArgumentError, match="arrival 0: ends behind the payloads"):
        nb.Feed([port])
    assert np.array_equal(port.on("B").arrivals, port.arrivals)


def test_a_tape_makes_the_same_events_in_a_new_process(day: list[Path], tmp_path: Path) -> None:
    how: dict[str, Any] = {"gap_timeout_ns": 2 * MS, "window": 64, "pending_max": 32, "batch": 16}
    packets = schedule(day)
    port = nb.SimPort.of(packets)
    with nb.Feed([port, port.on("B")], **how, tape=tmp_path / "tape") as feed:
        span = range(packets[0][0], packets[-1][0] + 50 * MS, (packets[-1][0] - packets[0][0]) // 300)
        events = sum(len(batch) for now in span for batch in feed.run(until=now, frames=77))
        events += sum(len(batch) for batch in feed.run(frames=50))
        wanted = {"events": events, "event_hash": feed.event_hash, "state_hash": feed.state_hash()}
        wanted |= {"gaps": feed.counts()["gaps"], "missing": feed.counts()["missing"]}
    command = [sys.executable, "-P", "-m", "numi_bypass", "tape", "replay", str(tmp_path / "tape"), "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert {name: told[name] for name in wanted} == wanted
    assert told["status"] == "ok"
    with nb.TapeFeed(tmp_path / "tape", staged=16, batch=1) as feed:
        assert sum(len(batch) for batch in feed.run()) == events
        assert feed.event_hash == wanted["event_hash"]
    assert nb.tape_info(tmp_path / "tape").replayable


def test_a_tape_says_where_its_frames_came_from_and_what_ports_counted(day: list[Path], tmp_path: Path) -> None:
    with nb.Feed([f"pcap:{path}" for path in day], **ENDLESS, tape=tmp_path / "tape") as feed:
        for _ in feed.run(frames=500):
            pass
        counted = [{name: row[name] for name in ("handed_out", "bytes")} for row in feed.ports()]
    told = json.loads(nb.tape_info(tmp_path / "tape").config)["ports"]
    assert [one["from"] for one in told] == [f"pcap:{path}" for path in day]
    rows = [one for one in nb.read_tape(tmp_path / "tape") if type(one).__name__ == "Counters"]
    assert [row.port for row in rows[:2]] == [0, 1], "at the beginning"
    last = [{name: row.rows[name] for name in ("handed_out", "bytes")} for row in rows[-2:]]
    assert last == counted, "and at the end"


def test_a_tape_s_frame_that_does_not_fit_is_refused_with_its_place(tmp_path: Path) -> None:
    port = nb.SimPort.of([(1, "A", block(1, 1)), (2, "A", block(2, 20))])
    with nb.Feed([port], lines=1, tape=tmp_path / "tape") as feed:
        assert sequences(feed) == list(range(1, 22))
    with (
        nb.TapeFeed(tmp_path / "tape", frame_size=128) as again,
        pytest.raises(nb.errors.ArgumentError, match="a frame of 520 bytes, those of the pool have 128"),
    ):
        sequences(again)


def test_threads_neither_record_nor_replay_a_tape(tmp_path: Path) -> None:
    with (
        nb.Feed([nb.SimPort.of([(1, "A", block(1, 1))])], lines=1, tape=tmp_path / "tape") as feed,
        pytest.raises(ValueError, match="no thread of it writes the tape"),
    ):
        feed.run_threads()
    with nb.TapeFeed(tmp_path / "tape") as again, pytest.raises(ValueError, match="replayed by run"):
        again.run_threads()


def test_a_tape_of_something_else_is_refused(tmp_path: Path) -> None:
    with nb.Tape(tmp_path / "tape", config={"a": 1}):
        pass
    with pytest.raises(ValueError, match="the tape of something else than a feed"):
        nb.TapeFeed(tmp_path / "tape")
