"""Recovery over real sockets on loopback: small servers that answer, lose, cut, refuse and vanish."""

import random
import socket
import time
from contextlib import closing
from typing import Any

import pytest

import numi_bypass as nb
from numi_bypass._ffi import ffi, lib
from numi_bypass.glimpse import Part
from numi_bypass.recover import Request
from numi_sim.model import mold, soup
from numi_sim.model.recover import gaps_of
from tests.servers import (
    PATIENCE_S,
    SESSION,
    Resender,
    SoupServer,
    address_of,
    from_login,
    message,
    resend,
    resenders,
    sequenced,
    until,
)

MS = 1_000_000


def recover_all(missing: set[int], servers: list[Resender], **options: Any) -> tuple[nb.Recover, nb.RequestCarry]:
    """Steps recovery against the servers until nothing is missing any more."""
    recover = nb.Recover(servers=len(servers), patience_ns=0, give_up_ns=3600 * 1000 * MS, attempts_max=1000, **options)
    carry = nb.RequestCarry([server.address for server in servers])
    start = time.monotonic_ns()

    def step() -> None:
        now = time.monotonic_ns() - start
        carry.send(recover.step(now, gaps_of((number, 0) for number in missing), session=SESSION))
        for payload, server in carry.receive():
            if recover.reply(payload, now, server) == "ok":
                _, first, _, messages = mold.decode(payload)
                for number, got in enumerate(messages, first):
                    assert got == message(number)
                    missing.discard(number)

    until(lambda: not missing, step, *[server.step for server in servers])
    return recover, carry


def test_gaps_are_filled_over_udp() -> None:
    missing = set(range(100, 400)) | {5, 7, 9} | set(range(1000, 1010))
    with resenders(resend) as servers:
        recover, carry = recover_all(missing, servers)
    assert recover.counts()["partial"] > 0
    assert carry.counts()[0]["received"] >= recover.counts()["reply_ok"] > 40


def test_losses_lies_and_silent_servers_are_got_over() -> None:
    chance = random.Random(7)

    def shaky(session: bytes, sequence: int, count: int) -> list[bytes]:
        (good,) = resend(session, sequence, count)
        lies = [good[:-1], mold.heartbeat(session, sequence), b"", *resend(b"SOMEBODY  ", sequence, count)]
        return chance.choice([[good], [good, good], [], [chance.choice(lies)], [chance.choice(lies), good]])

    with resenders(shaky, lambda *_: [], resend) as servers:
        recover, _ = recover_all(set(range(1, 200)), servers, timeout_ns=5 * MS, backoff_ns=0, rest_ns=20 * MS)
    counts = recover.counts()
    assert counts["timeouts"] > 0
    assert counts["rests"] > 0
    assert counts["reply_other_session"] + counts["reply_short_block"] + counts["reply_empty"] > 0


def test_that_nobody_listens_is_counted_and_the_next_server_is_asked() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as unused, resenders(resend) as servers:
        unused.bind(("127.0.0.1", 0))
        nobody = address_of(unused)
        unused.close()
        carry = nb.RequestCarry([nobody, servers[0].address])
        recover = nb.Recover(servers=2, patience_ns=0, timeout_ns=5 * MS, policy="fail_over", failures_max=1)
        recover.session = SESSION
        start = time.monotonic_ns()
        replies: list[str] = []

        def step() -> None:
            now = time.monotonic_ns() - start
            carry.send(recover.step(now, [(1, 3, now)] if "ok" not in replies else []))
            replies.extend(recover.reply(payload, now, server) for payload, server in carry.receive())

        until(lambda: "ok" in replies, step, servers[0].step)
        until(
            lambda: carry.counts()[0]["refused"] > 0, lambda: carry.send([Request(1, 1, 0, bytes(20))]), carry.receive
        )
    assert carry.counts()[1]["received"] == 1


