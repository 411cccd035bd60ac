"""Events and native records as Arrow tables, Parquet, CSV and JSON lines: the wire's integers, the symbol joined.

With a day, the wire's time of day in New York becomes a UTC timestamp in the column `time`; without one the column is
`exchange_ns` (events) or `timestamp` (raw), in ns since midnight. Prices keep the wire's integer; the field's metadata
says the scale.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from numi_bypass import reading
from numi_bypass._ffi import lib
from numi_bypass.cli import EXIT_USAGE, CommandError
from numi_bypass.directory import Directory
from numi_bypass.layout import dtype_of

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise CommandError("pyarrow is missing: pip install 'numi-bypass[arrow]'") from error


_SCALES = {"price4": b"4", "price8": b"8"}
ROW_GROUP = 1 << 17

Rows = Mapping[str, NDArray[Any]] | NDArray[Any]
"""Events as a structured array, or as a column each."""


class Names:
    """What a small number stands for, as a dictionary of Arrow: each name once, and null where it is empty."""

    def __init__(self, names: list[str], width: type[np.signedinteger[Any]] = np.int32) -> None:
        known = {name: place for place, name in enumerate(dict.fromkeys(name for name in names if name))}
        self._places = np.array([known.get(name, -1) for name in names], width)
        self._names = pa.array(list(known), pa.string())
        self._has_nameless = -1 in self._places

    def of(self, codes: NDArray[Any]) -> pa.DictionaryArray:
        """The names of these codes."""
        places = self._places[codes]
        mask = places < 0 if self._has_nameless else None
        return pa.DictionaryArray.from_arrays(pa.array(places, mask=mask), self._names)


LETTERS = Names([chr(code) if 32 < code < 127 else "" for code in range(256)], np.int8)
"""One letter by its byte; a space and what is no ASCII letter have no text."""

SIDES = Names(["bid", "ask", ""], np.int8)


def _time_field(name: str, day: date | None) -> pa.Field:
    return pa.field(name, pa.int64()) if day is None else pa.field("time", pa.timestamp("ns", tz="UTC"))


def _time_column(wire_ns: NDArray[Any], day: date | None) -> pa.Array:
    since_midnight = np.ascontiguousarray(wire_ns).view(np.int64)
    if day is None:
        return pa.array(since_midnight)
    return pa.array(since_midnight + reading.midnight_ns(day), pa.timestamp("ns", tz="UTC"))


def _rx_column(rx_ns: NDArray[Any]) -> pa.Array:
    """Receive times; null where there was none."""
    kind = pa.timestamp("ns", tz="UTC")
    return pa.array(rx_ns, kind, mask=rx_ns == 0) if rx_ns.any() else pa.nulls(len(rx_ns), kind)


@lru_cache(maxsize=1)
def _symbols(directory: Directory) -> Names:
    """By instrument; the last place, which -1 also finds, is nobody's.

    Kept from one piece to the next: most meet no new symbol.
    """
    return Names([*(symbol.decode("ascii", "replace") for symbol in directory.symbols.tolist()), ""])


def _price_field(name: str, kind: pa.DataType, scale: bytes) -> pa.Field:
    return pa.field(name, kind, metadata={"scale": scale})


_NAME = pa.dictionary(pa.int32(), pa.string())
_LETTER = pa.dictionary(pa.int8(), pa.string())


def events_schema(day: date | None) -> pa.Schema:
    """The columns of events."""
    return pa.schema(
        [
            _time_field("exchange_ns", day),
            pa.field("rx_time", pa.timestamp("ns", tz="UTC")),
            pa.field("sequence", pa.uint64()),
            pa.field("symbol", _NAME),
            pa.field("kind", _LETTER),
            pa.field("side", _LETTER),
            pa.field("order", pa.uint64()),
            _price_field("price", pa.int64(), _SCALES["price4"]),
            pa.field("quantity", pa.uint64()),
            pa.field("aux", pa.uint64()),
            pa.field("flags", pa.uint16()),
        ],
        metadata={"price_scale": str(reading.PRICE_SCALE)},
    )


def events_batch(directory: Directory, events: Rows, day: date | None) -> pa.Table:
    """Some events of one session as a table; a declared gap is of no instrument."""
    instruments = np.where(events["kind"] == int(lib.NUMI_EVENT_GAP), -1, events["instrument"].astype(np.int64))
    columns = [
        _time_column(events["exchange_ns"], day),
        _rx_column(events["rx_ns"]),
        pa.array(events["sequence"]),
        _symbols(directory).of(instruments),
        LETTERS.of(events["kind"]),
        SIDES.of(np.minimum(events["side"], 2)),
        *(pa.array(events[name]) for name in ("order", "price", "quantity", "aux", "flags")),
    ]
    return pa.Table.from_arrays(columns, schema=events_schema(day))


def events_table(events: reading.Events, day: date | None) -> pa.Table:
    """All of them."""
    pieces = [events_batch(events.directory(), batch.copy(), day or events.day) for batch in events]
    return pa.concat_tables(pieces).unify_dictionaries() if pieces else events_schema(day).empty_table()


class Columns:
    """Events column by column, up to a row group: taken apart while they are in the cache, in memory used again.

    Those of another session begin another group, since its instruments are others.
    """

    def __init__(self, size: int = ROW_GROUP) -> None:
        self._arrays = {name: np.empty(size, kind) for name, (kind, _) in _event_fields().items()}
        self._size = size
        self._count = 0
        self._directory = Directory(0, b"", np.empty(0, np.uint16))

    def add(self, directory: Directory, rows: NDArray[Any]) -> Iterator[tuple[Directory, Rows]]:
        """Takes the rows; gives out what is full, which is to be used before the next one."""
        if directory.session != self._directory.session:
            yield from self.rest()
        self._directory = directory
        while len(rows):
            part = rows[: self._size - self._count]
            for name, array in self._arrays.items():
                array[self._count : self._count + len(part)] = part[name]
            self._count += len(part)
            rows = rows[len(part) :]
            if self._count == self._size:
                yield from self.rest()

    def rest(self) -> Iterator[tuple[Directory, Rows]]:
        """What has come since, if anything has."""
        count, self._count = self._count, 0
        if count:
            yield self._directory, {name: array[:count] for name, array in self._arrays.items()}


def _event_fields() -> dict[str, Any]:
    return dict(dtype_of("numi_event").fields or {})


def row_groups(events: reading.Events) -> Iterator[tuple[Directory, Rows]]:
    """All events, a row group at a time, each to be used before the next."""
    columns = Columns()
    for batch in events:
        yield from columns.add(events.directory(), batch)
    yield from columns.rest()


def write_events_parquet(events: reading.Events, path: str | os.PathLike[str], day: date | None) -> int:
    """Row group after row group; memory does not grow with the file."""
    groups = (events_batch(directory, rows, day or events.day) for directory, rows in row_groups(events))
    return _write_parquet(path, groups, events_schema(day))


def _write_parquet(path: str | os.PathLike[str], tables: Iterable[pa.Table], empty: pa.Schema) -> int:
    writer, count = None, 0
    try:
        for table in tables:
            writer = writer or _parquet_writer(path, table.schema)
            writer.write_table(table, row_group_size=ROW_GROUP)
            count += table.num_rows
        writer = writer or _parquet_writer(path, empty)
    finally:
        if writer is not None:
            writer.close()
    return count


def _parquet_writer(path: str | os.PathLike[str], schema: pa.Schema) -> pq.ParquetWriter:
    """Dictionaries where values repeat, differences where numbers grow: smaller and faster than compressing either."""
    coded = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    plain = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.name not in coded}
    return pq.ParquetWriter(
        os.fspath(path), schema, use_dictionary=coded, column_encoding=plain, compression="none", write_statistics=False
    )


def _alpha_column(values: NDArray[Any]) -> pa.Array:
    """Letters without their padding; the core has them as arrays of single bytes."""
    joined = np.ascontiguousarray(values).view(f"S{values.shape[1]}")[:, 0]
    if joined.dtype.itemsize == 1:
        return LETTERS.of(joined.view(np.uint8))
    stripped = np.strings.rstrip(joined, b" ")
    return pa.array(np.strings.decode(stripped, "ascii", "replace")).dictionary_encode()


def raw_schema(letter: str, day: date | None) -> pa.Schema:
    """The columns of one message type."""
    fields = [
        _time_field("timestamp", day),
        pa.field("rx_time", pa.timestamp("ns", tz="UTC")),
        pa.field("sequence", pa.uint64()),
        pa.field("symbol", _NAME),
    ]
    for field in reading.fields_of(letter):
        if field.kind == "alpha":
            width = _native(letter)[field.name].itemsize
            fields.append(pa.field(field.name, _LETTER if width == 1 else _NAME))
        elif field.kind != "timestamp":
            kind = pa.from_numpy_dtype(_native(letter)[field.name])
            scale = _SCALES.get(field.kind)
            fields.append(_price_field(field.name, kind, scale) if scale else pa.field(field.name, kind))
    return pa.schema(fields, metadata={"message_type": letter})


def _native(letter: str) -> Any:
    return dtype_of(f"numi_itch_{letter}")


def raw_table(directory: Directory, letter: str, rows: NDArray[Any], day: date | None) -> pa.Table:
    """Messages of one type and one session, with their symbol."""
    instruments = directory.instrument_of_locate()[rows["stock_locate"]]
    columns = [
        _time_column(rows["timestamp"], day),
        _rx_column(rows["rx_ns"]),
        pa.array(rows["sequence"]),
        _symbols(directory).of(instruments),
    ]
    for field in reading.fields_of(letter):
        if field.kind == "alpha":
            columns.append(_alpha_column(rows[field.name]))
        elif field.kind != "timestamp":
            columns.append(pa.array(rows[field.name]))
    return pa.Table.from_arrays(columns, schema=raw_schema(letter, day))


def raw_sessions(raw: reading.Raw, letter: str, day: date | None) -> pa.Table:
    """All messages of one type that occurs."""
    tables = [raw_table(directory, letter, rows, day) for directory, rows in raw.by_session(letter)]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries()


def write_raw_folder(raw: reading.Raw, path: str | os.PathLike[str], day: date | None) -> int:
    """One file a message type that occurs."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    tables = raw.to_arrow(day)
    return sum(_write_parquet(folder / f"{letter}.parquet", [table], table.schema) for letter, table in tables.items())


