"""Servers of recovery on loopback, small ones: they answer, and lose, cut or lie where a test says so."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numi_sim.model import mold, soup

SESSION = b"NUMI000001"
PATIENCE_S = 20
"""Of a test, for a machine that is busy elsewhere."""


def message(number: int) -> bytes:
    return b"message %d" % number


def address_of(one: socket.socket) -> str:
    host, port = one.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def until(done: Callable[[], bool], *steps: Callable[[], object]) -> None:
    """Steps everybody in turn until it is done."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        for step in steps:
            step()
        time.sleep(0.0002)


class Resender:
    """A MoldUDP64 request server on loopback; what it does with each request is a function."""

    def __init__(self, behaviour: Callable[[bytes, int, int], list[bytes]]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.address = address_of(self.socket)
        self.behaviour = behaviour
        self.asked: list[tuple[int, int]] = []

    def close(self) -> None:
        self.socket.close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Steps in a thread of its own."""
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                self.step()
                time.sleep(0.0001)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def step(self) -> None:
        try:
            data, peer = self.socket.recvfrom(100)
        except BlockingIOError:
            return
        session, sequence, count = mold.decode_request(data)
        self.asked.append((sequence, count))
        for reply in self.behaviour(session, sequence, count):
            self.socket.sendto(reply, peer)


def resend(session: bytes, sequence: int, count: int, fit: int = 7) -> list[bytes]:
    """As many as fit into a small packet."""
    return [mold.encode(session, sequence, [message(number) for number in range(sequence, sequence + min(count, fit))])]


@contextmanager
def resenders(*behaviours: Callable[[bytes, int, int], list[bytes]]) -> Iterator[list[Resender]]:
    servers = [Resender(behaviour) for behaviour in behaviours]
    try:
        yield servers
    finally:
        for server in servers:
            server.socket.close()


def sequenced(*messages: bytes) -> bytes:
    return b"".join(soup.encode({"packet_type": b"S", "message": one}) for one in messages)


class SoupServer:
    """A SoupBinTCP server on loopback, one connection at a time; what it sends on a login is a function."""

    def __init__(self, answer: Callable[[int, int], bytes], piece: int = 1000) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = address_of(self.listener)
        self.answer, self.piece = answer, piece
        self.peer: socket.socket | None = None
        self.said: list[bytes] = []
        self.logins: list[int] = []
        self.unsent = b""
        self.closes_when_sent = False

    def step(self) -> None:
        try:
            peer, _ = self.listener.accept()
            self.drop()
            self.peer, self.framer, self.unsent = peer, soup.Framer(), b""
            self.peer.setblocking(False)
        except BlockingIOError:
            pass
        if self.peer is not None:
            self.serve(self.peer)

    def serve(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(1000)
            if not data:
                self.drop()
                return
            for packet in self.framer.feed(data):
                decoded = soup.decode(packet)
                self.said.append(packet[2:3])
                if decoded["packet_type"] == b"L":
                    wanted = decoded["requested_sequence_number"]
                    assert isinstance(wanted, int)
                    self.logins.append(wanted)
                    self.unsent += self.answer(len(self.logins), wanted)
        except BlockingIOError:
            pass
        except ConnectionError:
            self.drop()
            return
        sent = peer.send(self.unsent[: self.piece]) if self.unsent else 0
        self.unsent = self.unsent[sent:]
        if self.closes_when_sent and sent and not self.unsent:
            self.drop()

    def drop(self) -> None:
        if self.peer is not None:
            self.peer.close()
            self.peer = None

    def close(self) -> None:
        self.drop()
        self.listener.close()


def from_login(first: int, behind: int) -> bytes:
    accepted = soup.encode({"packet_type": b"A", "session": SESSION, "sequence_number": first})
    return accepted + sequenced(*[message(number) for number in range(first, behind)])