def test_a_stranger_s_datagram_is_not_received() -> None:
    with resenders(resend) as servers, closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
        carry = nb.RequestCarry([servers[0].address])
        peers: list[Any] = []
        carry.send([Request(1, 1, 0, mold.request(SESSION, 1, 1))])

        def serve() -> None:
            try:
                peers.append(servers[0].socket.recvfrom(100)[1])
            except BlockingIOError:
                return
            stranger.sendto(b"not asked for", peers[0])
            servers[0].socket.sendto(b"asked for", peers[0])

        got: list[tuple[bytes, int]] = []
        until(lambda: bool(got), serve, lambda: got.extend(carry.receive()))
        assert got == [(b"asked for", 0)]


def test_a_datagram_larger_than_the_room_is_dropped_and_counted() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(PATIENCE_S)
        out, room = ffi.new("struct numi_datagram **"), ffi.new("uint8_t[]", 10)
        assert lib.numi_datagram_open(out, address_of(peer).encode()) == 0
        datagram = ffi.gc(out[0], lib.numi_datagram_close)
        assert lib.numi_datagram_send(datagram, b"hello", 5) == 1
        back = peer.recvfrom(100)[1]
        for data in (b"eleven byte", b"", b"ten bytes."):
            peer.sendto(data, back)
        sizes: list[int] = []
        until(lambda: any(sizes), lambda: sizes.append(lib.numi_datagram_receive(datagram, room, 10)))
        assert bytes(ffi.buffer(room)) == b"ten bytes."
        assert lib.numi_datagram_counts(datagram).truncated == 1


ACCEPTED = soup.encode({"packet_type": b"A", "session": SESSION, "sequence_number": 1})


def test_a_session_comes_over_tcp_and_goes_on_after_a_cut() -> None:
    def answer(login: int, wanted: int) -> bytes:
        return from_login(wanted, 700) if login == 1 else from_login(wanted, 1500) + soup.encode({"packet_type": b"Z"})

    with closing(SoupServer(answer, piece=333)) as server:
        server.closes_when_sent = True
        client = nb.SoupClient(backoff_ns=MS, jitter_ns=0, sequence=1)
        carry = nb.SoupCarry(client, [server.address])
        got: list[bytes] = []
        until(lambda: client.state == "ended", lambda: got.extend(carry.step(time.monotonic_ns())), server.step)
    messages = [(first + i, one) for _, first, _, part in map(mold.decode, got) for i, one in enumerate(part)]
    assert messages == [(number, message(number)) for number in range(1, 1500)]
    assert server.logins == [1, 700], "nothing that came is asked for twice"
    counts = carry.counts()
    assert (counts["connects"], counts["opened"], counts["closed"]) == (2, 2, 1)


def test_refused_and_reset_connections_go_on_to_the_next_server() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        refused = address_of(unused)
    with closing(SoupServer(lambda *_: b"")) as resets, closing(SoupServer(lambda *_: from_login(1, 3))) as good:
        client = nb.SoupClient(servers=3, backoff_ns=MS, jitter_ns=0)
        carry = nb.SoupCarry(client, [refused, resets.address, good.address])
        got: list[bytes] = []

        def reset() -> None:
            resets.step()
            if resets.logins and resets.peer is not None:
                resets.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                resets.drop()

        until(lambda: bool(got), lambda: got.extend(carry.step(time.monotonic_ns())), reset, good.step)
    counts = carry.counts()
    assert (counts["refused"], counts["reset"], counts["opened"]) == (1, 1, 2)
    assert client.counts()["lost_disconnected"] == 2


def test_heartbeats_are_heard() -> None:
    with closing(SoupServer(lambda *_: ACCEPTED)) as server:
        client = nb.SoupClient(heartbeat_ns=2 * MS)
        carry = nb.SoupCarry(client, [server.address])
        until(lambda: server.said.count(b"R") >= 3, lambda: carry.step(time.monotonic_ns()), server.step)
        client.logout(time.monotonic_ns())
        until(lambda: server.said[-1] == b"O", lambda: carry.step(time.monotonic_ns()), server.step)
        until(lambda: server.peer is None, lambda: carry.step(time.monotonic_ns()), server.step)


