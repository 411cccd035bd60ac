"""Recovery wired to the feed: gaps become requests, replies fill them, and what cannot be had is declared."""

import random
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numi_bypass as nb
from numi_bypass.merging import Line
from numi_bypass.recover import Request
from numi_sim.model import mold, soup
from tests.servers import SESSION, Resender, SoupServer, sequenced

MS = 1_000_000
Packets = list[tuple[int, Line, bytes]]


def cancel(number: int) -> bytes:
    """A cancel of an order that nobody knows: events are enough."""
    return b"X" + bytes([0, 1]) + bytes(8) + number.to_bytes(8, "big") + bytes(4)


def block(first: int, count: int, session: bytes = SESSION) -> bytes:
    return mold.encode(session, first, [cancel(number) for number in range(first, first + count)])


def resend(session: bytes, sequence: int, count: int, fit: int = 40) -> list[bytes]:
    return [block(sequence, min(count, fit), session)]


def two_lines(missing: range, last: int) -> nb.SimPort:
    """A packet each 10 us on A, 1 us later on B; both lose the same ones."""
    packets: Packets = []
    for number in range(1, last + 1):
        if number not in missing:
            packets.append((number * 10_000, "A", block(number, 1)))
            packets.append((number * 10_000 + 1000, "B", block(number, 1)))
    return nb.SimPort.of(sorted(packets, key=lambda one: one[0]))


class Far:
    """A request server in virtual time: answers after a round trip, and loses some."""

    def __init__(self, round_trip_ns: int, loss: float = 0.0, seed: int = 1) -> None:
        self.round_trip_ns, self.loss = round_trip_ns, loss
        self.chance = random.Random(seed)
        self.on_the_way: list[tuple[int, bytes]] = []
        self.requests = 0

    def ask(self, requests: list[Request], now: int) -> None:
        for request in requests:
            self.requests += 1
            session, sequence, count = mold.decode_request(request.payload)
            if self.chance.random() >= self.loss:
                self.on_the_way += [(now + self.round_trip_ns, one) for one in resend(session, sequence, count)]

    def answers(self, now: int) -> list[bytes]:
        here = [payload for at, payload in self.on_the_way if at <= now]
        self.on_the_way = [one for one in self.on_the_way if one[0] > now]
        return here


def in_virtual_time(feed: nb.Feed, recovery: nb.Recovery, far: Far, end: int, turn: int = 50_000) -> list[int]:
    """Sequences as they came out; the gaps' as minus their first."""
    found: list[int] = []
    for now in range(0, end, turn):
        for payload in far.answers(now):
            recovery.reply(payload, now)
        for batch in feed.run(until=now):
            found += [int(one["sequence"]) * (1 if one["kind"] else -1) for one in batch]
        far.ask(recovery.ask(now), now)
    return found


HOW: list[dict[str, Any]] = [{}, {"batch": 1}, {"staged": 16}, {"staged": 2, "batch": 3, "events_max": 7}]


def test_a_gap_of_1000_messages_is_filled_within_100_ms_however_the_feed_is_cut() -> None:
    hashes = set()
    for how in HOW:
        port, recovery, far = two_lines(range(1001, 2001), 3000), nb.Recovery(), Far(2 * MS, loss=0.2)
        with nb.Feed([port, port.on("B")], recovery=recovery, **how) as feed:
            # The gap is known with message 2001, at 20.01 ms.
            found = in_virtual_time(feed, recovery, far, end=20 * MS + 100 * MS)
            assert found == list(range(1, 3001)), how
            assert feed.counts()["gaps"] == 0
            assert feed.lines()["recovery"].first == 1000
            assert feed.ledger().whole
            assert feed.pool_ledger().available == feed.pool_ledger().size
            hashes.add(feed.event_hash)
        counts = recovery.counts()
        assert counts["answered"] == 1000
        assert counts["timeouts"] > 0
        assert counts["asked"] < 2000, "nothing that is on its way is asked for again"
    assert len(hashes) == 1


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    recovery = nb.Recovery(patience_ns=0)
    port = nb.SimPort.of([(0, "A", block(1, 1)), (1, "A", block(32, 1))])
    with nb.Feed([port], recovery=recovery, lines=1) as feed:
        feed.step(1)
        (request,) = recovery.ask(2)
        assert (request.sequence, request.count) == (2, 30)
        assert recovery.reply(block(2, 10), 3) == "ok"
        assert recovery.ask(4) == [], "the feed has not merged it"
        assert recovery.counts()["waits"] == 1
        feed.step(5)
        assert [(one.sequence, one.count) for one in recovery.ask(6)] == [(12, 20)]


