"""Recovery of a feed: gaps go out as requests, replies come in on a line of their own, off the hot core.

With addresses of servers it does that over sockets; without, the requests are yours to carry:

>>> import numi_bypass as nb
>>> def packet(sequence: int) -> bytes:
...     return b"NUMI000001" + sequence.to_bytes(8, "big") + bytes([0, 1, 0, 1, 63])
>>> lines = nb.SimPort.of([(0, "A", packet(1)), (10, "A", packet(3))])
>>> recovery = nb.Recovery(servers=1, patience_ns=100)
>>> with nb.Feed([lines], lines=1, recovery=recovery, books=False) as feed:
...     feed.step(10)[0]
...     (request,) = recovery.ask(110)
...     recovery.reply(packet(request.sequence), 120)
...     feed.step(120)[0], feed.sequence
2
'ok'
(1, 4)
"""

from collections.abc import Sequence
from typing import Any

from numi_bypass._ffi import CData, checked, ffi, lib, text, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass._options import choice, options_of, rows_of
from numi_bypass.carry import RequestCarry, SoupCarry
from numi_bypass.merging import Line
from numi_bypass.recover import POLICIES, Request, recover_counts
from numi_bypass.soup_client import SoupClient, time_ns


class Recovery(Handle):
    """What a feed asks for again: of `requests`, addresses of MoldUDP64 request servers, and in a `session`.

    Without addresses `servers` says how many there are; `ask` gives the requests and `reply` takes what came. With
    addresses `step` does both. A `session` is a SoupBinTCP client that brings messages from its sequence on, over
    `session_servers`. `packets` of at most `packet_size` bytes wait for the feed at once. The other options are those
    of `nb.Recover`. For one feed, which it outlives.
    """

    line: Line = "recovery"

    def __init__(
        self,
        requests: Sequence[str] = (),
        *,
        servers: int | None = None,
        session: SoupClient | None = None,
        session_servers: Sequence[str] = (),
        policy: str = "round_robin",
        packets: int = 256,
        packet_size: int = 2048,
        **options: int,
    ) -> None:
        if servers is not None and requests and servers != len(requests):
            raise ValueError(f"servers={servers}: allowed {len(requests)}, the number of addresses, or leave it out")
        if (session is None) != (len(session_servers) == 0):
            raise ValueError("session and session_servers: allowed both or none")
        given = ffi.new("struct numi_recovery_options *")
        lib.numi_recovery_defaults(given)
        given.packets = whole("packets", packets, 0, 2**32 - 1)
        given.packet_size = whole("packet_size", packet_size, 0, 2**32 - 1)
        recover = ffi.new("struct numi_recover_options *", given.recover)
        options_of(recover, {**options, "policy": choice("policy", policy, POLICIES)})
        recover.servers = whole("servers", len(requests) or (1 if servers is None else servers), 0, 2**32 - 1)
        given.recover = recover[0]
        out = ffi.new("struct numi_recovery **")
        checked(lib.numi_recovery_open(out, given))
        self._recovery: CData = ffi.gc(out[0], lib.numi_recovery_close)
        self._turn = Turn("recovery")
        self._has_feed = False
        self._rows = ffi.new("struct numi_request[]", int(recover.outstanding))
        self._requests = RequestCarry(requests) if requests else None
        self._session = SoupCarry(session, session_servers) if session is not None else None

    @property
    def has_sockets(self) -> bool:
        """Whether `step` has something to do."""
        return self._requests is not None or self._session is not None

    # ---- For the feed.

    @property
    def _domain(self) -> int:
        return int(lib.NUMI_DOMAIN_NONE)

    @property
    def _source(self) -> str:
        return "recovery"

    def _open(self, pool: CData) -> CData:
        if self._has_feed:
            raise ValueError("recovery: it belongs to another feed already")
        out = ffi.new("struct numi_port **")
        checked(lib.numi_recovery_open_port(out, self._recovery, pool))
        self._has_feed = True
        return out[0]

    def _join(self, run: CData) -> None:
        """Into what threads are started with."""
        run.recovery = self._recovery
        if self._requests is not None:
            run.requests = self._requests._carry
        if self._session is not None:
            run.session, run.client = self._session._carry, self._session.client._client

    # ---- Asking.

    def ask(self, now: int) -> list[Request]:
        """What to ask now, by what the feed said last; nothing while it has not merged all that came."""
        with self._turn:
            count = checked(lib.numi_recovery_ask(self._recovery, time_ns(now), self._rows, len(self._rows)))
            return [Request.of(row) for row in self._rows[0:count]]

    def reply(self, payload: bytes, now: int, server: int = 0) -> str:
        """What a packet that came from a server is; good ones go to the feed."""
        index = whole("server", server, 0, 2**32 - 1)
        with self._turn:
            reply = checked(lib.numi_recovery_reply(self._recovery, time_ns(now), index, payload, len(payload)))
        return text(lib.numi_reply_name(reply))

    def bring(self, payload: bytes) -> bool:
        """A packet for the feed that answers no request; False where the ring has no room for it now."""
        with self._turn:
            return bool(lib.numi_recovery_pass(self._recovery, payload, len(payload)))

    def step(self, now: int) -> int:
        """Asks over its sockets and takes what came; how much it did. The feed calls it after each of its steps."""
        time, done = time_ns(now), 0
        with self._turn:
            requests = ffi.NULL if self._requests is None else self._requests._carry
            done += checked(lib.numi_recovery_step(self._recovery, requests, time))
            if self._session is not None:
                carry, client = self._session._carry, self._session.client._client
                done += checked(lib.numi_recovery_step_session(self._recovery, carry, client, time))
        return done

    def counts(self) -> dict[str, Any]:
        """Everything counted, by name: of the ring, and of the planner as in `nb.Recover.counts`."""
        (own,) = rows_of(lib.numi_recovery_counts(self._recovery), 1)
        return own | recover_counts(lib.numi_recovery_planner_counts(self._recovery))

    def servers(self) -> list[dict[str, int]]:
        """For each address everything counted of its socket."""
        return [] if self._requests is None else self._requests.counts()


__all__ = ["Recovery"]
