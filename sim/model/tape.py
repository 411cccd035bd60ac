"""Tapes in one piece: the files of a tape's folder as bytes, and the records in them.

A file that ends within a block is torn there, and so is one that ends in zeros: what came before counts. Bytes that
contradict themselves are a TapeError with the place; the records of the blocks before it are in `read`.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

BLOCK = struct.Struct(
    "<IHHIIQQI"
)  # magic, version, flags, size, count, serial, record, CRC of the records; then its own
BLOCK_SIZE = BLOCK.size + 4
BLOCK_MAX = 1 << 20
MAGIC = 0x5041544E
VERSION = 1
HEAD = struct.Struct("<IBBH")  # size, kind, line, port
BEGIN_BODY = struct.Struct("<QQII")
FRAME_BODY = struct.Struct("<qqIBBHIB3s")
STEP_BODY = struct.Struct("<qII")
COUNTERS_BODY = struct.Struct("<q")
ROW = struct.Struct("<24sQ")
FIT = struct.Struct("<IIQqQQIIiIII")
LOST_BODY = struct.Struct("<QQQQ")
BEGIN, FRAME, STEP, COUNTERS, CLOCK, LOST, END = range(1, 8)
DOMAIN_COUNT = 9


class Begin(NamedTuple):
    """Of a segment."""

    identity: int
    segment: int
    flags: int
    config: bytes


class Frame(NamedTuple):
    """What came in, and when."""

    line: int
    port: int
    rx_ns: int
    error_ns: int
    source: int
    domain: int
    taken_ns: int
    wire_size: int
    flags: int
    headers: bytes
    payload: bytes


class Step(NamedTuple):
    """What a step was called with, and what it returned."""

    now_ns: int
    budget: int
    returned: int


class Counters(NamedTuple):
    """Names without the zeros behind them, and values."""

    port: int
    now_ns: int
    rows: tuple[tuple[bytes, int], ...]


class Clock(NamedTuple):
    """Each fit a domain, a reserved number, and the fields of struct numi_clock_fit."""

    fits: tuple[tuple[int, ...], ...]


class Lost(NamedTuple):
    """How many had no room."""

    frames: int
    frame_bytes: int
    steps: int
    others: int


class End(NamedTuple):
    """The recorder was closed."""


class Missing(NamedTuple):
    """Not on the tape: what the reader says of files that are not there any more."""

    records: int


Record = Begin | Frame | Step | Counters | Clock | Lost | End | Missing


class TapeError(ValueError):
    """Bytes that cannot be what they claim; `file` is the number in the list, `offset` the place in it."""

    def __init__(self, reason: str, offset: int, file: int = 0) -> None:
        super().__init__(f"{reason} in file {file} at offset {offset}")
        self.reason = reason
        self.offset = offset
        self.file = file


@dataclass
class Read:
    """What could be read; `torn` is the offset in the last file and what there is behind it."""

    records: list[Record] = field(default_factory=list)
    torn: tuple[int, int] | None = None
    error: TapeError | None = None


@lru_cache(1 << 12)
def crc32c(data: bytes) -> int:
    """Bit by bit, by a table of what each byte does."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = [_row(byte) for byte in range(256)]


# --- bytes of records


def _encode(kind: int, body: bytes, line: int = 0, port: int = 0) -> bytes:
    data = HEAD.pack(HEAD.size + len(body), kind, line, port) + body
    return data + bytes(-len(data) % 8)


def encode(record: Record) -> bytes:
    """One record, with the zeros behind it."""
    match record:
        case Begin(identity, segment, flags, config):
            return _encode(BEGIN, BEGIN_BODY.pack(identity, segment, flags, 0) + config)
        case Frame():
            body = FRAME_BODY.pack(
                record.rx_ns,
                record.taken_ns,
                record.error_ns,
                record.source,
                record.domain,
                len(record.headers),
                record.wire_size,
                record.flags,
                bytes(3),
            )
            return _encode(FRAME, body + record.headers + record.payload, record.line, record.port)
        case Step():
            return _encode(STEP, STEP_BODY.pack(*record))
        case Counters(port, now_ns, rows):
            return _encode(COUNTERS, COUNTERS_BODY.pack(now_ns) + b"".join(ROW.pack(*row) for row in rows), port=port)
        case Clock(fits):
            return _encode(CLOCK, b"".join(FIT.pack(*fit) for fit in fits))
        case Lost():
            return _encode(LOST, LOST_BODY.pack(*record))
        case End():
            return _encode(END, b"")
        case Missing():
            raise ValueError("a missing record is not on a tape")


def decode(data: bytes) -> Record | None:
    """The record that these bytes, without the zeros behind it, are; None if they are none."""
    _, kind, line, port = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if kind == BEGIN and len(body) >= BEGIN_BODY.size:
        identity, segment, flags, _ = BEGIN_BODY.unpack_from(body)
        return Begin(identity, segment, flags, body[BEGIN_BODY.size :])
    if kind == FRAME and len(body) >= FRAME_BODY.size:
        return _frame(line, port, body)
    if kind == STEP and len(body) == STEP_BODY.size:
        return Step(*STEP_BODY.unpack(body))
    if kind == COUNTERS and len(body) >= 8 and (len(body) - 8) % ROW.size == 0:
        rows = [(name, value) for name, value in ROW.iter_unpack(body[8:])]
        named = all(b"\0" in name for name, _ in rows)
        now_ns = COUNTERS_BODY.unpack_from(body)[0]
        return Counters(port, now_ns, tuple((n.split(b"\0")[0], v) for n, v in rows)) if named else None
    if kind == CLOCK and len(body) % FIT.size == 0:
        fits = tuple(FIT.iter_unpack(body))
        return Clock(fits) if all(fit[0] < DOMAIN_COUNT and fit[4] > 0 for fit in fits) else None
    if kind == LOST and len(body) == LOST_BODY.size:
        return Lost(*LOST_BODY.unpack(body))
    return End() if kind == END and not body else None


