"""The tape: a flight recorder of what came into a feed, in the feed's own order, and its reader.

One thread records, one writes (they may be the same); a second one at the same end is refused with a BusyError.

>>> import numi_bypass as nb, tempfile
>>> folder = tempfile.mkdtemp()
>>> with nb.Tape(folder, config={"group": "239.1.1.1:5001"}) as tape:
...     tape.frame(b"a packet", line=1, rx=nb.Stamp(5, "virtual"), taken_ns=7), tape.step(7, budget=64, count=1)
(True, True)
>>> [type(record).__name__ for record in nb.read_tape(folder)]
['Begin', 'Frame', 'Step', 'End']
>>> nb.tape_info(folder).replayable
True
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from numi_bypass import errors
from numi_bypass._ffi import CData, checked, ffi, lib, path_bytes, text, whole
from numi_bypass._handle import Handle, Turn
from numi_bypass.clock import DOMAINS, SOURCES, Clock, Stamp
from numi_bypass.memory import PAGE_NAMES, pages_of

_U32, _U64 = 2**32 - 1, 2**64 - 1
_SKIP = 1 << 20
"""Records between two looks at Ctrl-C."""


def _ns(name: str, value: int) -> int:
    return whole(name, value, -(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Lost:
    """Records that were dropped at this place, since the ring was full."""

    frames: int = 0
    frame_bytes: int = 0
    steps: int = 0
    others: int = 0

    @property
    def records(self) -> int:
        """Of every kind."""
        return self.frames + self.steps + self.others


@dataclass(frozen=True)
class Recorded:
    """What the recording side did so far; `lost` of these had no room."""

    frames: int
    frame_bytes: int
    steps: int
    others: int
    lost: Lost


@dataclass(frozen=True)
class Written:
    """What the writing side did so far."""

    records: int
    blocks: int
    file_bytes: int
    segments: int
    thrown_away: int
    first_segment: int
    kept_bytes: int
    failures: int


class Tape(Handle):
    """A tape being recorded: a folder of segments, bounded by `keep_size` bytes or `keep_ns` of the feed's time.

    `config` is kept as JSON. `identity` tells this tape's segments from another's; by default it is drawn. A block is
    written when it is full, or when its first record has waited for `flush_ns` by the clock given to `write`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        config: object = None,
        clock: Clock | None = None,
        identity: int | None = None,
        ring_size: int = 1 << 24,
        segment_size: int = 1 << 26,
        keep_size: int = 0,
        keep_ns: int = 0,
        flush_ns: int = 100_000_000,
        block_size: int = 1 << 18,
        pages: str = "auto",
    ) -> None:
        self._tape: CData = None
        options = ffi.new("struct numi_tape_options *")
        kept = [ffi.new("char[]", path_bytes(path)), ffi.from_buffer(json.dumps(config).encode())]
        options.path, options.config, options.config_size = kept[0], kept[1], len(kept[1])
        options.clock = ffi.NULL if clock is None else clock._clock
        drawn = int.from_bytes(os.urandom(8), "little") if identity is None else identity
        options.identity = whole("identity", drawn, 0, _U64)
        options.ring_size = whole("ring_size", ring_size, 0, _U64)
        options.segment_size = whole("segment_size", segment_size, 0, _U64)
        options.keep_size = whole("keep_size", keep_size, 0, _U64)
        options.keep_ns = whole("keep_ns", keep_ns, 0, _U64)
        options.flush_ns = whole("flush_ns", flush_ns, 0, _U64)
        options.block_size = whole("block_size", block_size, 0, _U32)
        options.pages = pages_of(pages)
        out = ffi.new("struct numi_tape **")
        checked(lib.numi_tape_open(out, options))
        self._tape = out[0]
        self._record_turn, self._write_turn = Turn("tape's recording end"), Turn("tape's writing end")
        self.path = os.fspath(path)

    def __repr__(self) -> str:
        return f"<Tape {self.path}{'' if self._tape else ', closed'}>"

    def __enter__(self) -> "Tape":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # A child has a copy of the memory and of the file: what is in the ring is the parent's to write.
        if getattr(self, "_tape", None) and self._record_turn.is_ours:
            lib.numi_tape_close(self._tape)
            self._tape = None

    def close(self) -> None:
        """Writes what is left and marks the end; the error is the one that kept bytes from the disk."""
        with self._record_turn, self._write_turn:
            tape, self._tape = self._tape, None
            if tape:
                checked(lib.numi_tape_close(tape))

    def _open_tape(self) -> CData:
        if not self._tape:
            raise ValueError("the tape is closed")
        return self._tape

    @property
    def pages(self) -> str:
        """The kind of pages that its ring got."""
        return PAGE_NAMES[lib.numi_tape_memory(self._open_tape()).pages]

    def frame(
        self,
        payload: bytes,
        *,
        rx: Stamp,
        taken_ns: int,
        line: int = 0,
        port: int = 0,
        headers: bytes = b"",
        wire_size: int | None = None,
        flags: int = 0,
    ) -> bool:
        """A frame as it was taken; whether there was room for it."""
        size = len(headers) + len(payload)
        frame = ffi.new("struct numi_frame *")
        frame.rx.ns, frame.rx.error_ns = _ns("rx", rx.ns), whole("error_ns", rx.error_ns, 0, _U32)
        frame.rx.domain, frame.rx.source = DOMAINS[rx.domain], SOURCES[rx.source]
        frame.taken_ns = _ns("taken_ns", taken_ns)
        frame.data_size = whole("payload's size", len(payload), 0, _U32)
        frame.header_size = whole("headers' size", len(headers), 0, 2**16 - 1)
        frame.wire_size = whole("wire_size", size if wire_size is None else wire_size, 0, _U32)
        frame.line, frame.port = whole("line", line, 0, 255), whole("port", port, 0, 2**16 - 1)
        frame.flags = whole("flags", flags, 0, 255)
        content = ffi.from_buffer("uint8_t[]", bytes(headers) + bytes(payload))
        with self._record_turn:
            return bool(checked(lib.numi_tape_record_frame(self._open_tape(), frame, content + len(headers))))

    def step(self, now_ns: int, *, budget: int = 0, count: int = 0) -> bool:
        """A step that changed something, after its frames; whether there was room for it."""
        numbers = _ns("now_ns", now_ns), whole("budget", budget, 0, _U32), whole("count", count, 0, _U32)
        with self._record_turn:
            return bool(checked(lib.numi_tape_record_step(self._open_tape(), *numbers)))

    def counters(self, port: int, now_ns: int, rows: Mapping[str, int]) -> bool:
        """What a port counted by now; whether there was room for it."""
        room = int(lib.NUMI_TAPE_COUNTER_NAME_ROOM)
        c = ffi.new("struct numi_tape_counter[]", len(rows))
        for row, (name, value) in zip(c, rows.items(), strict=True):
            raw = name.encode()
            if len(raw) >= room or b"\0" in raw:
                raise ValueError(f"counter {name!r}: allowed a name of at most {room - 1} bytes, none of them zero")
            row.name, row.value = raw, whole(name, value, 0, _U64)
        numbers = whole("port", port, 0, 2**16 - 1), _ns("now_ns", now_ns)
        with self._record_turn:
            return bool(checked(lib.numi_tape_record_counters(self._open_tape(), *numbers, c, len(rows))))

    def clock(self, clock: Clock) -> bool:
        """The fits of a clock that was sampled; whether there was room for them."""
        with self._record_turn:
            return bool(checked(lib.numi_tape_record_clock(self._open_tape(), clock._clock)))

    def recorded(self) -> Recorded:
        """What this side counts."""
        c = ffi.new("struct numi_tape_recorded *")
        with self._record_turn:
            lib.numi_tape_recorded(self._open_tape(), c)
        return Recorded(c.frames, c.frame_bytes, c.steps, c.others, _lost(c.lost))

    def write(self, now_ns: int, budget: int = _U64) -> int:
        """Writes up to `budget` blocks that are due; returns how many.

        An error, of a full disk say, loses nothing: the next write tries the same bytes again.
        """
        numbers = _ns("now_ns", now_ns), whole("budget", budget, 0, _U64)
        with self._write_turn:
            return checked(lib.numi_tape_write(self._open_tape(), *numbers))

    def flush(self) -> int:
        """Writes all there is, due or not; returns how many blocks."""
        with self._write_turn:
            return checked(lib.numi_tape_flush(self._open_tape()))

    def written(self) -> Written:
        """What this side counts."""
        c = ffi.new("struct numi_tape_written *")
        with self._write_turn:
            lib.numi_tape_written(self._open_tape(), c)
        return Written(*(getattr(c, name) for name in Written.__dataclass_fields__))


