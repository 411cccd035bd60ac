"""`numi-bypass decode`: files of exchange traffic as rows on the terminal, or as Parquet, CSV or JSON lines."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass import errors, reading
from numi_bypass._ffi import lib
from numi_bypass.book import unknown_symbols
from numi_bypass.cli import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError, warn
from numi_bypass.commands import told
from numi_bypass.directory import Directory
from numi_bypass.options import day, whole
from numi_bypass.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from numi_bypass.tables import Columns, Rows, TableWriter

Piece = dict[str, NDArray[Any]]
"""Rows by type letter; events are under the empty letter."""

Source = reading.Events | reading.RawReader


def _types(word: str) -> list[str]:
    chosen = word.split(",")
    unknown = [letter for letter in chosen if letter not in reading.letters()]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: allowed {','.join(reading.letters())}")
    return chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, which rows, and where to."""
    scale = reading.PRICE_SCALE
    parser.epilog = f"Prices are the wire's integers: 1e-{scale} dollars, those of MWCB levels (V) 1e-{2 * scale}."
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="pcap, pcapng or bare ITCH, plain, gzip or zstd; of two, the second is the other line of the feed",
    )
    parser.add_argument(
        "--no-merge",
        action="store_true",
        help="each file for itself, nothing left out, any number of them, one after another; without it every message "
        "comes once and in order",
    )
    parser.add_argument("--schema", choices=["raw", "events"], default="raw", help="every field, or the 64-byte events")
    parser.add_argument("--out", help="a folder (one Parquet file a type), or a name in .parquet, .csv or .jsonl")
    parser.add_argument("--type", type=_types, help="only these types, as A,F")
    parser.add_argument("--symbol", action="append", help="only this symbol; may be given again")
    parser.add_argument("--limit", type=whole(0, 2**63 - 1), help="at most so many rows")
    parser.add_argument("--date", type=day, help="the New York day, where the file does not say it")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


class Selection:
    """Which rows are wanted."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._types = options.type
        self._symbols = [symbol.encode() for symbol in options.symbol] if options.symbol else None
        self._known: dict[str, None] = {}
        self.left: int | None = options.limit

    def meet(self, directory: Directory) -> None:
        """Keeps what the instruments of a session are called."""
        names = directory.symbols.tolist()
        self._known |= dict.fromkeys(symbol.decode("ascii", "replace") for symbol in names if symbol)

    def require(self) -> None:
        """An error for symbols that no message names, when all files have been read to their ends."""
        wanted = [symbol.decode() for symbol in self._symbols or []]
        unknown = [symbol for symbol in wanted if symbol not in self._known]
        if unknown and self.left != 0:
            raise CommandError(f"--symbol {' '.join(unknown)}: {unknown_symbols(unknown, self._known)}")

    def _instruments(self, directory: Directory) -> NDArray[np.bool_]:
        """Whether each instrument is wanted; the last place is for messages of none."""
        assert self._symbols is not None
        return np.append(np.isin(directory.symbols, self._symbols), False)

    def events(self, directory: Directory, rows: NDArray[Any]) -> NDArray[Any]:
        """The wanted ones of a batch; a declared gap is no row."""
        keep = rows["kind"] != int(lib.NUMI_EVENT_GAP)
        if self._types is not None:
            keep &= np.isin(rows["kind"], [ord(letter) for letter in self._types])
        if self._symbols is not None:
            keep &= self._instruments(directory)[rows["instrument"]]
        return self._limited(rows[keep] if not keep.all() else rows)

    def records(self, directory: Directory, piece: Piece) -> Piece:
        """The wanted ones of a piece."""
        chosen: Piece = {}
        wanted = None if self._symbols is None else self._instruments(directory)[directory.instrument_of_locate()]
        for letter, rows in piece.items():
            if self._types is not None and letter not in self._types:
                continue
            if wanted is not None:
                rows = rows[wanted[rows["stock_locate"]]]
            if len(rows):
                chosen[letter] = rows
        return self._limit_piece(chosen)

    def _limited(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self.left is None:
            return rows
        rows = rows[: self.left]
        self.left -= len(rows)
        return rows

    def _limit_piece(self, piece: Piece) -> Piece:
        """The limit counts messages by their sequence, whatever their type."""
        count = sum(map(len, piece.values()))
        if self.left is None or count <= self.left:
            self.left = None if self.left is None else self.left - count
            return piece
        order = np.argsort(np.concatenate([rows["sequence"] for rows in piece.values()]), kind="stable")
        keep = np.zeros(count, bool)
        keep[order[: self.left]] = True
        self.left = 0
        ends = np.cumsum([len(rows) for rows in piece.values()])[:-1]
        chosen = zip(piece.items(), np.split(keep, ends), strict=True)
        return {letter: rows[kept] for (letter, rows), kept in chosen if kept.any()}


def _pieces(source: Source, selection: Selection, progress: Progress) -> Iterator[tuple[Directory, Piece]]:
    """The wanted rows, piece after piece, each with the instruments of its session; gaps as far as they reach."""
    seen, gaps, known = 0, 0, source.directory()
    for part in source:
        directory = source.directory()
        if directory.session != known.session:
            selection.meet(known)
        known = directory
        if isinstance(part, dict):
            seen += sum(map(len, part.values()))
            piece = selection.records(directory, part)
        else:
            seen += len(part)
            piece = {"": selection.events(directory, part)}
        progress.show(seen, source.progress)
        yield directory, piece
        if selection.left == 0:
            last = max((int(rows["sequence"][-1]) for rows in piece.values() if len(rows)), default=0)
            source.gaps[gaps:] = [gap for gap in source.gaps[gaps:] if gap[0] < last]
            return
        gaps = len(source.gaps)


class Output:
    """Where rows go; every kind of it takes tables."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._raw = options.schema == "raw"
        self._day: date | None = options.date
        self._begun = False
        self._columns: Columns | None = None
        self.rows: list[dict[str, Any]] = []
        self._keep_rows = options.json
        self._folder = Path(options.out) if options.out and not Path(options.out).suffix else None
        self._writers: dict[str, TableWriter] = {}
        if options.out and self._folder is None:
            self._writers[""] = self._writer(Path(options.out))
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def _writer(path: Path) -> "TableWriter":
        from numi_bypass.tables import TableWriter

        return TableWriter(path)

    def take(self, directory: Directory, piece: Piece, of_file: date | None) -> None:
        """Write the rows of a piece. The first one settles whether there is a day."""
        from numi_bypass import tables

        self._day = self._day if self._begun else self._day or of_file
        self._begun = True
        if not self._raw:
            self._columns = self._columns or tables.Columns()
            self._put_events(self._columns.add(directory, piece[""]))
            return
        by_type = {letter: tables.raw_table(directory, letter, rows, self._day) for letter, rows in piece.items()}
        if self._folder is not None:
            for letter, table in by_type.items():
                self._put(letter, table)
        elif by_type:
            self._put("", tables.union_table(by_type, tables.union_schema(self._day)))

    def flush(self) -> None:
        """The events of a file that fill no row group."""
        if self._columns is not None:
            self._put_events(self._columns.rest())

    def _put_events(self, groups: "Iterable[tuple[Directory, Rows]]") -> None:
        from numi_bypass import tables

        for directory, rows in groups:
            self._put("events", tables.events_batch(directory, rows, self._day))

    def _put(self, name: str, table: "pa.Table") -> None:
        if self._folder is not None:
            if name not in self._writers:
                self._writers[name] = self._writer(self._folder / f"{name}.parquet")
            self._writers[name].write(table)
        elif self._writers:
            self._writers[""].write(table)
        else:
            self._show(table)

    def _show(self, table: "pa.Table") -> None:
        from numi_bypass.tables import present, rows_of

        for row in map(present, rows_of(table)):
            if self._keep_rows:
                self.rows.append(row)
            else:
                print(" ".join(f"{name}={value}" for name, value in row.items()))

    def close(self) -> None:
        """Finish the files."""
        from numi_bypass import tables

        empty = tables.union_schema(self._day) if self._raw else tables.events_schema(self._day)
        for writer in self._writers.values():
            writer.close(empty)


