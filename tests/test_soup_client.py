"""The SoupBinTCP client in virtual time: what it says, what it believes, and what it does when nobody answers."""

from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import numi_bypass as nb
from numi_sim.model import mold, soup
from tests.strategies_wire import unhurried

SESSION = b"NUMI000001"
MS = 1_000_000
SECOND = 1000 * MS


def accepted(sequence: int = 1, session: bytes = SESSION) -> bytes:
    return soup.encode({"packet_type": b"A", "session": session, "sequence_number": sequence})


def rejected(reason: bytes) -> bytes:
    return soup.encode({"packet_type": b"J", "reject_reason_code": reason})


def sequenced(*messages: bytes) -> bytes:
    return b"".join(soup.encode({"packet_type": b"S", "message": message}) for message in messages)


HEARTBEAT, END = soup.encode({"packet_type": b"H"}), soup.encode({"packet_type": b"Z"})


def client(**options: Any) -> nb.SoupClient:
    return nb.SoupClient(**{"username": "numi", "password": "secret", "jitter_ns": 0, **options})


def live(now: int = 0, first: int = 1, **options: Any) -> nb.SoupClient:
    one = client(sequence=first, **options)
    assert one.step(now) == 1
    one.connected(now)
    one.outgoing()
    assert one.receive(accepted(first), now) == []
    assert one.state == "live"
    return one


def said(one: nb.SoupClient) -> list[soup.Packet]:
    return [soup.decode(packet) for packet in soup.Framer().feed(one.outgoing())]


def unpacked(payloads: list[bytes]) -> list[tuple[int, bytes]]:
    found = []
    for payload in payloads:
        _, first, _, messages = mold.decode(payload)
        found += [(first + index, message) for index, message in enumerate(messages)]
    return found


def test_it_logs_in_for_the_sequence_wanted() -> None:
    one = client(session="NUMI000001", sequence=42)
    assert (one.step(5), one.state) == (1, "connecting")
    assert one.outgoing() == b""
    one.connected(6)
    (login,) = said(one)
    assert login == {
        "packet_type": b"L",
        "username": b"numi  ",
        "password": b"secret    ",
        "requested_session": SESSION,
        "requested_sequence_number": 42,
    }
    payloads = one.receive(accepted(42) + sequenced(b"one", b"", b"three"), 7)
    assert [mold.decode(payload) for payload in payloads] == [(SESSION, 42, 3, [b"one", b"", b"three"])]
    assert (one.state, one.sequence, one.session) == ("live", 45, SESSION)