def _lost(c: CData) -> Lost:
    return Lost(c.frames, c.frame_bytes, c.steps, c.others)


@dataclass(frozen=True)
class Begin:
    """A segment begins: what the feed was opened with. `from_open`: nothing came before it."""

    identity: int
    segment: int
    from_open: bool
    config: bytes


@dataclass(frozen=True)
class Frame:
    """A frame as it was taken from its port."""

    payload: bytes
    rx: Stamp
    taken_ns: int
    line: int
    port: int
    headers: bytes
    wire_size: int
    flags: int


@dataclass(frozen=True)
class Step:
    """A step that took the frames before it, or changed something without any."""

    now_ns: int
    budget: int
    count: int


@dataclass(frozen=True)
class Counters:
    """What a port counted."""

    port: int
    now_ns: int
    rows: dict[str, int]


@dataclass(frozen=True)
class Fit:
    """How one clock follows from the TSC: as struct numi_clock_fit."""

    base_ticks: int
    base_ns: int
    scale: int
    last_ticks: int
    error_ns: int
    wander_ppb: int
    drift_ppb: int
    sample_count: int
    step_count: int
    bracket_ns: int


@dataclass(frozen=True)
class Clocks:
    """How clocks follow from the TSC, by domain."""

    fits: dict[str, Fit]