def test_a_large_stream_comes_whole() -> None:
    stream = sequenced(*[bytes([number % 256]) * 60_000 for number in range(100)])
    with closing(SoupServer(lambda *_: ACCEPTED + stream, piece=1 << 20)) as server:
        client = nb.SoupClient()
        carry = nb.SoupCarry(client, [server.address])
        got: list[bytes] = []
        until(lambda: client.sequence == 101, lambda: got.extend(carry.step(time.monotonic_ns())), server.step)
    assert [mold.decode(payload)[3][0][0] for payload in got] == list(range(100))


def test_a_book_is_joined_over_tcp() -> None:
    def answer(login: int, wanted: int) -> bytes:
        assert wanted == 1
        book = ACCEPTED + sequenced(*[b"order %d" % number for number in range(500)])
        mark = sequenced(b"G" + b"8".rjust(20))
        return book[:1000] if login == 1 else book + mark

    live = [mold.encode(SESSION, first, [message(first), message(first + 1)]) for first in range(1, 20, 2)]
    with closing(SoupServer(answer)) as server:
        server.closes_when_sent = True
        glimpse = nb.Glimpse(again_ns=MS, backoff_ns=MS)
        carry = nb.SoupCarry(glimpse, [server.address])
        parts: list[Part] = []
        for payload in live:
            glimpse.keep(payload, 0)
        until(lambda: glimpse.state == "joined", lambda: parts.extend(carry.step(time.monotonic_ns())), server.step)
    kinds = [part.kind for part in parts]
    assert kinds.count("clear") == 2
    book = parts[len(kinds) - kinds[::-1].index("clear") :]
    orders = [one for part in book if part.kind == "snapshot" for one in mold.decode(part.payload)[3]]
    assert orders == [b"order %d" % number for number in range(500)]
    tail = [mold.decode(part.payload) for part in book if part.kind == "tail"]
    assert [first + i for _, first, _, messages in tail for i in range(len(messages))] == list(range(8, 21))
    assert glimpse.counts()["lost_broken"] == 1


BAD_ADDRESSES = [
    "",
    "localhost:1",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:1x",
    "[::1]",
]
BAD_ADDRESSES += ["::1:5", "[::1:5", "300.0.0.1:5", "x" * 200 + ":5", "127.0.0.1:123456", "[127.0.0.1]:5"]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_addresses_are_refused_with_what_is_allowed(address: str) -> None:
    for use in (lambda: nb.RequestCarry([address]), lambda: nb.SoupCarry(nb.SoupClient(), [address])):
        with pytest.raises(nb.errors.ArgumentError, match=r"allowed are 10\.1\.2\.3:26400"):
            use()


def test_carriers_are_used_as_they_are_meant() -> None:
    with pytest.raises(nb.errors.ArgumentError, match="0 servers: allowed 1 to 16"):
        nb.RequestCarry([])
    with pytest.raises(TypeError, match="a list of addresses"):
        nb.RequestCarry("127.0.0.1:5")
    with pytest.raises(ValueError, match="a request of 3 bytes: allowed 20"):
        nb.RequestCarry(["127.0.0.1:5"]).send([Request(1, 1, 0, b"abc")])
    assert nb.RequestCarry(["127.0.0.1:5"]).send([Request(1, 1, 1, bytes(20))]) == 0, "no such server"
    client = nb.SoupClient(servers=2, backoff_ns=0, jitter_ns=0)
    carry = nb.SoupCarry(client, ["127.0.0.1:1"])
    with pytest.raises(nb.errors.ArgumentError, match="server 1 of 1: the client is to have as many"):
        until(lambda: False, lambda: carry.step(time.monotonic_ns()))


def test_ipv6_goes_the_same_way() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    with closing(listener):
        client = nb.SoupClient()
        carry = nb.SoupCarry(client, [address_of(listener)])
        until(lambda: client.state == "logging_in", lambda: carry.step(time.monotonic_ns()))
