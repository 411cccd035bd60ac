"""Files of traffic, read and written in one piece: pcap, pcapng and bare ITCH, plain or in gzip.

A file that ends within a record is not an error: what came before counts, and the place where the loss begins is
given. Bytes that contradict themselves are a CaptureError. Times are whole nanoseconds since 1970, rounded down where
the file's own unit is no multiple of one.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from numi_sim.model import itch

Order = Literal["little", "big"]

PCAP_MAGIC_MICRO, PCAP_MAGIC_NANO = 0xA1B2C3D4, 0xA1B23C4D
NG_MAGIC = 0x1A2B3C4D
SECTION, INTERFACE, OLD_PACKET, SIMPLE, NAMES, STATISTICS, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6
END_OF_OPTIONS, COMMENT, IF_NAME, IF_TSRESOL, IF_TSOFFSET = 0, 1, 2, 9, 14
COUNTERS = {4: "ifrecv", 5: "ifdrop", 6: "filteraccept", 7: "osdrop", 8: "usrdeliv"}
CAPTURED_MAX = 262144
BLOCK_MAX = 1 << 24
NS = 10**9


class CaptureError(ValueError):
    """Bytes that cannot be what they claim; `reason` is one word for the cause, `offset` the place in the file."""

    def __init__(self, reason: str, offset: int, detail: str = "") -> None:
        super().__init__(f"{reason} at offset {offset} {detail}".rstrip())
        self.reason = reason
        self.offset = offset


class Record(NamedTuple):
    """One captured packet; a simple packet block has no time. `interface` counts within its section."""

    ts_ns: int | None
    data: bytes
    original_length: int
    interface: int = 0
    link: int = 1


@dataclass
class Interface:
    """What a pcapng interface says of its packets."""

    link: int = 1
    snaplen: int = 0
    tsresol: int = 6
    tsoffset: int = 0
    name: bytes = b""

    @property
    def units_per_second(self) -> int:
        """How many units of its clock make a second: a power of 10, or of 2 if the high bit is set."""
        return 2 ** (self.tsresol & 0x7F) if self.tsresol & 0x80 else int(10**self.tsresol)

    def to_ns(self, units: int) -> int:
        """Nanoseconds since 1970 of a count of units."""
        return units * NS // self.units_per_second + self.tsoffset * NS

    def to_units(self, ts_ns: int) -> int:
        """The last count of units that is not after a time."""
        return (ts_ns - self.tsoffset * NS) * self.units_per_second // NS


class Statistics(NamedTuple):
    """Counters of one interface at one time."""

    interface: int
    ts_ns: int
    counters: dict[str, int]


@dataclass
class Capture:
    """A file's content, in the order of the file."""

    form: Literal["pcap", "pcapng"]
    records: list[Record] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    names: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    skipped: int = 0
    truncated_at: int | None = None


@dataclass
class ItchFile:
    """The messages of a bare file; `ends` counts the empty messages by which such files mark their end."""

    messages: list[bytes] = field(default_factory=list)
    ends: int = 0
    truncated_at: int | None = None


def sniff(data: bytes) -> Literal["gzip", "zstd", "pcap", "pcapng", "itch", "unknown"]:
    """What a file is, by its first bytes; a bare file by a first message of a known type and its right length."""
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if data[:4] == SECTION.to_bytes(4, "big"):
        return "pcapng"
    if _pcap_order(data) is not None:
        return "pcap"
    layout = itch.LAYOUTS.get(data[2:3])
    return "itch" if layout is not None and data[:2] == layout.length.to_bytes(2, "big") else "unknown"


def read(data: bytes) -> Capture:
    """A pcap or pcapng file, in gzip or not."""
    if sniff(data) == "gzip":
        data, _ = gunzip(data)
    form = sniff(data)
    if form == "pcap":
        return read_pcap(data)
    if form == "pcapng":
        return read_pcapng(data)
    raise CaptureError("unknown_format", 0)


# --- gzip


def compress(data: bytes) -> bytes:
    """One gzip member, the same bytes for the same data."""
    return gzip.compress(data, mtime=0)


def gunzip(data: bytes) -> tuple[bytes, bool]:
    """What the members hold, and whether the last of them was whole. Zeros may follow a member."""
    out = b""
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            out += stream.decompress(data)
        except zlib.error as error:
            raise CaptureError("bad_gzip", len(out), str(error)) from error
        if not stream.eof:
            return out, False
        data = stream.unused_data.lstrip(b"\0")
    return out, True


# --- bare ITCH