@dataclass(frozen=True)
class End:
    """The recorder was closed here."""


@dataclass(frozen=True)
class Missing:
    """Records that had been thrown away before they could be read."""

    records: int


Record: TypeAlias = Begin | Frame | Step | Counters | Clocks | Lost | End | Missing


def _bytes_of(c: CData) -> bytes:
    return bytes(ffi.buffer(c.data, c.size)) if c.size else b""


def _frame(c: CData) -> Frame:
    frame, content = c.frame, _bytes_of(c)
    domain, source = text(lib.numi_domain_name(frame.rx.domain)), text(lib.numi_stamp_source_name(frame.rx.source))
    return Frame(
        payload=content[frame.header_size :],
        rx=Stamp(frame.rx.ns, domain, source, frame.rx.error_ns),
        taken_ns=frame.taken_ns,
        line=frame.line,
        port=frame.port,
        headers=content[: frame.header_size],
        wire_size=frame.wire_size,
        flags=frame.flags,
    )


def _counters(c: CData) -> Counters:
    rows = ffi.cast("struct numi_tape_counter *", c.data)
    return Counters(c.frame.port, c.now_ns, {text(rows[i].name): rows[i].value for i in range(c.count)})


def _clocks(c: CData) -> Clocks:
    fits = ffi.cast("struct numi_tape_fit *", c.data)
    names = Fit.__dataclass_fields__
    return Clocks(
        {
            text(lib.numi_domain_name(fits[i].domain)): Fit(*(getattr(fits[i].fit, name) for name in names))
            for i in range(c.count)
        }
    )


_RECORDS: dict[int, Callable[[CData], Record]] = {
    int(lib.NUMI_TAPE_BEGIN): lambda c: Begin(c.identity, c.segment, bool(c.from_open), _bytes_of(c)),
    int(lib.NUMI_TAPE_FRAME): _frame,
    int(lib.NUMI_TAPE_STEP): lambda c: Step(c.now_ns, c.budget, c.count),
    int(lib.NUMI_TAPE_COUNTERS): _counters,
    int(lib.NUMI_TAPE_CLOCK): _clocks,
    int(lib.NUMI_TAPE_LOST): lambda c: _lost(c.lost),
    int(lib.NUMI_TAPE_END): lambda c: End(),
    int(lib.NUMI_TAPE_MISSING): lambda c: Missing(c.missing),
}


@dataclass(frozen=True)
class Torn:
    """The block that the end of the last file cuts off: where it begins, and what there is of it."""

    offset: int
    size: int


