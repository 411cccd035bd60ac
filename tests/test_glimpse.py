"""A snapshot and the tail behind it: nothing missing, nothing twice, whatever comes in which order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass.glimpse import Part
from numi_sim.model import mold, soup
from tests.strategies_wire import unhurried

SESSION, OTHER_SESSION = b"NUMI000001", b"NUMI000002"
SECOND = 1_000_000_000


def message(sequence: int) -> bytes:
    return b"message %d" % sequence


def live(first: int, count: int, session: bytes = SESSION) -> bytes:
    return mold.encode(session, first, [message(number) for number in range(first, first + count)])


def snapshot(number: int, messages: int = 3, first: int = 1) -> bytes:
    """A whole connection's worth: accepted, the book, the mark."""
    accepted = {"packet_type": b"A", "session": b"GLIMPSE   ", "sequence_number": first}
    book: list[soup.Packet] = [{"packet_type": b"S", "message": b"order %d" % i} for i in range(messages)]
    mark: soup.Packet = {"packet_type": b"S", "message": b"G" + str(number).encode().rjust(20)}
    return b"".join(soup.encode(packet) for packet in [accepted, *book, mark])


def opened(now: int = 0, **options: Any) -> nb.Glimpse:
    glimpse = nb.Glimpse(jitter_ns=0, **options)
    assert glimpse.step(now) == 1
    glimpse.connected(now)
    glimpse.outgoing()
    return glimpse


def applied(parts: list[Part]) -> list[int]:
    """The sequences that a merge, which begins where the first packet says, hands out of the tail."""
    tail = [mold.decode(part.payload) for part in parts if part.kind == "tail"]
    if not tail:
        return []
    assert tail[0][2] == 0, "first of all a heartbeat"
    seen, start = set(), tail[0][1]
    for session, first, _, messages in tail:
        assert session == SESSION
        for number, got in enumerate(messages, first):
            assert got == message(number)
            seen.add(number)
    assert all(number >= start for number in seen), "what the snapshot has already is not handed out"
    return sorted(seen)


@unhurried
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6)), max_size=12),
    st.integers(1, 40),
    st.integers(0, 12),
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.sampled_from(["first_to_apply", "last_applied"]),
)
def test_what_is_behind_the_snapshot_is_applied_and_nothing_else(
    packets: list[tuple[int, int]], first: int, before: int, cuts: list[int], mark: str
) -> None:
    glimpse = opened(mark=mark, gap_max=2**40)
    stream = snapshot(first if mark == "first_to_apply" else first - 1)
    parts: list[Part] = []
    for at in range(max(len(packets), len(stream))):
        if at < len(packets):
            assert glimpse.keep(live(*packets[at]), 1)
        if at >= before and stream:
            size = cuts[at % len(cuts)]
            parts += glimpse.receive(stream[:size], 1)
            stream = stream[size:]
            if glimpse.state == "joined":
                break
    at = min(at + 1, len(packets))
    parts += glimpse.receive(stream, 2)
    direct = [packet for packet in packets[at:] if not glimpse.keep(live(*packet), 3)]
    parts += glimpse.receive(b"", 3)
    tail = set(applied(parts)) | {n for start, count in direct for n in range(start, start + count) if n >= first}
    assert tail == {n for start, count in packets for n in range(start, start + count) if n >= first}
    assert parts[0].kind == "clear"
    assert sum(len(mold.decode(part.payload)[3]) for part in parts if part.kind == "snapshot") == 3


@pytest.mark.parametrize(("mark", "first"), [("first_to_apply", 8), ("last_applied", 9)])
def test_the_number_s_meaning_is_one_message_apart(mark: str, first: int) -> None:
    """A book of messages 1 to 8 says 9 where it means the first to apply, and 8 where it means the last applied."""
    glimpse = opened(mark=mark)
    glimpse.keep(live(5, 6), 1)
    parts = glimpse.receive(snapshot(8), 2)
    assert (glimpse.first, applied(parts)) == (first, list(range(first, 11)))
    wrong = "8 is applied twice" if mark == "first_to_apply" else "right: 9 is the first"
    assert (8 in applied(parts)) == (wrong == "8 is applied twice")


def test_a_packet_across_the_mark_is_cut() -> None:
    glimpse = opened()
    glimpse.keep(live(1, 4), 1, rx_ns=11)
    glimpse.keep(live(5, 4), 1, rx_ns=12)
    parts = glimpse.receive(snapshot(7), 2)
    assert [(p.kind, p.rx_ns) for p in parts] == [("clear", 0), ("snapshot", 0), ("tail", 11), ("tail", 12)]
    assert parts[-1].payload == live(7, 2)
    counts = glimpse.counts()
    assert (counts["below"], counts["cut"], counts["joins"], counts["messages"]) == (1, 1, 1, 3)
    assert glimpse.step(3) == 1, "until the good-bye is sent"
    assert soup.decode(glimpse.outgoing()) == {"packet_type": b"O"}
    assert (glimpse.step(3), glimpse.state) == (0, "joined")