def write_itch(messages: Iterable[bytes], *, end: bool = False) -> bytes:
    """Each message after its length in two bytes, big-endian; `end` adds the empty message that says it is all."""
    body = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    return body + bytes(2 if end else 0)


def read_itch(data: bytes) -> ItchFile:
    """The messages of a bare file, undecoded."""
    file = ItchFile()
    at = 0
    while at < len(data):
        message = data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "big")]
        if len(data) - at < 2 or len(message) < int.from_bytes(data[at : at + 2], "big"):
            file.truncated_at = at
            break
        if message:
            file.messages.append(message)
        else:
            file.ends += 1
        at += 2 + len(message)
    return file


# --- pcap


def write_pcap(
    records: Iterable[tuple[int, bytes]],
    *,
    nano: bool = True,
    order: Order = "little",
    link: int = 1,
    snaplen: int = CAPTURED_MAX,
) -> bytes:
    """A file of (time in ns, packet) pairs; packets longer than `snaplen` are cut."""
    magic = PCAP_MAGIC_NANO if nano else PCAP_MAGIC_MICRO
    out = [_u32(magic, order), _u16(2, order), _u16(4, order), bytes(8), _u32(snaplen, order), _u32(link, order)]
    for ts_ns, data in records:
        fraction = ts_ns % NS // (1 if nano else 1000)
        kept = data[:snaplen]
        out += [_u32(value, order) for value in (ts_ns // NS, fraction, len(kept), len(data))]
        out.append(kept)
    return b"".join(out)


def read_pcap(data: bytes) -> Capture:
    """A pcap file of either unit and byte order. Only the low 16 bits of the link field are the link type."""
    order = _pcap_order(data)
    if order is None:
        raise CaptureError("bad_magic", 0)
    capture = Capture("pcap")
    if len(data) < 24:
        capture.truncated_at = 0
        return capture
    if _int(data, 4, 2, order) != 2:
        raise CaptureError("bad_version", 4)
    unit = 1 if _int(data, 0, 4, order) == PCAP_MAGIC_NANO else 1000
    link = _int(data, 20, 4, order) & 0xFFFF
    at = 24
    while at < len(data):
        seconds, fraction, captured, original = (_int(data, at + offset, 4, order) for offset in (0, 4, 8, 12))
        if len(data) - at >= 16 and captured > CAPTURED_MAX:
            raise CaptureError("bad_length", at, f"a packet of {captured} bytes")
        if len(data) - at < 16 + captured:
            capture.truncated_at = at
            break
        packet = data[at + 16 : at + 16 + captured]
        capture.records.append(Record(seconds * NS + fraction * unit, packet, original, 0, link))
        at += 16 + captured
    return capture


def _pcap_order(data: bytes) -> Order | None:
    magics = (PCAP_MAGIC_MICRO, PCAP_MAGIC_NANO)
    if _int(data, 0, 4, "little") in magics:
        return "little"
    return "big" if _int(data, 0, 4, "big") in magics else None


# --- pcapng, written


@dataclass
class NgWriter:
    """Builds a pcapng file block by block; what is wrong can be built too, with `block`."""

    order: Order = "little"
    out: bytes = b""
    interfaces: list[Interface] = field(default_factory=list)

    def block(self, kind: int, body: bytes) -> None:
        """Any block: the body is padded to words of 4 bytes, the length stands before and after it."""
        body = _pad(body)
        length = _u32(len(body) + 12, self.order)
        self.out += _u32(kind, self.order) + length + body + length

    def options(self, *pairs: tuple[int, bytes]) -> bytes:
        """A list of options with its end; nothing at all for no options."""
        if not pairs:
            return b""
        rows = (*pairs, (END_OF_OPTIONS, b""))
        return b"".join(_u16(code, self.order) + _u16(len(value), self.order) + _pad(value) for code, value in rows)

    def section(self, *comments: bytes, minor: int = 0) -> None:
        """A new section; interfaces are counted afresh."""
        self.interfaces = []
        head = _u32(NG_MAGIC, self.order) + _u16(1, self.order) + _u16(minor, self.order) + b"\xff" * 8
        self.block(SECTION, head + self.options(*((COMMENT, text) for text in comments)))

    def interface(self, interface: Interface, *comments: bytes) -> int:
        """A new interface; its number is what packets name it by."""
        options = [(COMMENT, text) for text in comments]
        if interface.name:
            options.append((IF_NAME, interface.name))
        if interface.tsresol != 6:
            options.append((IF_TSRESOL, bytes([interface.tsresol])))
        if interface.tsoffset:
            options.append((IF_TSOFFSET, interface.tsoffset.to_bytes(8, self.order, signed=True)))
        head = _u16(interface.link, self.order) + _u16(0, self.order) + _u32(interface.snaplen, self.order)
        self.block(INTERFACE, head + self.options(*options))
        self.interfaces.append(interface)
        return len(self.interfaces) - 1

    def packet(self, interface: int, ts_ns: int, data: bytes, *comments: bytes) -> None:
        """An enhanced packet block, cut at the interface's snap length."""
        kept = self._cut(interface, data)
        head = _u32(interface, self.order) + self._time(interface, ts_ns)
        lengths = _u32(len(kept), self.order) + _u32(len(data), self.order)
        options = self.options(*((COMMENT, text) for text in comments))
        self.block(ENHANCED, head + lengths + _pad(kept) + options)

    def simple(self, data: bytes) -> None:
        """A simple packet block: always of the first interface, without a time."""
        self.block(SIMPLE, _u32(len(data), self.order) + self._cut(0, data))

    def old_packet(self, interface: int, ts_ns: int, data: bytes, drops: int = 0xFFFF) -> None:
        """The packet block that newer files no longer have."""
        kept = self._cut(interface, data)
        head = _u16(interface, self.order) + _u16(drops, self.order) + self._time(interface, ts_ns)
        self.block(OLD_PACKET, head + _u32(len(kept), self.order) + _u32(len(data), self.order) + kept)

    def statistics(self, interface: int, ts_ns: int, counters: dict[str, int]) -> None:
        """An interface statistics block."""
        codes = {name: code for code, name in COUNTERS.items()}
        options = self.options(*((codes[name], value.to_bytes(8, self.order)) for name, value in counters.items()))
        self.block(STATISTICS, _u32(interface, self.order) + self._time(interface, ts_ns) + options)

    def names(self, entries: Sequence[tuple[bytes, list[bytes]]]) -> None:
        """A name resolution block: addresses of 4 or 16 bytes, each with its names."""
        body = b""
        for address, names in entries:
            value = address + b"".join(name + b"\0" for name in names)
            body += _u16(1 if len(address) == 4 else 2, self.order) + _u16(len(value), self.order) + _pad(value)
        self.block(NAMES, body + bytes(4))

    def _cut(self, interface: int, data: bytes) -> bytes:
        return data[: self.interfaces[interface].snaplen or len(data)]

    def _time(self, interface: int, ts_ns: int) -> bytes:
        units = self.interfaces[interface].to_units(ts_ns)
        return _u32(units >> 32, self.order) + _u32(units & 0xFFFFFFFF, self.order)


# --- pcapng, read


class _Block(NamedTuple):
    kind: int
    body: bytes
    order: Order
    offset: int

    def number(self, at: int, length: int = 4) -> int:
        if len(self.body) < at + length:
            raise CaptureError("bad_length", self.offset, "a block too short for its fields")
        return _int(self.body, at, length, self.order)


def read_pcapng(data: bytes) -> Capture:
    """A pcapng file: any number of sections, interfaces and byte orders; unknown blocks are counted and passed."""
    capture = Capture("pcapng")
    first = 0  # the index of the section's first interface
    for block in _blocks(data, capture):
        if block.kind == SECTION:
            first = len(capture.interfaces)
            capture.comments += _comments(block, 16)
        elif block.kind == INTERFACE:
            _read_interface(block, capture)
        elif block.kind in (ENHANCED, OLD_PACKET, SIMPLE):
            _read_packet(block, capture, first)
        elif block.kind == STATISTICS:
            _read_statistics(block, capture, first)
        elif block.kind == NAMES:
            _read_names(block, capture)
        else:
            capture.skipped += 1
    return capture


def _blocks(data: bytes, capture: Capture) -> Iterator[_Block]:
    order: Order | None = None
    at = 0
    while at < len(data):
        if data[at : at + 4] == SECTION.to_bytes(4, "big") and len(data) - at >= 12:
            order = _section_order(data, at)
        if len(data) - at < 12:
            capture.truncated_at = at
            return
        if order is None:
            raise CaptureError("bad_magic", at)
        length = _int(data, at + 4, 4, order)
        if length < 12 or length % 4 or length > BLOCK_MAX:
            raise CaptureError("bad_length", at, f"a block of {length} bytes")
        if len(data) - at < length:
            capture.truncated_at = at
            return
        if _int(data, at + length - 4, 4, order) != length:
            raise CaptureError("bad_length", at, "a block whose two lengths differ")
        block = _Block(_int(data, at, 4, order), data[at + 8 : at + length - 4], order, at)
        if block.kind == SECTION and (block.number(4, 2) != 1 or block.number(6, 2) not in (0, 2)):
            raise CaptureError("bad_version", at)
        yield block
        at += length


def _section_order(data: bytes, at: int) -> Order:
    if _int(data, at + 8, 4, "little") == NG_MAGIC:
        return "little"
    if _int(data, at + 8, 4, "big") == NG_MAGIC:
        return "big"
    raise CaptureError("bad_magic", at)


def _read_interface(block: _Block, capture: Capture) -> None:
    interface = Interface(block.number(0, 2), block.number(4), 6, 0)
    for code, value in _options(block, 8, strict=True):
        if (code == IF_TSRESOL and len(value) != 1) or (code == IF_TSOFFSET and len(value) != 8):
            raise CaptureError("bad_option", block.offset, f"option {code} of {len(value)} bytes")
        if code == IF_TSRESOL:
            interface.tsresol = value[0]
        elif code == IF_TSOFFSET:
            interface.tsoffset = int.from_bytes(value, block.order, signed=True)
        elif code == IF_NAME:
            interface.name = value
        elif code == COMMENT:
            capture.comments.append(value)
    capture.interfaces.append(interface)


def _read_packet(block: _Block, capture: Capture, first: int) -> None:
    if block.kind == SIMPLE:
        number, ts, at, original = 0, None, 4, block.number(0)
    else:
        number = block.number(0, 4 if block.kind == ENHANCED else 2)
        ts, at, original = block.number(4) << 32 | block.number(8), 20, block.number(16)
    interface = _interface(block, capture, first, number)
    captured = min(original, interface.snaplen or original) if ts is None else block.number(12)
    if captured > CAPTURED_MAX or captured > len(block.body) - at:
        raise CaptureError("bad_length", block.offset, f"a packet of {captured} bytes")
    ts_ns = None if ts is None else interface.to_ns(ts)
    capture.records.append(Record(ts_ns, block.body[at : at + captured], original, number, interface.link))
    if ts is not None:
        capture.comments += _comments(block, at + captured + -captured % 4)


def _read_statistics(block: _Block, capture: Capture, first: int) -> None:
    number = block.number(0)
    interface = _interface(block, capture, first, number)
    ts_ns = interface.to_ns(block.number(4) << 32 | block.number(8))
    known = [(code, value) for code, value in _options(block, 12) if code in COUNTERS and len(value) == 8]
    counters = {COUNTERS[code]: int.from_bytes(value, block.order) for code, value in known}
    capture.statistics.append(Statistics(number, ts_ns, counters))
    capture.comments += _comments(block, 12)


def _read_names(block: _Block, capture: Capture) -> None:
    at = 0
    while len(block.body) - at >= 4:
        kind, length = block.number(at, 2), block.number(at + 2, 2)
        value = block.body[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
        if kind == 0:
            break
        size = {1: 4, 2: 16}.get(kind)
        if size is not None and len(value) == length:
            capture.names.append((value[:size], value[size:].split(b"\0")[:-1]))
    capture.comments += _comments(block, at)


def _interface(block: _Block, capture: Capture, first: int, number: int) -> Interface:
    if first + number >= len(capture.interfaces):
        raise CaptureError("bad_interface", block.offset, f"interface {number} was never described")
    return capture.interfaces[first + number]


def _comments(block: _Block, at: int) -> list[bytes]:
    return [value for code, value in _options(block, at) if code == COMMENT]


def _options(block: _Block, at: int, *, strict: bool = False) -> list[tuple[int, bytes]]:
    """The options from `at` on. A list that runs over its block ends there, where it decides nothing."""
    options = []
    while len(block.body) - at >= 4:
        code, length = block.number(at, 2), block.number(at + 2, 2)
        if code == END_OF_OPTIONS:
            break
        if len(block.body) - at - 4 < length:
            if strict:
                raise CaptureError("bad_option", block.offset, f"option {code} of {length} bytes")
            break
        options.append((code, block.body[at + 4 : at + 4 + length]))
        at += 4 + length + -length % 4
    return options


def _int(data: bytes, at: int, length: int, order: Order) -> int:
    return int.from_bytes(data[at : at + length], order)


def _u16(value: int, order: Order) -> bytes:
    return value.to_bytes(2, order)


def _u32(value: int, order: Order) -> bytes:
    return value.to_bytes(4, order)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
