"""The merge alone: packets of two lines and of recovery in, every message once and in order out.

A feed steps it for you; this is for those who bring their own packets, and for tests.

>>> import numi_bypass as nb
>>> merge = nb.Merge(numbering="offset", sequence_offset=0)
>>> [run.first for run in merge.push((1).to_bytes(8, "big"), line="A", now=10)]
[1]
>>> merge.push((1).to_bytes(8, "big"), line="B", now=12), merge.push((3).to_bytes(8, "big"), line="B", now=13)
([], [])
>>> [(run.first, run.count, run.line) for run in merge.push((2).to_bytes(8, "big"), line="A", now=14)]
[(2, 1, 'A'), (3, 1, 'B')]
"""

from dataclasses import dataclass
from typing import Any, Literal

from numi_bypass._ffi import CData, checked, ffi, flag, lib, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass.histogram import Histogram
from numi_bypass.ledger import Ledger
from numi_bypass.pool import Pool

Line = Literal["A", "B", "recovery"]
LINES: tuple[Line, ...] = ("A", "B", "recovery")

_COUNTS: tuple[str, ...] = (
    "heartbeats",
    "ends_of_session",
    "sessions",
    "strays",
    "restarts",
    "jumps",
    "gaps",
    "missing",
)
_COUNTS += ("held_max", "pending_full", "window")
_LAG_NS = 60_000_000_000
_NEVER = -(2**63)
_TIME_MAX = 2**62


@dataclass(frozen=True)
class Run:
    """A stretch of the output: messages that follow one another, or a declared gap (`content` None)."""

    first: int
    count: int
    content: bytes | None
    line: Line | None
    rx_ns: int
    begins_session: bool

    @property
    def is_gap(self) -> bool:
        """Whether these messages will not come."""
        return self.content is None

    @property
    def messages(self) -> list[bytes]:
        """The messages of a run of length-prefixed blocks."""
        content, found = self.content or b"", []
        while content:
            size = int.from_bytes(content[:2], "big")
            found.append(content[2 : 2 + size])
            content = content[2 + size :]
        return found


@dataclass(frozen=True)
class LineCounts:
    """What one line brought; `missing` and `rescued` of messages whose record of copies is out."""

    packets: int
    messages: int
    first: int
    second: int
    repeated: int
    late: int
    missing: int
    rescued: int
    disagreements: int
    silences: int
    is_silent: bool
    last_ns: int | None


@dataclass(frozen=True)
class Disagreement:
    """Two copies of a message that differ: the first one counts."""

    sequence: int
    at_ns: int
    line: Line
    first_line: Line


def merge_options(
    options: CData,
    *,
    window: int | None = 65536,
    window_max: int | None = None,
    first_sequence: int | None = None,
    gap_timeout_ns: int | None = 20_000_000,
    pending_max: int | None = 16384,
    compared: int = 4096,
    agree: int = 2,
    lines: int = 2,
    primary: Line = "A",
    leave_after: int = 2,
    return_after: int = 8,
    dwell_ns: int = 2_000_000,
    silence_ns: int | None = 1_000_000_000,
    restart_ns: int | None = None,
    numbering: Literal["mold", "offset"] = "mold",
    sequence_offset: int = 0,
    sequence_size: int = 8,
    little_endian: bool = False,
) -> None:
    """Fills in struct numi_merge_options; None is "never", or "all"."""
    if numbering not in ("mold", "offset"):
        raise ValueError(f"numbering={numbering!r}: allowed 'mold', 'offset'")
    options.window = _or_none("window", window, 1, 2**63)
    options.window_max = _or_none("window_max", window_max, 1, 2**63)
    options.first_sequence = _or_none("first_sequence", first_sequence, 1, 2**64 - 2)
    options.gap_timeout_ns = _or_none("gap_timeout_ns", gap_timeout_ns, 1, _TIME_MAX)
    options.pending_max = _or_none("pending_max", pending_max, 1, int(lib.NUMI_POOL_FRAME_COUNT_MAX))
    options.compared = whole("compared", compared, 0, int(lib.NUMI_MERGE_COMPARED_MAX))
    options.agree = whole("agree", agree, 1, 2)
    options.line_count = whole("lines", lines, 1, 2)
    options.primary = _line_of(primary)
    options.leave_after = whole("leave_after", leave_after, 1, 2**32 - 1)
    options.return_after = whole("return_after", return_after, 1, 2**32 - 1)
    options.dwell_ns = whole("dwell_ns", dwell_ns, 0, _TIME_MAX)
    options.silence_ns = _or_none("silence_ns", silence_ns, 1, _TIME_MAX)
    options.restart_ns = _or_none("restart_ns", restart_ns, 1, _TIME_MAX)
    options.numbering = int(lib.NUMI_NUMBERED_BY_OFFSET if numbering == "offset" else lib.NUMI_NUMBERED_BY_MOLD)
    options.sequence_offset = whole("sequence_offset", sequence_offset, 0, 65535)
    options.sequence_size = whole("sequence_size", sequence_size, 4, 8)
    options.little_endian = flag("little_endian", little_endian)