def test_what_nobody_answers_is_given_up_and_declared() -> None:
    port = two_lines(range(11, 21), 40)
    recovery, far = nb.Recovery(give_up_ns=20 * MS, timeout_ns=3 * MS), Far(MS, loss=1.0)
    with nb.Feed([port, port.on("B")], recovery=recovery) as feed:
        found = in_virtual_time(feed, recovery, far, end=30 * MS)
        assert found == [*range(1, 11), -11, *range(21, 41)]
        assert (feed.counts()["gaps"], feed.counts()["missing"]) == (1, 10)
        assert feed.ledger().whole
        assert feed.ports()[2]["handed_out"] == 0, "word of recovery is no packet"
        assert feed.pool_ledger().available == feed.pool_ledger().size
    assert recovery.counts()["given_up"] == 10
    assert far.requests > 2


def test_what_was_given_up_of_a_session_is_not_given_up_of_the_next() -> None:
    other = b"ANOTHER   "
    first: Packets = [(0, "A", block(1, 1)), (1, "A", block(5, 1))]
    second: Packets = [(2 * MS, "A", block(number, 1, other)) for number in (1, 2, 5)]
    recovery = nb.Recovery(give_up_ns=MS)
    with nb.Feed([nb.SimPort.of([*first, *second])], recovery=recovery, lines=1) as feed:
        assert [one["sequence"].tolist() for one in feed.run(until=MS)] == [[1]]
        recovery.ask(MS + 1)
        assert recovery.counts()["given_up"] == 3, "and word of it is on its way"
        events = [event for one in feed.run(until=2 * MS) for event in one.tolist()]
        names = np.array(events, nb.layout.dtype_of("numi_event"))
        assert names["sequence"].tolist()[-2:] == [1, 2]
        assert [gap[:2] for gap in feed.gaps()] == [(3, 4)]