def _open(paths: list[str], options: argparse.Namespace) -> Source:
    kind = reading.Events if options.schema == "events" else reading.RawReader
    try:
        return kind(paths[0], other=paths[1] if len(paths) > 1 else None, merge=not options.no_merge)
    except errors.ArgumentError as error:
        remedy = "; --no-merge reads files one after another" if len(paths) > 1 else ""
        raise CommandError(f"{error.detail}{remedy}", EXIT_USAGE) from None


def _decode(paths: list[str], options: argparse.Namespace, selection: Selection, output: Output) -> dict[str, Any]:
    """One file or the two lines of a feed to the output; what was in it."""
    source = _open(paths, options)
    progress = Progress()
    by_type: Counter[str] = Counter()
    failure = None
    try:
        for directory, piece in _pieces(source, selection, progress):
            by_type.update(_count(piece))
            output.take(directory, piece, source.day)
    except errors.CorruptError as error:
        failure = error.detail
    finally:
        progress.end()
    output.flush()
    selection.meet(source.directory())
    warn(options, source.warnings())
    if source.gaps and not options.json:
        warn(options, [f"{', '.join(paths)}: {told.missing(source.gaps)}"])
    return {
        **dict(zip(("file", "other"), paths, strict=False)),
        "rows": sum(by_type.values()),
        "by_type": dict(sorted(by_type.items())),
        **({} if options.no_merge else {"gaps": source.gaps}),
        "counts": source.counts(),
        "ledger": {"frames": source.ledger.frames, "messages": source.ledger.messages},
        **({"error": failure} if failure else {}),
    }


def _count(piece: Piece) -> dict[str, int]:
    if "" not in piece:
        return {letter: len(rows) for letter, rows in piece.items()}
    return told.kinds_of(piece[""]["kind"])


def _check(options: argparse.Namespace) -> None:
    """Before a file is read or written."""
    if options.files.count("-") > 1:
        raise CommandError("- and -: stdin can be named once", EXIT_USAGE)
    if len(options.files) > 2 and not options.no_merge:
        allowed = "allowed one, or the two lines of a feed; --no-merge reads any number, one after another"
        raise CommandError(f"{len(options.files)} files: {allowed}", EXIT_USAGE)


def run(options: argparse.Namespace) -> int:
    """Decode what is merged together, or each file in turn."""
    _check(options)
    readings = [[path] for path in options.files] if options.no_merge else [options.files]
    selection, output = Selection(options), Output(options)
    files = []
    try:
        for paths in readings:
            files.append(_decode(paths, options, selection, output))
    finally:
        output.close()
    failures = [str(one["error"]) for one in files if "error" in one]
    if not failures:
        selection.require()
    if options.json:
        rows = {} if options.out else {"rows": output.rows}
        status = {"status": "error", "error": "; ".join(failures)} if failures else {}
        json.dump({"files": files, **rows, **status}, sys.stdout)
        print()
    for failure in failures:
        print(f"{options.prog}: {failure}", file=sys.stderr)
    return EXIT_FAILED if failures else EXIT_OK