class MergeView(Handle):
    """What there is to see of a merge, alone or in a feed."""

    _turn: Turn

    @property
    def _open(self) -> CData:
        raise NotImplementedError

    def gaps(self) -> list[tuple[int, int, int]]:
        """The open gaps: first and last sequence, and since when they are known."""
        with self._turn:
            count = 64
            while True:
                gaps = ffi.new("struct numi_gap[]", count)
                found = lib.numi_merge_gaps(self._open, gaps, count)
                if found < count:
                    return [(getattr(gap, "from"), gap.to - 1, gap.known_ns) for gap in gaps[0:found]]
                count *= 2

    @property
    def sequence(self) -> int:
        """The sequence that the output goes on with."""
        return int(lib.numi_merge_sequence(self._open))

    @property
    def session(self) -> bytes | None:
        """The current session's name, None before the first."""
        name = lib.numi_merge_session(self._open)
        return None if name == ffi.NULL else ffi.buffer(name, int(lib.NUMI_MOLD_SESSION_SIZE))[:]

    @property
    def due(self) -> int | None:
        """When time alone changes something next."""
        due = int(lib.numi_merge_due(self._open))
        return None if due == 2**63 - 1 else due

    @property
    def preferred(self) -> Line:
        """The line that is polled first and wins ties."""
        return LINES[int(lib.numi_merge_preference(self._open).preferred)]

    def switches(self) -> dict[str, int | None]:
        """How often the preferred line changed; when it last did, and how long after the old one's last advance."""
        preference = lib.numi_merge_preference(self._open)
        at, took = int(preference.switched_ns), int(preference.switch_ns)
        return {
            "switches": int(preference.switches),
            "switched_ns": None if at == _NEVER else at,
            "switch_ns": None if took < 0 else took,
        }

    def counts(self) -> dict[str, int]:
        """All that is counted beside the ledger."""
        counts = lib.numi_merge_counts(self._open)
        return {name: int(getattr(counts, name)) for name in _COUNTS}

    def lines(self) -> "dict[str, LineCounts]":
        """What each line brought."""
        return {name: self._line(number) for number, name in enumerate(LINES)}

    def _line(self, number: int) -> LineCounts:
        counts = lib.numi_merge_copies(self._open).lines[number]
        brought: dict[str, Any] = {
            name: int(getattr(counts, name))
            for name in ("packets", "messages", "first", "second", "repeated", "late", "missing", "rescued")
        }
        state = None if LINES[number] == "recovery" else lib.numi_merge_counts(self._open).lines[number]
        last = _NEVER if state is None else int(state.last_ns)
        return LineCounts(
            **brought,
            disagreements=int(counts.disagreements),
            silences=0 if state is None else int(state.silences),
            is_silent=False if state is None else bool(state.is_silent),
            last_ns=None if last == _NEVER else last,
        )

    def settle(self) -> None:
        """Puts out the records of copies, so that what the lines missed is counted to the end."""
        with self._turn:
            lib.numi_merge_settle(self._open)

    def lag(self, line: Line) -> Histogram:
        """How far behind the first this line's second copies came, in ns: of every eighth message, a copy."""
        number = whole("line", _line_of(line), 0, 1)
        copies = lib.numi_merge_copies(self._open)
        found = Histogram(_LAG_NS, 2)
        if copies.count:
            checked(lib.numi_histogram_add(found._histogram, copies.lag + number))
        return found

    def disagreements(self) -> list[Disagreement]:
        """The last copies that differed from the first, the newest at the end."""
        copies = lib.numi_merge_copies(self._open)
        count, kept = int(copies.disagreements), int(lib.NUMI_DISAGREEMENT_MAX)
        rows = [copies.last[at % kept] for at in range(max(0, count - kept), count)]
        return [Disagreement(row.sequence, row.at_ns, LINES[row.line], LINES[row.first_line]) for row in rows]


