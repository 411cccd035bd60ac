r"""Files of exchange traffic in, every field out: events, or the native records of each message type.

>>> import pathlib, tempfile, numi_bypass as nb
>>> path = pathlib.Path(tempfile.mkdtemp()) / "one.itch"
>>> add = b"A" + bytes([0, 7, 0, 0]) + bytes(6) + bytes([0] * 7 + [42]) + b"B" + bytes([0, 0, 0, 100]) + b"NUMI    "
>>> _ = path.write_bytes(b"\0\x24" + add + (1702500).to_bytes(4, "big"))
>>> events = nb.read(path)
>>> for batch in events:
...     batch["order"].tolist(), batch["price"].tolist(), events.symbols[batch["instrument"]].tolist()
([42], [1702500], [b'NUMI'])
>>> nb.read(path, schema="raw")["A"]["shares"].tolist()
[100]
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, checked, ffi, flag, lib, path_bytes, refused, text, whole
from numi_bypass._growing import Growing
from numi_bypass._handle import Handle, Turn
from numi_bypass.directory import Directory
from numi_bypass.layout import dtype_of
from numi_bypass.ledger import Ledger

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

PRICE_SCALE = 4
"""ITCH prices are in 1e-4 dollars; those of MWCB levels in 1e-8."""

Path = str | os.PathLike[str]

NEW_YORK = ZoneInfo("America/New_York")
BATCH = 16384
_RAW_RECORDS = 65536
_GAPS_AT_ONCE = 1024
_ALL_RECORDS = 1 << 20
"""Messages between two looks at Ctrl-C."""


@dataclass(frozen=True)
class Field:
    """One field of an ITCH message, as the core's table has it."""

    name: str
    kind: Literal["integer", "price4", "price8", "alpha", "timestamp"]


@cache
def letters() -> tuple[str, ...]:
    """The type letters, in the order of the core's table."""
    return tuple(chr(lib.numi_itch_type_at(index).letter) for index in range(int(lib.NUMI_ITCH_TYPE_COUNT)))


@cache
def fields_of(letter: str) -> tuple[Field, ...]:
    """The fields of a message type, in the wire's order."""
    kinds: tuple[Any, ...] = ("integer", "price4", "price8", "alpha", "timestamp")
    table = lib.numi_itch_type_at(lib.numi_itch_index_of(ord(letter)))
    return tuple(Field(text(field.name), kinds[field.kind]) for field in table.fields[0 : table.field_count])


