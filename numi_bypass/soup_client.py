r"""A SoupBinTCP client without a socket: bytes in, MoldUDP64 payloads out.

>>> import numi_bypass as nb
>>> client = nb.SoupClient(username="numi", password="secret", sequence=7)
>>> client.step(0), client.connected(0), len(client.outgoing())  # a connection is wanted; then it logs in
(1, None, 49)
>>> client.receive(b"\0\x1fA" + b"NUMI000001" + b"7".rjust(20) + b"\0\x03Shi", 1)
[b'NUMI000001\x00\x00\x00\x00\x00\x00\x00\x07\x00\x01\x00\x02hi']
>>> client.state, client.sequence
('live', 8)
"""

from abc import abstractmethod
from typing import Generic, TypeVar

from numi_bypass._ffi import CData, checked, ffi, lib, text, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass._options import options_of, rows_of

Out = TypeVar("Out")
"""What comes out: payloads of a session, parts of a join."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def time_ns(now_ns: int) -> int:
    """A time as the core takes it."""
    return whole("now_ns", now_ns, _LOWEST, _HIGHEST)


def letters_of(name: str, letters: str, size: int) -> bytes:
    """A field of letters, padded as the wire has it."""
    if not isinstance(letters, str):
        raise TypeError(f"{name}={letters!r}: allowed text")
    raw = letters.encode("ascii", "strict")
    if len(raw) > size:
        raise ValueError(f"{name}={letters!r}: allowed at most {size} letters")
    return raw.ljust(size)


def client_options(username: str, password: str, session: str, options: dict[str, int]) -> CData:
    """A struct numi_soup_client_options, letters and numbers."""
    c = ffi.new("struct numi_soup_client_options *")
    lib.numi_soup_client_defaults(c)
    options_of(c, options)
    c.username = letters_of("username", username, 6)
    c.password = letters_of("password", password, 10)
    c.session = letters_of("session", session, 10)
    return c


def client_counts(client: CData) -> dict[str, int]:
    """Everything counted, by name; losses as lost_<why>, packets that were none by their fault."""
    (row,) = rows_of(lib.numi_soup_client_counts(client), 1)
    losses, reasons = row.pop("losses"), row.pop("reasons")
    row |= {f"lost_{text(lib.numi_soup_loss_name(i))}": n for i, n in enumerate(losses)}
    row |= {text(lib.numi_soup_reason_name(i)): n for i, n in enumerate(reasons) if i}
    return row


class Connected(Handle, Generic[Out]):
    """What has a SoupBinTCP client: the side that its connection is held on."""

    _client: CData
    _turn: Turn

    def step(self, now_ns: int) -> int:
        """What time brings. The number of the connection, to `server`, that there is to be; 0 for none."""
        with self._turn:
            return self._step(time_ns(now_ns))

    def _step(self, now: int) -> int:
        return int(lib.numi_soup_client_step(self._client, now))

    def connected(self, now_ns: int) -> None:
        """The connection is up."""
        with self._turn:
            lib.numi_soup_client_connected(self._client, time_ns(now_ns))

    def lost(self, now_ns: int) -> None:
        """The connection was refused, or is gone."""
        with self._turn:
            lib.numi_soup_client_lost(self._client, time_ns(now_ns))

    @abstractmethod
    def _drain(self, now: int) -> list[Out]:
        """All that there is; makes room for more bytes."""

    def receive(self, data: bytes, now_ns: int) -> list[Out]:
        """What bytes of the connection give, and what there is without any. Without a connection they are nobody's."""
        rest, now = memoryview(data), time_ns(now_ns)
        with self._turn:
            found = self._drain(now)
            while len(rest):
                taken = int(lib.numi_soup_client_receive(self._client, now, ffi.from_buffer(rest), len(rest)))
                found += self._drain(now)
                if taken == 0:
                    break
                rest = rest[taken:]
        return found

    def outgoing(self) -> bytes:
        """The bytes to be sent now; they are taken for sent."""
        size = ffi.new("uint64_t *")
        with self._turn:
            out = lib.numi_soup_client_outgoing(self._client, size)
            data = bytes(ffi.buffer(out, size[0])) if size[0] else b""
            lib.numi_soup_client_sent(self._client, size[0])
        return data

    @property
    def server(self) -> int:
        """The server that the connection is to go to."""
        return int(lib.numi_soup_client_server(self._client))

    @property
    def session(self) -> bytes:
        """The session that was logged into, ten bytes."""
        return bytes(ffi.buffer(lib.numi_soup_client_session(self._client), 10))


class SoupClient(Connected[bytes]):
    """The state machine: MoldUDP64 payloads come out. Options: docs/recovery.md."""

    def __init__(self, *, username: str = "", password: str = "", session: str = "", **options: int) -> None:
        out = ffi.new("struct numi_soup_client **")
        checked(lib.numi_soup_client_open(out, client_options(username, password, session, options)))
        self._client = ffi.gc(out[0], lib.numi_soup_client_close)
        self._turn = Turn("client")

    def _drain(self, now: int) -> list[bytes]:
        payloads: list[bytes] = []
        payload, size = ffi.new("uint8_t **"), ffi.new("uint64_t *")
        while lib.numi_soup_client_next(self._client, now, payload, size):
            payloads.append(bytes(ffi.buffer(payload[0], size[0])))
        return payloads

    def logout(self, now_ns: int) -> None:
        """Says good-bye; nothing more will come."""
        with self._turn:
            lib.numi_soup_client_logout(self._client, time_ns(now_ns))

    def restart(self, now_ns: int, sequence: int = 1) -> None:
        """Begins anew, at `sequence` of the session of the options, with the next server."""
        with self._turn:
            lib.numi_soup_client_restart(self._client, time_ns(now_ns), whole("sequence", sequence, 0, 2**64 - 1))

    @property
    def state(self) -> str:
        """waiting, connecting, logging_in, live, ended or failed."""
        return text(lib.numi_soup_state_name(lib.numi_soup_client_state(self._client)))

    @property
    def sequence(self) -> int:
        """The sequence of the next message."""
        return int(lib.numi_soup_client_sequence(self._client))

    def counts(self) -> dict[str, int]:
        """Everything counted, by name; losses as lost_<why>, packets that were none by their fault."""
        return client_counts(self._client)