def _frame(line: int, port: int, body: bytes) -> Frame | None:
    rx_ns, taken_ns, error_ns, source, domain, header_size, wire_size, flags, _ = FRAME_BODY.unpack_from(body)
    content = body[FRAME_BODY.size :]
    if header_size > len(content):
        return None
    headers, payload = content[:header_size], content[header_size:]
    return Frame(line, port, rx_ns, error_ns, source, domain, taken_ns, wire_size, flags, headers, payload)


# --- bytes of blocks


def block(serial: int, record: int, records: Iterable[Record]) -> bytes:
    """A block of these records."""
    parts = [encode(each) for each in records]
    body = b"".join(parts)
    head = BLOCK.pack(MAGIC, VERSION, 0, len(body), len(parts), serial, record, crc32c(body))
    return head + crc32c(head).to_bytes(4, "little") + body


def write(segments: Sequence[Sequence[Sequence[Record]]], serial: int = 0, record: int = 0) -> list[bytes]:
    """The files of a tape: for each segment its blocks, for each block its records, the first of all a begin."""
    files = []
    for blocks in segments:
        data = b""
        for number, records in enumerate(blocks):
            data += block(serial, record, records)
            serial += 1
            record += len(records) if number > 0 else 0
        files.append(data)
    return files


# --- reading


def read(files: Sequence[bytes], numbers: Sequence[int] | None = None) -> Read:
    """All that the files of a folder hold, in the order of their numbers."""
    got = Read()
    try:
        _read_into(got, files, numbers)
    except TapeError as error:
        got.error = error
    return got


def _read_into(got: Read, files: Sequence[bytes], numbers: Sequence[int] | None) -> None:
    expected: tuple[int, int] | None = None
    for number, data in enumerate(files):
        at = 0
        while at < len(data):
            end, (count, serial, record) = _block_at(data, at, number)
            if end is None:
                if number < len(files) - 1:
                    raise TapeError("torn, but there is a later segment", at, number)
                got.torn = (at, len(data) - at)
                return
            missing = _missing(expected, (serial, record), at, number)
            records = list(_records(data[at + BLOCK_SIZE : end], at + BLOCK_SIZE, number, at == 0))
            if len(records) != count:
                raise TapeError("another count", at, number)
            _check_begin(got, records[0], None if numbers is None else numbers[number], number)
            got.records += [Missing(missing)] if missing else []
            got.records += records
            expected = (serial + 1, record + (count if at > 0 else 0))
            at = end


def _missing(expected: tuple[int, int] | None, found: tuple[int, int], at: int, number: int) -> int:
    """How many records lie between what should come and what comes."""
    if expected is None or found == expected:
        return 0
    if at > 0 or found[0] <= expected[0] or found[1] < expected[1]:
        raise TapeError("out of order", at, number)
    return found[1] - expected[1]


def _check_begin(got: Read, first: Record, segment: int | None, number: int) -> None:
    if not isinstance(first, Begin):
        return
    begun = got.records[0] if got.records else first
    if segment is not None and first.segment != segment:
        raise TapeError("another segment", BLOCK_SIZE, number)
    if isinstance(begun, Begin) and first.identity != begun.identity:
        raise TapeError("another tape", BLOCK_SIZE, number)


def _block_at(data: bytes, at: int, number: int) -> tuple[int | None, tuple[int, int, int]]:
    """Where the block ends, None if it is torn; and what its head says."""
    head = data[at : at + BLOCK_SIZE]
    none = (0, 0, 0)
    if not any(data[at:]):
        return None, none
    if len(head) < BLOCK_SIZE:
        magic = MAGIC.to_bytes(4, "little")
        if head[:4] == magic[: len(head)]:
            return None, none
        raise TapeError("no block", at, number)
    magic_, version, flags, size, count, serial, record, records_crc = BLOCK.unpack_from(head)
    if magic_ == MAGIC and version != VERSION:
        raise TapeError("version", at, number)
    right = magic_ == MAGIC and int.from_bytes(head[-4:], "little") == crc32c(head[:-4])
    right = right and flags == 0 and count > 0 and size % 8 == 0 and size <= BLOCK_MAX
    if not right or max(serial, record) >= (2**64 - 1) // 2:
        raise TapeError("no block", at, number)
    end = at + BLOCK_SIZE + size
    if end > len(data):
        return None, none
    if crc32c(data[at + BLOCK_SIZE : end]) != records_crc:
        raise TapeError("checksum", at, number)
    return end, (count, serial, record)


def _records(data: bytes, offset: int, number: int, is_begin: bool) -> Iterator[Record]:
    at = 0
    while at < len(data):
        size = HEAD.unpack_from(data, at)[0]
        fits = HEAD.size <= size <= len(data) - at
        record = decode(data[at : at + size]) if fits else None
        if record is None or isinstance(record, Begin) != (is_begin and at == 0):
            raise TapeError("no record", offset + at, number)
        yield record
        at += -(-size // 8) * 8