def _name_of(path: Path) -> str:
    """The name of a file; bytes are refused, since they are a file's content more often than its name."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"a path of type {type(path).__name__}: allowed the name of a file, as str or os.PathLike")
    return name


def _open_reader(paths: list[Path], merged: bool) -> CData:
    out, names = ffi.new("struct numi_reader **"), [path_bytes(_name_of(path)) for path in paths]
    if names.count(b"-") > 1:
        raise refused("- and -: stdin can be named once, the other line needs a file")
    if not merged:
        checked(lib.numi_reader_open(out, names[0]))
        return out[0]
    lines = [ffi.new("char[]", name) for name in names]
    checked(lib.numi_reader_open_lines(out, ffi.new("char *[]", lines), len(lines)))
    return out[0]


def _by_reason(numbers: CData, name_of: Callable[[int], CData]) -> dict[str, int]:
    """Without the first, which is no reason but what went well."""
    return {text(name_of(reason)): int(n) for reason, n in enumerate(numbers) if reason and n}


def _file_of(capture: CData) -> str:
    return text(lib.numi_stream_path(lib.numi_capture_stream(capture)))


def _truncation(capture: CData) -> str:
    """Empty for a file that is whole."""
    counts, stream = lib.numi_capture_counts(capture), lib.numi_capture_stream(capture)
    is_bare = lib.numi_capture_format(capture) == lib.NUMI_CAPTURE_ITCH
    within = [f"a {'message' if is_bare else 'record'}"] if counts.truncated else []
    compression = text(lib.numi_compression_name(lib.numi_stream_compression(stream)))
    within += [f"its {compression}"] if counts.torn else []
    if not within:
        return ""
    # Nothing is needed: what is there is what was read and not handed out.
    left = lib.numi_stream_need(stream, 0, ffi.new("uint8_t **"))
    place = f"offset {lib.numi_stream_offset(stream)}{', expanded' if counts.torn else ''}"
    left_off = f"{left} bytes there are left off" if left else "what stands before is whole"
    return (
        f"{_file_of(capture)}: ends within {' and '.join(within)} ({place}): {left_off}; copy it anew if more was there"
    )


class Source(Handle):
    """One open file, or two lines of one feed: the core's reader, what it counted, and the instruments it met.

    What is handed out at once is of one session, and so are `symbols`, `locates` and `directory()`: those of what was
    handed out last.
    """

    def __init__(self, path: Path, decoder: str, other: Path | None = None, merge: bool = False) -> None:
        if decoder != "itch50":
            raise ValueError(f"decoder={decoder!r}: allowed 'itch50'")
        paths = [path] if other is None else [path, other]
        self._lines = range(len(paths))
        merged = flag("merge", merge) or other is not None
        self._reader = ffi.gc(_open_reader(paths, merged), lib.numi_reader_close)
        self.path = os.fspath(path)
        self.gaps: list[list[int]] = []
        """Of merged lines, declared so far: the first sequence missing, and the last."""
        self._turn = Turn("reader")

    def _decoder(self) -> CData:
        return lib.numi_reader_decoder(self._reader)

    def directory(self) -> Directory:
        """The instruments of the session that the reader is in, met so far: a copy."""
        return Directory.of(self._decoder(), self.sessions)

    @property
    def symbols(self) -> NDArray[np.bytes_]:
        """The symbol of each instrument met so far in the session, stripped; empty where no message named it."""
        return self.directory().symbols

    @property
    def instrument_count(self) -> int:
        """Instruments met so far in the session."""
        return int(self._decoder().instrument_count)

    @property
    def locates(self) -> NDArray[np.uint16]:
        """The wire's id of each instrument met so far in the session."""
        return self.directory().locates

    @property
    def ledger(self) -> Ledger:
        """What became of every packet and message."""
        return Ledger.of(lib.numi_reader_counts(self._reader).ledger)

    def counts(self) -> dict[str, int]:
        """What was counted beside the ledger: reasons, gaps, control packets, truncation."""
        c = lib.numi_reader_counts(self._reader)
        counts = {"messages": int(self._decoder().messages)}
        counts |= _by_reason(c.packet_reasons, lib.numi_packet_reason_name)
        counts |= _by_reason(c.mold_reasons, lib.numi_mold_reason_name)
        counts |= self.undecodable()
        names = ("heartbeats", "ends_of_session", "sessions", "missing", "repeated", "rejected")
        counts |= {name: int(getattr(c, name)) for name in names}
        captures = [lib.numi_capture_counts(capture) for capture in self._captures()]
        fields = {"cut": "cut", "torn": "torn", "unknown_blocks": "unknown_blocks", "truncated_records": "truncated"}
        return counts | {name: sum(int(getattr(one, field)) for one in captures) for name, field in fields.items()}

    def undecodable(self) -> dict[str, int]:
        """Messages that are none, by reason."""
        return _by_reason(self._decoder().rejects, lib.numi_itch_reason_name)

    def truncated(self) -> list[str]:
        """Of each file that ends within a message, a packet or its compression: where, and what is left off."""
        return [line for line in map(_truncation, self._captures()) if line]

    def warnings(self) -> list[str]:
        """What of the files was left out although nothing in them contradicts itself, a line each."""
        lines, undecodable = self.truncated(), self.undecodable()
        names = ", ".join(_file_of(capture) for capture in self._captures())
        if undecodable:
            reasons = " ".join(f"{reason}={n}" for reason, n in undecodable.items())
            first = int(lib.numi_reader_counts(self._reader).first_rejected)
            lines.append(f"{names}: undecodable messages are left out: {reasons}; the first is message {first}")
        stale = self.ledger.messages["stale"]
        if stale:
            said = f"{stale} messages came when their session was over, and are left out"
            lines.append(f"{names}: {said}; where a capture holds several feeds, take them apart first")
        return lines

    def _captures(self) -> list[CData]:
        return [lib.numi_reader_capture(self._reader, line) for line in self._lines]

    @property
    def sessions(self) -> int:
        """Of how many sessions something was handed out; a bare file has none."""
        return int(lib.numi_reader_counts(self._reader).sessions)

    def _note_gaps(self, events: NDArray[Any]) -> None:
        declared = events[events["kind"] == int(lib.NUMI_EVENT_GAP)]
        self.gaps += [[int(gap["order"]), int(gap["aux"])] for gap in declared]

    def progress(self) -> tuple[int, int]:
        """Bytes of the files read so far, and all of them (-1 where nobody knows)."""
        streams = [lib.numi_capture_stream(capture) for capture in self._captures()]
        sizes = [int(lib.numi_stream_file_size(stream)) for stream in streams]
        done = sum(int(lib.numi_stream_file_offset(stream)) for stream in streams)
        return done, -1 if -1 in sizes else sum(sizes)

    @property
    def day(self) -> date | None:
        """The New York day of the first packet; None for a file without receive times."""
        first_ns = int(lib.numi_reader_first_ns(self._reader))
        if first_ns == 0:
            return None
        return datetime.fromtimestamp(first_ns / 1e9, UTC).astimezone(NEW_YORK).date()


