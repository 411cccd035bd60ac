"""A snapshot of the book over SoupBinTCP, and the live feed from just behind it; without a socket.

>>> import numi_bypass as nb
>>> glimpse = nb.Glimpse(username="numi")
>>> glimpse.step(0), glimpse.connected(0), len(glimpse.outgoing())
(1, None, 49)
>>> live = b"NUMI000001" + bytes([0] * 7 + [7, 0, 2, 0, 1]) + b"a" + bytes([0, 1]) + b"b"
>>> glimpse.keep(live, 1)  # messages 7 and 8
True
>>> mark = b"G" + b"8".rjust(20)
>>> parts = glimpse.receive(b"\\0\\x1fA" + b"GLIMPSE   " + b"1".rjust(20) + b"\\0\\x02Sx\\0\\x16S" + mark, 2)
>>> [(part.kind, part.payload[-1:], int.from_bytes(part.payload[10:18], "big")) for part in parts[1:]]
[('snapshot', b'x', 1), ('tail', b'\\x00', 8), ('tail', b'b', 8)]
>>> glimpse.state, glimpse.first, glimpse.keep(live, 3)
('joined', 8, False)
"""

from dataclasses import dataclass
from typing import Literal

from numi_bypass._ffi import checked, ffi, lib, text, whole
from numi_bypass._handle import Turn
from numi_bypass._options import choice, options_of, rows_of
from numi_bypass.soup_client import Connected, client_counts, client_options, time_ns

MARKS = {"first_to_apply": int(lib.NUMI_GLIMPSE_FIRST_TO_APPLY), "last_applied": int(lib.NUMI_GLIMPSE_LAST_APPLIED)}
Kind = Literal["clear", "snapshot", "tail"]
_KINDS: tuple[Kind, ...] = ("clear", "snapshot", "tail")
_OWN = ("snapshots_max", "keep_size", "gap_max", "snapshot_ns", "again_ns")


@dataclass(frozen=True)
class Part:
    """clear: what was built is void; snapshot: messages that build the book; tail: a packet for the merge."""

    kind: Kind
    payload: bytes
    rx_ns: int = 0


class Glimpse(Connected[Part]):
    """The join; options are the fields of struct numi_glimpse_options and those of the client (docs/recovery.md)."""

    def __init__(
        self,
        *,
        mark: str = "first_to_apply",
        username: str = "",
        password: str = "",
        session: str = "",
        **options: int,
    ) -> None:
        c = ffi.new("struct numi_glimpse_options *")
        lib.numi_glimpse_defaults(c)
        own = {name: options.pop(name) for name in _OWN if name in options}
        options_of(c, {**own, "mark": choice("mark", mark, MARKS)})
        out = ffi.new("struct numi_glimpse **")
        checked(lib.numi_glimpse_open(out, c, client_options(username, password, session, options)))
        self._glimpse = ffi.gc(out[0], lib.numi_glimpse_close)
        self._client = lib.numi_glimpse_client(self._glimpse)
        self._turn = Turn("snapshot")

    def _step(self, now: int) -> int:
        return int(lib.numi_glimpse_step(self._glimpse, now))

    def keep(self, payload: bytes, now_ns: int, rx_ns: int = 0) -> bool:
        """A live packet: True where it is taken care of, False where all is joined and it is the merge's."""
        stamp = whole("rx_ns", rx_ns, -(2**63), 2**63 - 1)
        with self._turn:
            return bool(lib.numi_glimpse_keep(self._glimpse, time_ns(now_ns), payload, len(payload), stamp, 0))

    def _drain(self, now: int) -> list[Part]:
        parts: list[Part] = []
        part = ffi.new("struct numi_glimpse_part *")
        while lib.numi_glimpse_next(self._glimpse, now, part):
            payload = bytes(ffi.buffer(part.payload, part.size)) if part.size else b""
            parts.append(Part(_KINDS[part.kind], payload, int(part.rx_ns)))
        return parts

    @property
    def state(self) -> str:
        """waiting, taking, taken, joining, joined or failed."""
        return text(lib.numi_glimpse_state_name(lib.numi_glimpse_state(self._glimpse)))

    @property
    def first(self) -> int:
        """The first sequence of the live feed to apply; 0 before a snapshot is whole."""
        return int(lib.numi_glimpse_first(self._glimpse))

    def counts(self) -> dict[str, int]:
        """Everything counted, by name; snapshots that came to nothing as lost_<why>."""
        (row,) = rows_of(lib.numi_glimpse_counts(self._glimpse), 1)
        losses = row.pop("losses")
        return row | {f"lost_{text(lib.numi_glimpse_loss_name(i))}": n for i, n in enumerate(losses)}

    def client_counts(self) -> dict[str, int]:
        """What the client counted, as SoupClient.counts()."""
        return client_counts(self._client)