def union_schema(day: date | None) -> pa.Schema:
    """The columns of all message types side by side; what a type lacks is null."""
    fields: dict[str, pa.Field] = {"message_type": pa.field("message_type", _LETTER)}
    for letter in reading.letters():
        for field in raw_schema(letter, day):
            known = fields.setdefault(field.name, field)
            if known.type != field.type:
                fields[field.name] = field if field.type == pa.uint64() else known
    return pa.schema(list(fields.values()))


def union_table(tables: dict[str, pa.Table], schema: pa.Schema) -> pa.Table:
    """Several types in one table, in the order of their sequence."""
    parts = []
    for letter, table in tables.items():
        whole = table.append_column("message_type", Names([letter], np.int8).of(np.zeros(len(table), np.int32)))
        columns = [
            whole[field.name].cast(field.type) if field.name in whole.column_names else pa.nulls(len(whole), field.type)
            for field in schema
        ]
        parts.append(pa.Table.from_arrays(columns, schema=schema))
    return pa.concat_tables(parts).unify_dictionaries().sort_by("sequence")


class TableWriter:
    """Appends tables to a file whose ending says what it is: .parquet, .csv, .jsonl."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._parquet: pq.ParquetWriter | None = None
        self._text: TextIO | None = None
        if self.path.suffix in (".csv", ".jsonl"):
            self._text = self.path.open("w", newline="")
        elif self.path.suffix != ".parquet":
            allowed = "allowed a folder, or a name that ends in .parquet, .csv or .jsonl"
            raise CommandError(f"--out {self.path}: {allowed}", EXIT_USAGE)
        self._header = True

    def write(self, table: pa.Table) -> None:
        """Append these rows."""
        if self._text is None:
            self._parquet = self._parquet or _parquet_writer(self.path, table.schema)
            self._parquet.write_table(table, row_group_size=ROW_GROUP)
        elif self.path.suffix == ".csv":
            writer = csv.writer(self._text, lineterminator="\n")
            if self._header:
                writer.writerow(table.column_names)
            writer.writerows(row.values() for row in rows_of(table))
        else:
            self._text.writelines(json.dumps(present(row)) + "\n" for row in rows_of(table))
        self._header = False

    def close(self, empty: pa.Schema) -> None:
        """Finish the file; one without rows has its columns all the same."""
        if self._header:
            self.write(empty.empty_table())
        if self._parquet is not None:
            self._parquet.close()
        if self._text is not None:
            self._text.close()


def present(row: dict[str, Any]) -> dict[str, Any]:
    """Without what the row does not have."""
    return {name: value for name, value in row.items() if value is not None}


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Each row as names and plain values; times as ISO text with nanoseconds."""
    columns = {
        field.name: _iso(table[field.name]) if pa.types.is_timestamp(field.type) else table[field.name].to_pylist()
        for field in table.schema
    }
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _iso(column: pa.ChunkedArray) -> list[str | None]:
    nanoseconds = column.cast(pa.int64()).to_pylist()
    return [None if ns is None else str(np.datetime64(ns, "ns")) + "Z" for ns in nanoseconds]