def midnight_ns(day: date) -> int:
    """Midnight in New York, in ns since 1970 UTC: what the wire's timestamps count from."""
    since = datetime.combine(day, time(), NEW_YORK) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since // timedelta(microseconds=1)) * 1000


class Events(Source):
    """The events of a file, in batches; read once, from the beginning to the end.

    A batch is a structured array (struct numi_event). Its memory is used again only once nobody holds the batch or a
    part of it any more: keep what you like, and reading slows down to the speed of fresh memory.

    `other` is the second line of the feed: both are merged, each message comes once and in order, and what neither has
    is one event of kind 0 (`order` the first missing sequence, `aux` the last). `merge` puts one line in order alone.
    """

    def __init__(
        self,
        path: Path,
        decoder: str = "itch50",
        batch: int = BATCH,
        *,
        other: Path | None = None,
        merge: bool = False,
    ) -> None:
        super().__init__(path, decoder, other, merge)
        self._batch = whole("batch", batch, 1, 2**31 - 1)
        self._buffers: list[NDArray[Any]] = []

    def _buffer(self) -> NDArray[Any]:
        for buffer in self._buffers:
            # The list, the loop's name and the call's argument: nobody else looks at it.
            if sys.getrefcount(buffer) == 3:
                return buffer
        buffer = np.empty(self._batch, dtype_of("numi_event"))
        self._buffers = [*self._buffers[-2:], buffer]
        return buffer

    def __iter__(self) -> Iterator[NDArray[Any]]:
        while True:
            buffer = self._buffer()
            memory = ffi.from_buffer("struct numi_event[]", buffer)
            with self._turn:
                count = checked(lib.numi_reader_events(self._reader, memory, len(buffer)))
            del memory
            if count == 0:
                return
            if lib.numi_reader_counts(self._reader).gaps > len(self.gaps):
                self._note_gaps(buffer[:count])
            yield buffer[:count]
            del buffer

    def to_arrow(self, day: date | None = None) -> "pyarrow.Table":
        """All events as an Arrow table (extra `arrow`)."""
        from numi_bypass import tables

        return tables.events_table(self, day)

    def to_parquet(self, path: str | os.PathLike[str], day: date | None = None) -> int:
        """Writes the events to a Parquet file, piece by piece; returns how many."""
        from numi_bypass import tables

        return tables.write_events_parquet(self, path, day)

    def to_pandas(self, day: date | None = None) -> "pandas.DataFrame":
        """All events as a pandas frame."""
        return self.to_arrow(day).to_pandas()

    def to_polars(self, day: date | None = None) -> "polars.DataFrame":
        """All events as a polars frame."""
        import polars

        frame = polars.from_arrow(self.to_arrow(day))
        assert isinstance(frame, polars.DataFrame)
        return frame


class RawReader(Source):
    """The messages of a file as native records, in pieces: for each type letter an array with every field.

    `other` and `merge` are those of `Events`; what neither line has is among the `gaps` alone.
    """

    def __init__(
        self,
        path: Path,
        decoder: str = "itch50",
        records: int = _RAW_RECORDS,
        *,
        other: Path | None = None,
        merge: bool = False,
    ) -> None:
        super().__init__(path, decoder, other, merge)
        self._records = records
        self._declared = np.empty(_GAPS_AT_ONCE, dtype_of("numi_event"))

    def _columns(self) -> CData:
        """No room yet, but for gaps."""
        columns = ffi.new("struct numi_reader_column[]", int(lib.NUMI_READER_COLUMN_COUNT))
        gaps = columns[int(lib.NUMI_READER_GAPS)]
        gaps.records, gaps.record_max = ffi.from_buffer(self._declared), len(self._declared)
        return columns

    def _step(self, columns: CData, messages: int) -> int:
        gaps = columns[int(lib.NUMI_READER_GAPS)]
        while True:
            gaps.record_count = 0
            with self._turn:
                count = checked(lib.numi_reader_records(self._reader, columns, messages))
            self._note_gaps(self._declared[: gaps.record_count])
            if count or not gaps.record_count:
                return count

    def all(self) -> "tuple[dict[str, NDArray[Any]], list[Section]]":
        """What has not been read yet, whole: one array a type letter, and which of it is of which session."""
        growing = [Growing(dtype_of(f"numi_itch_{letter}")) for letter in letters()]
        columns, sections = self._columns(), [Section(self.directory(), [0] * len(growing))]
        count = 1
        while count:
            for column, records in zip(columns, growing, strict=False):
                if column.record_count == column.record_max:
                    if column.record_max:
                        records.grow()
                    column.records, column.record_max = records.pointer, records.room
            count = self._step(columns, _ALL_RECORDS)
            if sections[-1].directory.session == self.sessions:
                sections.pop()
            sections.append(Section(self.directory(), [int(one.record_count) for one in columns[0 : len(growing)]]))
        arrays = (records.array(end) for records, end in zip(growing, sections[-1].ends, strict=True))
        return dict(zip(letters(), arrays, strict=True)), sections

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        columns = self._columns()
        arrays = [np.empty(self._records, dtype_of(f"numi_itch_{letter}")) for letter in letters()]
        for column, array in zip(columns, arrays, strict=False):
            column.records, column.record_max = ffi.from_buffer(array), len(array)
        while True:
            if self._step(columns, self._records) == 0:
                return
            piece = {}
            for letter, column, array in zip(letters(), columns, arrays, strict=False):
                if column.record_count:
                    piece[letter] = array[: column.record_count].copy()
                    column.record_count = 0
            yield piece


