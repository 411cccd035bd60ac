r"""Recovery: which missing messages to ask for again, of whom, and when to give them up.

Passive: time comes in, requests come out; whoever holds the sockets sends them and brings the replies.

>>> import numi_bypass as nb
>>> recover = nb.Recover(patience_ns=1000)
>>> recover.step(0, [(5, 8, 0)], session=b"NUMI000001")  # the other line may still bring them
[]
>>> recover.step(1000, [(5, 8, 0)])
[Request(sequence=5, count=3, server=0, payload=b'NUMI000001\x00\x00\x00\x00\x00\x00\x00\x05\x00\x03')]
>>> recover.reply(b"NUMI000001" + bytes([0] * 7 + [5, 0, 1, 0, 2]) + b"hi", 2000)
'ok'
>>> [(one.sequence, one.count) for one in recover.step(2000, [(6, 8, 0)])]  # what did not fit is asked for at once
[(6, 2)]
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, checked, ffi, lib, text, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass._options import choice, options_of, rows_of
from numi_bypass.layout import dtype_of

POLICIES = {"round_robin": int(lib.NUMI_RECOVER_ROUND_ROBIN), "fail_over": int(lib.NUMI_RECOVER_FAIL_OVER)}

Gaps = Iterable[tuple[int, int, int]] | NDArray[Any]
"""(from, the first one behind, since when it is known), ascending; or an array of struct numi_gap."""


@dataclass(frozen=True)
class Request:
    """For `count` messages from `sequence` on, to be sent to a server as it is."""

    sequence: int
    count: int
    server: int
    payload: bytes

    @classmethod
    def of(cls, row: CData) -> "Request":
        """From the core's."""
        return cls(row.sequence, row.count, row.server, bytes(ffi.buffer(row.bytes)))


def recover_counts(counts: CData) -> dict[str, int]:
    """A struct numi_recover_counts by name; replies by what they were, as reply_<reason>."""
    (row,) = rows_of(counts, 1)
    replies = row.pop("replies")
    return row | {f"reply_{text(lib.numi_reply_name(i))}": int(n) for i, n in enumerate(replies)}


def session_bytes(session: bytes) -> bytes:
    """The ten bytes that a session is on the wire; a shorter name gets spaces."""
    if len(session) > int(lib.NUMI_MOLD_SESSION_SIZE):
        raise ValueError(f"session={session!r}: allowed at most {int(lib.NUMI_MOLD_SESSION_SIZE)} bytes")
    return session.ljust(int(lib.NUMI_MOLD_SESSION_SIZE))


class Recover(Handle):
    """The planner. Options are those of struct numi_recover_options, by name; docs/recovery.md explains each."""

    def __init__(self, *, policy: str = "round_robin", **options: int) -> None:
        c = ffi.new("struct numi_recover_options *")
        lib.numi_recover_defaults(c)
        options_of(c, {**options, "policy": choice("policy", policy, POLICIES)})
        out = ffi.new("struct numi_recover **")
        checked(lib.numi_recover_open(out, c))
        self._recover: CData = ffi.gc(out[0], lib.numi_recover_close)
        self._turn = Turn("recovery")
        self._requests = ffi.new("struct numi_request[]", int(c.outstanding))
        self._ranges = ffi.new("struct numi_range[]", 64)
        self.session = session_bytes(b"")

    def step(self, now_ns: int, gaps: Gaps, *, session: bytes | None = None) -> list[Request]:
        """What to ask now, of all that is missing now. The session stays what it was until another one is given."""
        if session is not None:
            self.session = session_bytes(session)
        rows = self._gaps(gaps)
        now = whole("now_ns", now_ns, -(2**63), 2**63 - 1)
        given = ffi.cast("struct numi_gap *", ffi.from_buffer(rows)) if len(rows) else ffi.NULL
        with self._turn:
            room = len(self._requests)
            count = checked(
                lib.numi_recover_step(self._recover, now, self.session, given, len(rows), self._requests, room)
            )
            return [Request.of(one) for one in self._requests[0:count]]

    def _gaps(self, gaps: Gaps) -> NDArray[Any]:
        dtype = dtype_of("numi_gap")
        if isinstance(gaps, np.ndarray):
            if gaps.dtype != dtype or gaps.ndim != 1:
                raise TypeError(f"gaps of {gaps.dtype} in {gaps.ndim} dimensions: allowed {dtype} in one")
            return np.ascontiguousarray(gaps)
        return np.array([tuple(gap) for gap in gaps], dtype)

    def reply(self, payload: bytes, now_ns: int, server: int = 0) -> str:
        """What a packet that came from a server is: "ok" where it settles a request, and is to be merged."""
        now = whole("now_ns", now_ns, -(2**63), 2**63 - 1)
        index = whole("server", server, 0, 2**32 - 1)
        with self._turn:
            reply = checked(lib.numi_recover_reply(self._recover, now, index, payload, len(payload)))
        return text(lib.numi_reply_name(reply))

    def given_up(self) -> list[tuple[int, int]]:
        """Ranges (from, the first one behind) given up since the last call: the merge is to declare them."""
        found: list[tuple[int, int]] = []
        with self._turn:
            while count := checked(lib.numi_recover_given_up(self._recover, self._ranges, len(self._ranges))):
                found += [(one["from"], one["to"]) for one in rows_of(self._ranges, count)]
        return found

    @property
    def outstanding(self) -> int:
        """Requests that wait for an answer."""
        return int(lib.numi_recover_outstanding(self._recover))

    def counts(self) -> dict[str, int]:
        """Everything counted, by name; replies by what they were, as reply_<reason>."""
        return recover_counts(lib.numi_recover_counts(self._recover))