@dataclass(frozen=True)
class TapeInfo:
    """What a tape holds, as far as it was read. Times are the feed's `now`."""

    records: int
    frames: int
    frame_bytes: int
    steps: int
    counters: int
    clocks: int
    lines: dict[int, int]
    losses: int
    lost: Lost
    missing: int
    segments: int
    blocks: int
    file_bytes: int
    first_segment: int
    last_segment: int
    identity: int
    first_ns: int | None
    last_ns: int | None
    from_open: bool
    closed: bool
    torn: Torn | None
    config: bytes = b""
    error: str | None = None

    @property
    def span_ns(self) -> int | None:
        """From the earliest to the latest `now`."""
        return None if self.first_ns is None or self.last_ns is None else self.last_ns - self.first_ns

    @property
    def replayable(self) -> bool:
        """Whether all that was read follows from its beginning: nothing before it, and nothing left out."""
        return self.from_open and self.lost.records == 0 and self.missing == 0


_PLAIN: tuple[str, ...] = (
    "records",
    "frames",
    "frame_bytes",
    "steps",
    "counters",
    "clocks",
    "losses",
    "missing",
    "segments",
)
_PLAIN += ("blocks", "file_bytes", "first_segment", "last_segment", "identity")


class TapeReader(Handle, Iterator[Record]):
    """The records of a tape, a folder or one segment of it, in their order; it ends where a torn block begins."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        out = ffi.new("struct numi_tape_reader **")
        checked(lib.numi_tape_reader_open(out, path_bytes(path)))
        self._reader = ffi.gc(out[0], lib.numi_tape_reader_close)
        self._turn = Turn("tape's reader")
        self._record = ffi.new("struct numi_tape_record *")

    def __next__(self) -> Record:
        with self._turn:
            if not checked(lib.numi_tape_reader_next(self._reader, self._record)):
                raise StopIteration
            return _RECORDS[self._record.kind](self._record)

    def skip(self, budget: int = _U64) -> int:
        """Reads on over up to `budget` records, for `info` alone; returns how many there were."""
        skipped = 0
        with self._turn:
            while skipped < budget:
                count = checked(lib.numi_tape_reader_skip(self._reader, min(_SKIP, budget - skipped)))
                skipped += count
                if count == 0:
                    break
        return skipped

    def info(self, *, config: bytes = b"", error: str | None = None) -> TapeInfo:
        """What has been read so far; `config` and `error` are passed on."""
        with self._turn:
            c = lib.numi_tape_reader_counts(self._reader)
            return TapeInfo(
                **{name: getattr(c, name) for name in _PLAIN},
                lines={line: count for line, count in enumerate(c.line_frames) if count},
                lost=_lost(c.lost),
                first_ns=c.first_ns if c.has_time else None,
                last_ns=c.last_ns if c.has_time else None,
                from_open=bool(c.from_open),
                closed=bool(c.closed),
                torn=Torn(c.torn_offset, c.torn_size) if c.torn else None,
                config=config,
                error=error,
            )


def read_tape(path: str | os.PathLike[str]) -> TapeReader:
    """The records of a tape, one after the other."""
    return TapeReader(path)


def tape_info(path: str | os.PathLike[str]) -> TapeInfo:
    """What a tape holds. One that contradicts itself is told as far as it goes, with what is wrong as its `error`."""
    reader = TapeReader(path)
    config, error = b"", None
    try:
        first = next(reader, None)
        config = first.config if isinstance(first, Begin) else b""
        reader.skip()
    except (errors.CorruptError, errors.VersionError) as failure:
        error = failure.detail
    return reader.info(config=config, error=error)


@dataclass(frozen=True)
class Exported:
    """What a capture made from a tape holds; `made_up`: frames without headers of their own."""

    frames: int
    made_up: int
    cut: int
    unconverted: int
    interfaces: int


def export_tape(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Exported:
    """Writes the frames of a tape as a pcapng: an interface a line, times in UTC where the tape has a clock for that.

    A tape that contradicts itself is a CorruptError, and `out` holds what comes before.
    """
    reader = TapeReader(path)
    handle = ffi.new("struct numi_tape_export **")
    checked(lib.numi_tape_export_open(handle, reader._reader, path_bytes(out)))
    try:
        while checked(lib.numi_tape_export_step(handle[0], _SKIP)):
            pass
        counts = lib.numi_tape_export_counts(handle[0])
        exported = Exported(*(getattr(counts, name) for name in Exported.__dataclass_fields__))
    except BaseException:
        lib.numi_tape_export_close(handle[0])
        raise
    checked(lib.numi_tape_export_close(handle[0]))
    return exported