def test_a_packet_that_ends_at_the_mark_is_below() -> None:
    glimpse = opened()
    glimpse.keep(live(1, 6), 1)
    parts = glimpse.receive(snapshot(7), 2)
    assert [part.payload for part in parts if part.kind == "tail"] == [mold.heartbeat(SESSION, 7)]
    assert (glimpse.counts()["below"], glimpse.counts()["cut"]) == (1, 0)


def test_a_small_gap_is_left_to_requests_and_a_large_one_is_another_snapshot() -> None:
    glimpse = opened(gap_max=5, again_ns=10)
    glimpse.keep(live(20, 3), 1)
    parts = glimpse.receive(snapshot(14), 2)
    assert (glimpse.state, glimpse.counts()["lost_too_old"]) == ("waiting", 1)
    assert applied(parts) == []
    assert glimpse.outgoing() == soup.encode({"packet_type": b"O"})
    assert (glimpse.step(11), glimpse.step(12)) == (0, 2)
    glimpse.connected(12)
    glimpse.outgoing()
    parts = glimpse.receive(snapshot(15), 13)
    assert [part.kind for part in parts] == ["clear", "snapshot", "tail", "tail"]
    assert (glimpse.first, applied(parts), glimpse.counts()["gap"]) == (15, [20, 21, 22], 5)


def test_a_snapshot_younger_than_everything_kept_drops_it_all() -> None:
    glimpse = opened()
    glimpse.keep(live(1, 9), 1)
    parts = glimpse.receive(snapshot(100), 2)
    assert (glimpse.state, applied(parts), glimpse.counts()["below"]) == ("joined", [], 1)


def test_without_a_live_packet_it_waits_for_one() -> None:
    glimpse = opened()
    parts = glimpse.receive(snapshot(5), 1)
    assert [part.kind for part in parts] == ["clear", "snapshot"]
    assert glimpse.state == "taken"
    assert glimpse.keep(mold.heartbeat(SESSION, 5), 2)
    parts = glimpse.receive(b"", 2)
    assert [part.payload for part in parts] == [mold.heartbeat(SESSION, 5)] * 2
    assert glimpse.state == "joined"


def test_one_that_never_completes_is_taken_again() -> None:
    glimpse = opened(snapshot_ns=30 * SECOND, again_ns=SECOND, snapshots_max=2, servers=2)
    parts = glimpse.receive(snapshot(9)[:-24], 1)
    assert parts[-1].kind == "snapshot"
    for now in range(1, 30):
        glimpse.receive(soup.encode({"packet_type": b"H"}), now * SECOND)
        assert glimpse.step(now * SECOND) == 1
        glimpse.outgoing()
    assert glimpse.step(30 * SECOND) == 1, "saying good-bye"
    assert glimpse.counts()["lost_late"] == 1
    assert (glimpse.step(31 * SECOND), glimpse.server) == (2, 1)
    glimpse.lost(31 * SECOND)
    glimpse.step(32 * SECOND)
    assert glimpse.receive(b"", 32 * SECOND) == [Part("clear", b"")], "what was built is void"
    glimpse.step(61 * SECOND)
    assert (glimpse.state, glimpse.counts()["lost_late"], glimpse.step(99 * SECOND)) == ("failed", 2, 0)


def test_a_connection_that_breaks_makes_it_worthless() -> None:
    glimpse = opened(again_ns=0, backoff_ns=0)
    glimpse.receive(snapshot(9)[:-5], 1)
    glimpse.lost(2)
    glimpse.step(3)
    assert glimpse.counts()["lost_broken"] == 1
    assert glimpse.step(4) == 2
    glimpse.connected(4)
    login = soup.decode(glimpse.outgoing())
    assert login["requested_sequence_number"] == 1, "never in the middle"
    glimpse.keep(live(9, 1), 4)
    assert applied(glimpse.receive(snapshot(9), 5)) == [9]
    assert glimpse.counts()["snapshots"] == 2


