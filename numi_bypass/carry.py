"""The sockets of recovery: requests and replies over UDP, a session or a snapshot over TCP. Nothing here waits.

Servers are numbers, "10.1.2.3:26400" or "[fe80::1]:26400": a name would have to be asked for.

>>> import numi_bypass as nb
>>> carry = nb.RequestCarry(["127.0.0.1:9"])
>>> carry.receive(), carry.counts()[0]["received"]
([], 0)
"""

from collections.abc import Sequence
from typing import Generic

from numi_bypass._ffi import CData, checked, ffi, lib
from numi_bypass._handle import Handle, Turn
from numi_bypass._options import rows_of
from numi_bypass.recover import Request
from numi_bypass.soup_client import Connected, Out, time_ns

STEPS_MAX = 64
"""Reads of a socket in one step."""


def _texts(servers: Sequence[str]) -> tuple[CData, list[CData]]:
    """Addresses as C has them, and what keeps them alive."""
    if isinstance(servers, str):
        raise TypeError(f"servers={servers!r}: allowed a list of addresses")
    texts = [ffi.new("char[]", server.encode("ascii", "replace").replace(b"\0", b"?")) for server in servers]
    return ffi.new("char *[]", texts), texts


class RequestCarry(Handle):
    """A UDP socket for each server of a `Recover`, in its order."""

    def __init__(self, servers: Sequence[str]) -> None:
        out = ffi.new("struct numi_request_carry **")
        addresses, _alive = _texts(servers)
        checked(lib.numi_request_carry_open(out, addresses, len(servers)))
        self._carry: CData = ffi.gc(out[0], lib.numi_request_carry_close)
        self._servers = len(servers)
        self._turn = Turn("carrier")

    def send(self, requests: Sequence[Request]) -> int:
        """How many of them went out; the others time out as if they had been lost."""
        rows = ffi.new("struct numi_request[]", len(requests))
        for row, request in zip(rows, requests, strict=True):
            if len(request.payload) != len(row.bytes):
                raise ValueError(f"a request of {len(request.payload)} bytes: allowed {len(row.bytes)}")
            row.server = request.server
            ffi.memmove(row.bytes, request.payload, len(request.payload))
        with self._turn:
            return int(lib.numi_request_carry_send(self._carry, rows, len(requests)))

    def receive(self) -> list[tuple[bytes, int]]:
        """Replies that came, and from which server; not more at once than `STEPS_MAX`."""
        found: list[tuple[bytes, int]] = []
        payload, server = ffi.new("uint8_t **"), ffi.new("uint32_t *")
        with self._turn:
            while len(found) < STEPS_MAX:
                size = int(lib.numi_request_carry_receive(self._carry, payload, server))
                if size == 0:
                    break
                found.append((bytes(ffi.buffer(payload[0], size)), int(server[0])))
        return found

    def counts(self) -> list[dict[str, int]]:
        """For each server everything counted, by name."""
        servers = range(self._servers)
        return [rows_of(lib.numi_request_carry_counts(self._carry, index), 1)[0] for index in servers]


class SoupCarry(Handle, Generic[Out]):
    """The TCP connection of a `SoupClient` or a `Glimpse`; its servers, in its order."""

    def __init__(self, client: Connected[Out], servers: Sequence[str]) -> None:
        out = ffi.new("struct numi_soup_carry **")
        addresses, _alive = _texts(servers)
        checked(lib.numi_soup_carry_open(out, addresses, len(servers)))
        self._carry: CData = ffi.gc(out[0], lib.numi_soup_carry_close)
        self._turn = Turn("carrier")
        self.client = client

    def step(self, now_ns: int) -> list[Out]:
        """What time and the network bring; bounded: at most `STEPS_MAX` reads, the rest comes next time."""
        now = time_ns(now_ns)
        found: list[Out] = []
        with self._turn:
            for _ in range(STEPS_MAX):
                number = self.client.step(now)
                more = checked(lib.numi_soup_carry_step(self._carry, self.client._client, number, now))
                found += self.client.receive(b"", now)
                if not more:
                    break
        return found

    def counts(self) -> dict[str, int]:
        """Everything counted of the connections, by name."""
        return rows_of(lib.numi_soup_carry_counts(self._carry), 1)[0]