def test_a_tape_holds_replies_and_what_was_given_up(tmp_path: Path) -> None:
    port = two_lines(range(301, 401), 1000)
    recovery, far = nb.Recovery(give_up_ns=4 * MS, timeout_ns=MS, backoff_ns=0, request_max=10), Far(MS // 2, loss=0.7)
    with nb.Feed([port, port.on("B")], recovery=recovery, tape=tmp_path / "tape") as feed:
        found = in_virtual_time(feed, recovery, far, end=40 * MS)
        wanted = (feed.event_hash, feed.counts()["missing"], feed.lines()["recovery"].first)
        assert feed.ledger().whole
        ledger = feed.ledger()
    assert 0 < wanted[1] < 100, "some came and some did not"
    assert len(found) == 1000 - wanted[1] + feed_gaps(found)
    for how in HOW:
        with nb.TapeFeed(tmp_path / "tape", **how) as again:
            for _ in again.run():
                pass
            assert (again.event_hash, again.counts()["missing"], again.lines()["recovery"].first) == wanted
            assert again.ledger() == ledger


def feed_gaps(found: list[int]) -> int:
    return sum(number < 0 for number in found)


def test_a_gap_is_filled_by_threads_over_udp() -> None:
    port = two_lines(range(101, 201), 3000)
    with closing(Resender(resend)) as server, server.serving():
        recovery = nb.Recovery([server.address])
        with nb.Feed([port, port.on("B")], recovery=recovery) as feed:
            stages = feed.run_threads(at_pace=True)
            assert len(stages) == 2
            assert (feed.counts()["events"], feed.counts()["missing"]) == (3000, 0)
    assert recovery.counts()["answered"] == 100
    assert recovery.servers()[0]["received"] >= 3


@pytest.mark.parametrize("staged", [0, 64])
def test_a_day_joined_late_comes_over_a_session(staged: int) -> None:
    stream = b"".join(sequenced(cancel(number)) for number in range(1, 1001))
    accepted = soup.encode({"packet_type": b"A", "session": SESSION, "sequence_number": 1})
    packets: Packets = [(number * 10_000, "A", block(number, 1)) for number in range(900, 1501)]
    with closing(SoupServer(lambda *_: accepted + stream, piece=5000)) as server:
        session = nb.SoupClient(sequence=1, session=SESSION.decode())
        recovery = nb.Recovery(session=session, session_servers=[server.address])
        with nb.Feed([nb.SimPort.of(packets)], lines=1, first_sequence=1, recovery=recovery, staged=staged) as feed:
            found: list[int] = []
            begin, deadline = time.monotonic_ns(), time.monotonic() + 20
            while len(found) < 1500:
                assert time.monotonic() < deadline, "it never came to that"
                server.step()
                for batch in feed.run(until=time.monotonic_ns() - begin):
                    found += batch["sequence"].tolist()
            assert found == list(range(1, 1501))
            assert feed.lines()["recovery"].first >= 899


def test_a_run_at_pace_ends_where_a_session_does_not_bring_what_is_missing() -> None:
    with closing(SoupServer(lambda *_: b"")) as server:
        recovery = nb.Recovery(session=nb.SoupClient(), session_servers=[server.address], give_up_ns=5 * MS)
        port = two_lines(range(11, 21), 40)
        with nb.Feed([port, port.on("B")], recovery=recovery) as feed:
            feed.run_threads(at_pace=True)
            assert (feed.counts()["gaps"], feed.counts()["missing"]) == (1, 10)
            assert feed.counts()["events"] == 31


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="servers=2: allowed 1, the number of addresses"):
        nb.Recovery(["127.0.0.1:9"], servers=2)
    with pytest.raises(ValueError, match="session and session_servers"):
        nb.Recovery(session=nb.SoupClient())
    with pytest.raises(nb.errors.ArgumentError, match="packets is 3: allowed are powers of two"):
        nb.Recovery(packets=3)
    with pytest.raises(nb.errors.ArgumentError, match="packet_size is 4096: allowed are the 2048 bytes of a frame"):
        nb.Feed([nb.SimPort.of([])], recovery=nb.Recovery(packet_size=4096))
    with pytest.raises(TypeError, match="no such option"):
        nb.Recovery(patience=3)
    recovery = nb.Recovery()
    with nb.Feed([nb.SimPort.of([])], recovery=recovery), pytest.raises(ValueError, match="belongs to another feed"):
        nb.Feed([nb.SimPort.of([])], recovery=recovery)
    with pytest.raises(TypeError, match="allowed text"):
        nb.SoupClient(session=b"NUMI000001")  # type: ignore[arg-type]


def test_packets_that_find_no_place_are_counted_and_asked_for_again() -> None:
    port = two_lines(range(11, 111), 200)
    recovery, far = nb.Recovery(packets=2, request_max=10), Far(MS)
    with nb.Feed([port, port.on("B")], recovery=recovery) as feed:
        assert in_virtual_time(feed, recovery, far, end=300 * MS) == list(range(1, 201))
    counts = recovery.counts()
    assert counts["no_room"] > 0
    assert recovery.reply(bytes(3000), 400 * MS) == "unasked"
    assert recovery.counts()["too_large"] == 1