def test_the_next_server_is_asked_and_none_is_left_out() -> None:
    glimpse = opened(servers=3, again_ns=0, backoff_ns=0)
    for turn, ending in enumerate(["broken", "bad_mark", "silent", "broken"]):
        assert glimpse.server == turn % 3
        if ending == "bad_mark":
            glimpse.receive(snapshot(0), turn)
        else:
            glimpse.receive(snapshot(9)[:-24], turn)
        if ending == "silent":
            glimpse.keep(live(1, 1, b"NUMI%06d" % turn), turn)
            glimpse.keep(live(1, 1, b"OTHER%05d" % turn), turn)
        else:
            glimpse.lost(turn)
        while glimpse.counts()["snapshots"] == turn + 1 or not glimpse.step(turn):
            glimpse.step(turn)
        glimpse.connected(turn)
        glimpse.outgoing()


WORTHLESS = {
    "not_whole": snapshot(5, first=2),
    "bad_mark": snapshot(0),
    "broken": snapshot(5)[:-24] + soup.encode({"packet_type": b"Z"}),
}


@pytest.mark.parametrize("why", sorted(WORTHLESS))
def test_a_snapshot_that_is_none_is_counted(why: str) -> None:
    glimpse = opened()
    glimpse.keep(live(1, 9), 0)
    glimpse.receive(WORTHLESS[why], 1)
    glimpse.step(1)
    assert (glimpse.state, glimpse.counts()[f"lost_{why}"]) == ("waiting", 1)


@pytest.mark.parametrize("digits", [b"x".rjust(20), b"", b"9" * 20, b" " * 20])
def test_a_mark_without_a_number_is_none(digits: bytes) -> None:
    glimpse = opened()
    mark = soup.encode({"packet_type": b"S", "message": b"G" + digits})
    glimpse.receive(snapshot(1)[:-24] + mark, 1)
    assert glimpse.counts()["lost_bad_mark"] == 1
    last = opened(mark="last_applied")
    last.receive(snapshot(2**64 - 1), 1)
    assert last.counts()["lost_bad_mark"] == 1, "there is none behind the last"


def test_a_new_live_session_begins_all_over() -> None:
    glimpse = opened(again_ns=5)
    glimpse.keep(live(1, 5), 1)
    glimpse.keep(live(1, 2, OTHER_SESSION), 2)
    assert (glimpse.state, glimpse.counts()["lost_new_session"]) == ("waiting", 1)
    assert glimpse.keep(live(6, 1), 3)
    assert glimpse.counts()["stale"] == 1
    assert glimpse.step(7) == 2
    glimpse.connected(7)
    glimpse.outgoing()
    parts = glimpse.receive(snapshot(2), 8)
    assert [part.payload for part in parts if part.kind == "tail"] == [
        mold.heartbeat(OTHER_SESSION, 2),
        live(2, 1, OTHER_SESSION),
    ]


def test_where_there_is_no_room_the_oldest_go() -> None:
    glimpse = opened(keep_size=1 << 17)
    packets = [mold.encode(SESSION, number, [bytes(3000 + 7 * number)]) for number in range(1, 100)]
    for packet in packets:
        assert glimpse.keep(packet, 1)
    gone = glimpse.counts()["overflow"]
    assert 0 < gone < 99
    parts = glimpse.receive(snapshot(50), 2)
    tail = [part.payload for part in parts if part.kind == "tail"][1:]
    assert tail == packets[gone:]
    assert glimpse.counts()["gap"] == gone + 1 - 50


@unhurried
@given(st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=60))
def test_kept_packets_come_out_as_they_came(sizes: list[tuple[int, bool]]) -> None:
    glimpse = opened(keep_size=1 << 17, gap_max=2**40)
    glimpse.receive(snapshot(1), 1)
    expected: list[bytes] = []
    for number, (size, drain) in enumerate(sizes, 1):
        packet = mold.encode(SESSION, number, [bytes([number]) * size])
        if not glimpse.keep(packet, 2):
            break
        expected.append(packet)
        if drain:
            break
    gone = glimpse.counts()["overflow"]
    tail = [part.payload for part in glimpse.receive(b"", 3)][1:]
    assert tail == expected[gone:]


def test_live_packets_that_are_none_are_counted() -> None:
    glimpse = opened()
    for payload in (b"short", live(1, 2)[:-1], live(1, 2) + b"x", mold.encode(SESSION, 2**64 - 1, [b"x"])):
        assert glimpse.keep(payload, 1)
    assert (glimpse.counts()["malformed"], glimpse.counts()["kept"]) == (4, 0)


def test_options_are_named_when_they_are_wrong() -> None:
    with pytest.raises(ValueError, match="mark='x': allowed first_to_apply"):
        nb.Glimpse(mark="x")
    with pytest.raises(nb.errors.ArgumentError, match="keep_size=1: allowed 131072"):
        nb.Glimpse(keep_size=1)
    with pytest.raises(nb.errors.ArgumentError, match="login_ns=0"):
        nb.Glimpse(login_ns=0)