class Merge(MergeView):
    """Two lines and recovery in, one out: csrc/feed/merge.h has every rule. None is "never", or "all".

    Options are those of `merge_options`. With a `pool` packets are held in its frames, as a feed does; without, what
    has to wait is copied.
    """

    _HANDS_OVER = False
    """Whether the frames of runs are given back by whoever took them, as in a feed."""

    def __init__(self, *, pool: Pool | None = None, **options: Any) -> None:
        wanted = ffi.new("struct numi_merge_options *")
        merge_options(wanted, **options)
        wanted.hands_over = self._HANDS_OVER
        out = ffi.new("struct numi_merge **")
        checked(lib.numi_merge_open(out, wanted, ffi.NULL if pool is None else pool._open_pool()))
        self._pool = pool
        self._merge = ffi.gc(out[0], lib.numi_merge_close)
        self._turn = Turn("merge")
        self._run = ffi.new("struct numi_merge_run **")

    def close(self) -> None:
        """What is held goes back to the pool; it also goes with the last name for the merge."""
        with self._turn:
            if self._merge is not None:
                ffi.release(self._merge)
                self._merge = None

    @property
    def _open(self) -> CData:
        if self._merge is None:
            raise ValueError("the merge is closed")
        return self._merge

    def ledger(self) -> Ledger:
        """What became of every packet and message."""
        ledger = Ledger.of(lib.numi_merge_counts(self._open).ledger)
        return Ledger(
            ledger.frames | {"received": sum(lib.numi_merge_counts(self._open).mold_reasons)}, ledger.messages
        )

    # ---- In.

    def push(
        self, payload: bytes | bytearray | memoryview, *, line: Line, now: int, rx_ns: int | None = None
    ) -> list[Run]:
        """A packet that arrived at `now`; what goes out because of it."""
        with self._turn:
            packet = ffi.new("struct numi_merge_packet *")
            content = ffi.from_buffer(payload)
            packet.line = _line_of(line)
            packet.now_ns = whole("now", now, -_TIME_MAX, _TIME_MAX)
            packet.rx_ns = now if rx_ns is None else whole("rx_ns", rx_ns, -_TIME_MAX, _TIME_MAX)
            packet.payload, packet.size = ffi.cast("uint8_t *", content), len(content)
            if self._pool is not None:
                self._put_into_frame(packet)
            checked(lib.numi_merge_push(self._open, packet))
            return self._runs()

    def _put_into_frame(self, packet: CData) -> None:
        assert self._pool is not None
        pool, indices = self._pool._open_pool(), ffi.new("uint32_t[1]")
        if packet.size > self._pool.frame_size:
            raise ValueError(f"a payload of {packet.size} bytes: the pool's frames have {self._pool.frame_size}")
        if lib.numi_pool_take_batch(pool, indices, 1) != 1:
            raise BufferError("the pool has no frame left")
        slot = pool.slots + indices[0] * self._pool.frame_size
        ffi.memmove(slot, packet.payload, packet.size)
        packet.payload, packet.frame = slot, indices[0]

    def advance(self, now: int) -> list[Run]:
        """It is `now`, and no packet that came before waits: what time alone brings out."""
        with self._turn:
            lib.numi_merge_advance(self._open, whole("now", now, -_TIME_MAX, _TIME_MAX))
            return self._runs()

    def flush(self) -> list[Run]:
        """Nothing more will come: gaps are declared, all that is held goes out."""
        with self._turn:
            lib.numi_merge_flush(self._open)
            return self._runs()

    def give_up(self, first: int, end: int) -> list[Run]:
        """The messages from `first` on, `end` not among them, will not come."""
        with self._turn:
            low, high = whole("first", first, 0, 2**64 - 1), whole("end", end, 0, 2**64 - 1)
            lib.numi_merge_give_up(self._open, low, high)
            return self._runs()

    def _runs(self) -> list[Run]:
        runs = []
        while checked(lib.numi_merge_next(self._open, self._run)):
            run = self._run[0]
            content = None if run.bytes == ffi.NULL else ffi.buffer(run.bytes, run.size)[:]
            line = None if content is None else LINES[run.line]
            runs.append(Run(run.sequence, run.count, content, line, run.rx_ns, bool(run.begins_session)))
        return runs


def _or_none(name: str, value: int | None, lowest: int, highest: int) -> int:
    return 0 if value is None else whole(name, value, lowest, highest)


def _line_of(line: str) -> int:
    if line not in LINES:
        raise ValueError(f"line={line!r}: allowed {', '.join(map(repr, LINES))}")
    return LINES.index(line)