@unhurried
@given(
    st.lists(st.binary(max_size=40) | st.integers(60_000, 65_533).map(bytes), max_size=12),
    st.lists(st.integers(1, 70_000), min_size=1, max_size=5),
    st.integers(20, 2000),
)
def test_tcp_may_cut_the_stream_anywhere(messages: list[bytes], cuts: list[int], payload_max: int) -> None:
    one = live(payload_max=payload_max)
    stream = b"".join(HEARTBEAT + sequenced(message) for message in messages) + END
    payloads, sizes, at = [], cycle(cuts), 0
    while at < len(stream):
        size = max(next(sizes), len(stream) // 2000)
        payloads += one.receive(stream[at : at + size], 1)
        at += size
    assert unpacked(payloads) == list(enumerate(messages, 1))
    assert all(len(payload) <= payload_max or mold.decode(payload)[2] == 1 for payload in payloads)
    assert one.state == "ended"
    counts = one.counts()
    assert (counts["messages"], counts["heartbeats"]) == (len(messages), len(messages))


def test_messages_of_one_read_share_a_payload() -> None:
    one = live(payload_max=100)
    payloads = one.receive(sequenced(*[b"x" * 18] * 9), 1)
    assert [mold.decode(payload)[1:3] for payload in payloads] == [(1, 4), (5, 4), (9, 1)]


def test_heartbeats_go_out_and_silence_is_noticed() -> None:
    one = live(heartbeat_ns=SECOND, silence_ns=15 * SECOND)
    assert (one.step(SECOND - 1), one.outgoing()) == (1, b"")
    assert one.step(SECOND) == 1
    assert said(one) == [{"packet_type": b"R"}]
    one.receive(HEARTBEAT, 10 * SECOND)
    assert one.step(25 * SECOND - 1) == 1
    assert (one.step(25 * SECOND), one.state) == (0, "waiting")
    assert one.counts()["lost_silence"] == 1
    assert one.receive(sequenced(b"late"), 25 * SECOND) == [], "nobody's bytes"


def test_a_new_connection_goes_on_where_the_last_one_stopped() -> None:
    one = live(backoff_ns=100, servers=2)
    assert unpacked(one.receive(sequenced(b"a", b"b"), 5)) == [(1, b"a"), (2, b"b")]
    one.receive(sequenced(b"cut off")[:-1], 6)
    one.lost(10)
    assert (one.step(109), one.step(110), one.server) == (0, 2, 1)
    one.connected(111)
    (login,) = said(one)
    assert (login["requested_session"], login["requested_sequence_number"]) == (SESSION, 3)
    assert unpacked(one.receive(accepted(3) + sequenced(b"c"), 112)) == [(3, b"c")]
    assert one.counts()["logins"] == 2


@pytest.mark.parametrize(("reason", "name"), [(b"A", "not_authorized"), (b"S", "no_session"), (b"?", "rejected")])
def test_a_rejected_login_is_counted_by_reason(reason: bytes, name: str) -> None:
    one = client(attempts_max=1)
    one.step(0)
    one.connected(0)
    assert one.receive(rejected(reason), 1) == []
    assert (one.state, one.counts()[f"lost_{name}"], one.step(10 * SECOND)) == ("failed", 1, 0)


def test_back_off_doubles_with_each_round_of_the_servers() -> None:
    one = client(servers=2, backoff_ns=10, backoff_max_ns=35, login_ns=1000)
    starts, before = [], 0
    for now in range(400):
        connection = one.step(now)
        if connection != before and connection:
            starts.append((now, one.server))
            one.lost(now)
        before = connection
    assert starts[:8] == [(0, 0), (10, 1), (20, 0), (40, 1), (60, 0), (95, 1), (130, 0), (165, 1)]


def test_a_server_that_says_nothing_is_left() -> None:
    one = client(login_ns=50, backoff_ns=0)
    assert one.step(0) == 1
    assert (one.step(49), one.step(50)) == (1, 0)
    assert one.step(51) == 2
    one.connected(52)
    assert (one.step(100), one.step(101)) == (2, 0)
    assert one.counts()["lost_login_timeout"] == 2


def test_a_number_that_moved_is_counted_and_taken() -> None:
    one = client(sequence=5)
    one.step(0)
    one.connected(0)
    assert unpacked(one.receive(accepted(9) + sequenced(b"x"), 1)) == [(9, b"x")]
    assert one.counts()["moved"] == 1


def test_another_session_than_was_asked_for_is_left() -> None:
    one = client(session="NUMI000001")
    one.step(0)
    one.connected(0)
    one.receive(accepted(1, b"NUMI000002"), 1)
    assert one.counts()["lost_other_session"] == 1
    padded = client(session="NUMI")
    padded.step(0)
    padded.connected(0)
    padded.receive(accepted(1, b"NUMI".rjust(10)), 1)
    assert padded.state == "live", "padding stands on either side"


BAD = {
    "no type": (b"\0\0", "bad_length"),
    "unknown type": (b"\0\1?", "unknown_type"),
    "a heartbeat with a payload": (b"\0\2Hx", "bad_length"),
    "accepted twice": (accepted(1), "lost_unexpected"),
    "rejected when live": (rejected(b"A"), "lost_unexpected"),
    "a client's word": (soup.encode({"packet_type": b"R"}), "lost_unexpected"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_stream_that_makes_no_sense_ends_the_connection(case: str) -> None:
    data, counter = BAD[case]
    one = live()
    assert unpacked(one.receive(sequenced(b"good") + data + sequenced(b"not read"), 1)) == [(1, b"good")]
    assert one.counts()[counter] == 1
    assert (one.state, one.step(1), one.sequence) == ("waiting", 0, 2)


def test_messages_before_the_login_are_nonsense() -> None:
    one = client()
    one.step(0)
    one.connected(0)
    assert one.receive(sequenced(b"x"), 1) == []
    assert one.counts()["lost_unexpected"] == 1


def test_debug_packets_are_no_messages() -> None:
    one = live()
    debug = soup.encode({"packet_type": b"+", "text": b"hello"})
    assert unpacked(one.receive(debug + sequenced(b"a") + debug + sequenced(b"b"), 1)) == [(1, b"a"), (2, b"b")]
    assert one.counts()["debugs"] == 2


def test_logging_out_keeps_the_connection_until_it_is_said() -> None:
    one = live(login_ns=100)
    one.logout(5)
    assert (one.state, one.step(6)) == ("ended", 1)
    assert said(one) == [{"packet_type": b"O"}]
    assert one.step(7) == 0
    other = live(login_ns=100)
    other.logout(5)
    assert (other.step(104), other.step(105)) == (1, 0), "whatever the peer does"


def test_it_begins_anew() -> None:
    one = live(servers=2)
    one.receive(sequenced(b"a") + END, 1)
    assert (one.state, one.step(2)) == ("ended", 0)
    one.restart(3, 1)
    assert (one.step(3), one.sequence, one.session) == (2, 1, b" " * 10)
    failed = client(attempts_max=1)
    failed.step(0)
    failed.lost(0)
    assert (failed.state, failed.step(SECOND)) == ("failed", 0)
    failed.restart(SECOND)
    assert failed.step(SECOND) == 2


def test_options_are_named_when_they_are_wrong() -> None:
    with pytest.raises(ValueError, match="username='too long': allowed at most 6"):
        client(username="too long")
    with pytest.raises(nb.errors.ArgumentError, match="silence_ns=0: allowed 1"):
        client(silence_ns=0)
    with pytest.raises(TypeError, match="no such option: host"):
        client(host=1)