@dataclass(frozen=True)
class Section:
    """The end of a session in the arrays of all messages, by type, and its instruments."""

    directory: Directory
    ends: list[int]


class Raw:
    """All messages of a file: `raw["A"]` is one structured array with every field of the specification."""

    def __init__(self, path: Path, decoder: str = "itch50", *, other: Path | None = None, merge: bool = False) -> None:
        self.source = RawReader(path, decoder, other=other, merge=merge)
        self._arrays, self._sections = self.source.all()

    def __getitem__(self, letter: str) -> NDArray[Any]:
        return self._arrays[letter]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def items(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Each type letter with its array."""
        return iter(self._arrays.items())

    def by_session(self, letter: str) -> Iterator[tuple[Directory, NDArray[Any]]]:
        """The same array session by session, where one has any, each with its instruments."""
        start, place = 0, letters().index(letter)
        for section in self._sections:
            if section.ends[place] > start:
                yield section.directory, self[letter][start : section.ends[place]]
            start = section.ends[place]

    def to_arrow(self, day: date | None = None) -> "dict[str, pyarrow.Table]":
        """An Arrow table a message type that occurs (extra `arrow`)."""
        from numi_bypass import tables

        return {letter: tables.raw_sessions(self, letter, day) for letter, rows in self.items() if len(rows)}

    def to_pandas(self, day: date | None = None) -> "dict[str, pandas.DataFrame]":
        """A pandas frame a message type that occurs."""
        return {letter: table.to_pandas() for letter, table in self.to_arrow(day).items()}

    def to_polars(self, day: date | None = None) -> "dict[str, polars.DataFrame]":
        """A polars frame a message type that occurs."""
        import polars

        frames = {letter: polars.from_arrow(table) for letter, table in self.to_arrow(day).items()}
        return {letter: frame for letter, frame in frames.items() if isinstance(frame, polars.DataFrame)}

    def to_parquet(self, path: str | os.PathLike[str], day: date | None = None) -> int:
        """Writes one Parquet file a message type into a folder; returns how many rows."""
        from numi_bypass import tables

        return tables.write_raw_folder(self, path, day)


@overload
def read(
    path: Path,
    *,
    decoder: str = "itch50",
    schema: Literal["events"] = "events",
    batch: int = BATCH,
    other: Path | None = None,
    merge: bool = False,
) -> Events: ...
@overload
def read(
    path: Path,
    *,
    decoder: str = "itch50",
    schema: Literal["raw"],
    batch: int = BATCH,
    other: Path | None = None,
    merge: bool = False,
) -> Raw: ...
def read(
    path: Path,
    *,
    decoder: str = "itch50",
    schema: Literal["events", "raw"] = "events",
    batch: int = BATCH,
    other: Path | None = None,
    merge: bool = False,
) -> Events | Raw:
    """A capture (pcap, pcapng) or a bare ITCH file, plain, in gzip or in zstd.

    `schema="events"` iterates batches of 64-byte events; `schema="raw"` reads one array a message type. Both are in the
    order of the file, or, where `other` is the second line of the feed, or with `merge` (one capture may hold both
    lines), every message once and in order.
    """
    if schema == "events":
        return Events(path, decoder, batch, other=other, merge=merge)
    if schema == "raw":
        return Raw(path, decoder, other=other, merge=merge)
    raise ValueError(f"schema={schema!r}: allowed 'events', 'raw'")
