"""Synthetic trading days: realistic ITCH 5.0 with books that never cross, bare or on two lines with faults.

>>> import tempfile
>>> import numi_bypass as nb
>>> with tempfile.TemporaryDirectory() as folder:
...     made = nb.make_itch(f"{folder}/day.itch", messages=10_000, symbols=20, seed=1)
>>> made.messages, made.by_type["S"], made.by_type["R"]
(10000, 6, 20)
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from numi_bypass._ffi import CData, checked, ffi, lib, path_bytes

FORMATS = ("itch", "pcap", "pcapng")
LINES = ("A", "B")
DAY = date(2024, 6, 3)
"""The day that captures are stamped with, unless told."""

MESSAGES_MIN = int(lib.NUMI_DAY_MESSAGE_MIN)
SYMBOLS_MAX = int(lib.NUMI_DAY_SYMBOL_MAX)
LIVE_MAX = int(lib.NUMI_DAY_LIVE_MAX)
CUTS_MAX = int(lib.NUMI_LINES_CUT_MAX)

_COMPRESSIONS = {".gz": int(lib.NUMI_COMPRESSION_GZIP), ".zst": int(lib.NUMI_COMPRESSION_ZSTD)}
_MS = 1_000_000
_CHUNK = 1 << 20

Pair = float | tuple[float, float]
"""One value for both lines, or one each."""

Tell = Callable[[int, int], None]
"""Called now and then with the messages done and all of them."""


@dataclass(frozen=True)
class Cut:
    """A line ("A" or "B") is silent: from when, in ms since midnight in New York, and for how long."""

    line: str
    from_ms: int
    length_ms: int


@dataclass(frozen=True)
class LineFaults:
    """What happens to the packets of two lines. Together they still carry every message, unless `both_loss`."""

    loss: Pair = 0.0
    duplicates: Pair = 0.0
    reorder: Pair = 0.0
    displacement: int = 4
    cuts: Sequence[Cut] = ()
    skew_ns: int = 0
    both_loss: bool = False


@dataclass(frozen=True)
class Packing:
    """How messages become packets; `messages` is the most in one packet of A and of B, 0 for what fits."""

    day: date = DAY
    messages: tuple[int, int] = (0, 0)
    mtu: int = 1500
    heartbeat_ms: int = 10_000


@dataclass(frozen=True)
class MadeDay:
    """What was written."""

    messages: int
    symbols: int
    live: int
    """Orders in the books at the end."""
    live_peak: int
    itch_bytes: int
    by_type: dict[str, int]
    files: dict[str, int]
    """The size of each file."""
    lines: dict[str, dict[str, int]] = field(default_factory=dict)
    """For captures, what each line sent and what became of it."""


def make_itch(
    path: str | os.PathLike[str],
    *,
    messages: int,
    symbols: int,
    seed: int = 0,
    live: int = 0,
    format: str | None = None,
    faults: LineFaults | None = None,
    packing: Packing | None = None,
    tell: Tell | None = None,
) -> MadeDay:
    """Writes a day of exactly `messages` messages: the same arguments give the same bytes, on any machine.

    `live` is how many orders are alive at the peak, 0 for as many as are usual. `format` is "itch" (a bare file),
    "pcap" (two files, -A and -B before the ending) or "pcapng" (one file with the interfaces A and B); None goes by the
    ending of `path`. An ending .gz or .zst compresses. `faults` and `packing` are for captures. More symbols than a
    fifth of the messages are left out. What is incomplete is removed when anything fails.
    """
    target = os.fspath(path)
    chosen = format_of(target) if format is None else format
    if chosen not in FORMATS:
        raise ValueError(f"format={format!r}: allowed {', '.join(FORMATS)}")
    if chosen == "itch" and (faults is not None or packing is not None):
        raise ValueError("faults and packing need packets: format pcap or pcapng")
    names = file_names(target, chosen)
    report = tell or (lambda _done, _all: None)
    options = None if chosen == "itch" else _line_options(seed, faults, packing)
    with _opened_day(messages, symbols, seed, live) as day:
        if options is None:
            lines = _write_bare(day, target, report, messages)
        else:
            lines = _write_lines(day, names, chosen, options, report, messages)
        return _made(day, names, lines)


def format_of(path: str) -> str:
    """The format that an ending asks for: .pcap, .pcapng, else bare ITCH."""
    ending = Path(_split_compression(path)[0]).suffix
    return ending[1:] if ending in (".pcap", ".pcapng") else "itch"


def file_names(path: str, format: str) -> list[str]:
    """The files that a day goes to: for a pcap -A and -B stand before the ending."""
    if format != "pcap":
        return [path]
    stem, compression = _split_compression(path)
    root, ending = os.path.splitext(stem)  # noqa: PTH122 (pathlib would drop a leading ./)
    return [f"{root}-{line}{ending}{compression}" for line in LINES]


def _split_compression(path: str) -> tuple[str, str]:
    suffix = Path(path).suffix
    return (path[: -len(suffix)], suffix) if suffix in _COMPRESSIONS else (path, "")


def _compression(path: str) -> int:
    return _COMPRESSIONS.get(Path(path).suffix, int(lib.NUMI_COMPRESSION_NONE))


@contextmanager
def _opened_day(messages: int, symbols: int, seed: int, live: int) -> Iterator[CData]:
    wanted = {"messages": messages, "symbols": symbols, "seed": seed, "live": live}
    for name, value in wanted.items():
        if not 0 <= value < 2 ** (32 if name == "symbols" else 64):
            raise ValueError(f"{name}={value}: allowed whole numbers from 0 on")
    holder = ffi.new("struct numi_day **")
    checked(lib.numi_day_open(holder, ffi.new("struct numi_day_options *", wanted)))
    try:
        yield holder[0]
    finally:
        lib.numi_day_close(holder[0])


@contextmanager
def _closing(pointer: CData, close: Callable[[CData], int], path: str) -> Iterator[CData]:
    """Closes in any case, and removes a file that is not whole."""
    try:
        yield pointer
    except BaseException:
        close(pointer)
        _remove(path)
        raise
    try:
        checked(close(pointer))
    except BaseException:
        _remove(path)
        raise


def _remove(path: str) -> None:
    if Path(path).is_file():
        Path(path).unlink()


def _write_bare(day: CData, path: str, tell: Tell, messages: int) -> dict[str, dict[str, int]]:
    holder = ffi.new("struct numi_sink **")
    checked(lib.numi_sink_open(holder, path_bytes(path), _compression(path)))
    chunk = ffi.new("uint8_t[]", _CHUNK)
    with _closing(holder[0], lib.numi_sink_close, path) as sink:
        while size := checked(lib.numi_day_next(day, chunk, _CHUNK)):
            checked(lib.numi_sink_write(sink, chunk, size))
            tell(int(_counts(day).messages), messages)
    return {}


@contextmanager
def _writer(path: str, format: str) -> Iterator[CData]:
    kind = lib.NUMI_CAPTURE_PCAPNG if format == "pcapng" else lib.NUMI_CAPTURE_PCAP_NS
    holder = ffi.new("struct numi_capture_writer **")
    checked(lib.numi_capture_writer_open(holder, path_bytes(path), kind, _compression(path)))
    with _closing(holder[0], lib.numi_capture_writer_close, path) as writer:
        yield writer


def _write_lines(
    day: CData, names: Sequence[str], format: str, options: CData, tell: Tell, messages: int
) -> dict[str, dict[str, int]]:
    with _writer(names[0], format) as first:
        if len(names) == 1:
            return _run_lines(day, [first, first], options, tell, messages)
        with _writer(names[1], format) as second:
            return _run_lines(day, [first, second], options, tell, messages)


def _run_lines(
    day: CData, writers: Sequence[CData], options: CData, tell: Tell, messages: int
) -> dict[str, dict[str, int]]:
    interfaces = [
        checked(lib.numi_capture_writer_interface(writer, lib.NUMI_LINK_ETHERNET, line.encode(), ffi.NULL))
        for writer, line in zip(writers, LINES, strict=True)
    ]
    holder = ffi.new("struct numi_lines **")
    checked(lib.numi_lines_open(holder, options, day, writers[0], interfaces[0], writers[1], interfaces[1]))
    try:
        done = 0
        while step := checked(lib.numi_lines_step(holder[0])):
            done += step
            tell(done, messages)
        return {line: _line_counts(holder[0], number) for number, line in enumerate(LINES)}
    finally:
        lib.numi_lines_close(holder[0])


def _line_counts(lines: CData, number: int) -> dict[str, int]:
    counts = ffi.new("struct numi_lines_counts *")
    checked(lib.numi_lines_count(lines, number, counts))
    return {name: int(getattr(counts, name)) for name, _ in ffi.typeof("struct numi_lines_counts").fields}


def _line_options(seed: int, faults: LineFaults | None, packing: Packing | None) -> CData:
    from numi_bypass.reading import midnight_ns

    faults, packing = faults or LineFaults(), packing or Packing()
    options = ffi.new("struct numi_lines_options *")
    lib.numi_lines_defaults(options)
    options.seed = seed
    options.midnight_ns = midnight_ns(packing.day)
    options.skew_ns = faults.skew_ns
    options.heartbeat_ns = packing.heartbeat_ms * _MS
    options.mtu = packing.mtu
    options.displacement = faults.displacement
    options.both_loss = faults.both_loss
    for number in range(2):
        options.message_max[number] = packing.messages[number]
        options.loss[number] = _chance("loss", faults.loss, number)
        options.duplicate[number] = _chance("duplicates", faults.duplicates, number)
        options.reorder[number] = _chance("reorder", faults.reorder, number)
    _set_cuts(options, faults.cuts)
    checked(lib.numi_lines_check(options))
    return options


def _set_cuts(options: CData, cuts: Sequence[Cut]) -> None:
    if len(cuts) > CUTS_MAX:
        raise ValueError(f"{len(cuts)} cuts: allowed at most {CUTS_MAX}")
    options.cut_count = len(cuts)
    for place, cut in zip(options.cuts, cuts, strict=False):
        if cut.line not in LINES:
            raise ValueError(f"cut of line {cut.line!r}: allowed {', '.join(LINES)}")
        if cut.from_ms < 0 or cut.length_ms < 0:
            raise ValueError(f"{cut}: allowed times from 0 on")
        place.line = LINES.index(cut.line)
        place.from_ns = cut.from_ms * _MS
        place.to_ns = (cut.from_ms + cut.length_ms) * _MS


def _chance(name: str, pair: Pair, number: int) -> int:
    value = pair[number] if isinstance(pair, tuple) else pair
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: allowed 0 to 1")
    return round(value * int(lib.NUMI_LINES_SURE))


def _counts(day: CData) -> CData:
    counts = ffi.new("struct numi_day_counts *")
    lib.numi_day_count(day, counts)
    return counts


def _made(day: CData, names: Sequence[str], lines: dict[str, dict[str, int]]) -> MadeDay:
    counts = _counts(day)
    letters = [chr(lib.numi_itch_type_at(index).letter) for index in range(int(lib.NUMI_DAY_TYPE_COUNT))]
    return MadeDay(
        messages=int(counts.messages),
        symbols=int(counts.symbols),
        live=int(counts.live),
        live_peak=int(counts.live_peak),
        itch_bytes=int(counts.bytes),
        by_type=dict(zip(letters, map(int, counts.by_type), strict=True)),
        files={name: Path(name).stat().st_size for name in names if Path(name).is_file()},
        lines=lines,
    )
