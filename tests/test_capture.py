"""The capture reader of the core against the naive one, record by record: files as they should be, and bent ones."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numi_bypass._ffi import ffi, lib, text
from numi_sim.model import capture, itch
from tests import strategies_wire as wire

on_files = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
COUNTERS = {"ifrecv": "received", "ifdrop": "dropped", "filteraccept": "accepted"}
COUNTERS |= {"osdrop": "os_dropped", "usrdeliv": "delivered"}
MUTATIONS = int(os.environ.get("NUMI_MUTATIONS", "4000"))


@dataclass
class Read:
    """All that the core says of a file."""

    code: int
    detail: str = ""
    form: str = ""
    records: list[tuple[int | None, bytes, int, int, int]] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    interfaces: list[Any] = field(default_factory=list)
    counts: Any = None

    @property
    def truncated_at(self) -> int | None:
        return self.counts.truncated_offset if self.counts.truncated else None


def detail_of(code: int) -> str:
    return text(lib.numi_error_detail()) if code < 0 else ""


def interface_of(handle: Any, index: int) -> Any:
    interface = ffi.new("struct numi_capture_interface *")
    assert lib.numi_capture_interface(handle, index, interface) == 0
    return interface


def comments_of(handle: Any) -> Iterator[bytes]:
    size, index = ffi.new("uint32_t *"), 0
    while (words := lib.numi_capture_comment(handle, index, size)) != ffi.NULL:
        yield bytes(ffi.buffer(words, size[0]))
        index += 1


def record_of(handle: Any, packet: Any) -> tuple[int | None, bytes, int, int, int]:
    number = interface_of(handle, packet.interface_index).number
    data = bytes(ffi.buffer(packet.data, packet.size))
    return packet.ns if packet.has_time else None, data, packet.wire_size, number, packet.link


def read_by_core(path: Path) -> Read:
    out = ffi.new("struct numi_capture **")
    code = lib.numi_capture_open(out, os.fsencode(path))
    if code < 0:
        return Read(code, detail_of(code))
    handle = out[0]
    try:
        form = text(lib.numi_capture_format_name(lib.numi_capture_format(handle)))
        got = Read(0, form=form)
        packet = ffi.new("struct numi_capture_packet *")
        while (code := lib.numi_capture_next(handle, packet)) == 1:
            got.comments += comments_of(handle)
            got.records.append(record_of(handle, packet))
        got.code, got.detail = code, detail_of(code)
        got.comments += comments_of(handle)
        got.interfaces = [interface_of(handle, i) for i in range(lib.numi_capture_interface_count(handle))]
        got.counts = ffi.new("struct numi_capture_counts *", lib.numi_capture_counts(handle)[0])
        return got
    finally:
        lib.numi_capture_close(handle)


def fits(ns: int | None) -> int | None:
    """A time as the core has it: one that 64 bits do not hold is none."""
    return ns if ns is not None and -(2**63) <= ns < 2**63 else None


def compare_interfaces(got: Read, model: capture.Capture) -> None:
    for interface, expected in zip(got.interfaces, model.interfaces, strict=True):
        described = (interface.link, interface.snap_size, interface.resolution, interface.offset_s)
        assert described == (expected.link, expected.snaplen, expected.tsresol, expected.tsoffset)
        assert ffi.string(interface.name) == expected.name[: lib.NUMI_CAPTURE_NAME_ROOM - 1].split(b"\0")[0]


def compare_capture(got: Read, model: capture.Capture) -> None:
    assert got.form.startswith("pcapng" if model.form == "pcapng" else "pcap")
    assert got.records == [(fits(ts_ns), *rest) for ts_ns, *rest in model.records]
    assert got.comments == model.comments
    assert got.truncated_at == model.truncated_at
    assert got.counts.packets == len(model.records)
    assert got.counts.cut == sum(len(record.data) < record.original_length for record in model.records)
    counted = (got.counts.unknown_blocks, got.counts.names, got.counts.statistics)
    assert counted == (model.skipped, len(model.names), len(model.statistics))
    if model.form == "pcapng":
        compare_interfaces(got, model)


def compare_bare(got: Read, data: bytes, model: capture.ItchFile) -> None:
    whole = data if model.truncated_at is None else data[: model.truncated_at]
    assert b"".join(record[1] for record in got.records) == whole
    counted = (got.counts.messages, got.counts.end_marks, got.truncated_at)
    assert counted == (len(model.messages), model.ends, model.truncated_at)


def read_by_model(plain: bytes) -> capture.Capture | capture.ItchFile:
    return capture.read_itch(plain) if capture.sniff(plain) == "itch" else capture.read(plain)


def compare_refusal(got: Read, error: capture.CaptureError) -> str:
    assert got.code == lib.NUMI_ERR_CORRUPT, error
    # How far a damaged member was expanded is the library's own affair.
    assert error.reason == "bad_gzip" or f"(offset {error.offset})" in got.detail, (error, got.detail)
    return error.reason


def compare(path: Path, data: bytes) -> str:
    """Both read the file and must agree; returns what it was: a reason, a format, cut or torn."""
    path.write_bytes(data)
    got = read_by_core(path)
    try:
        plain, whole = capture.gunzip(data) if capture.sniff(data) == "gzip" else (data, True)
        if plain is not data and capture.sniff(plain) == "gzip":
            raise capture.CaptureError("unknown_format", 0, "gzip within gzip")
        model = read_by_model(plain)
    except capture.CaptureError as error:
        return compare_refusal(got, error)
    assert got.code == 0, got.detail
    assert got.counts.torn == (not whole)
    if isinstance(model, capture.ItchFile):
        compare_bare(got, plain, model)
    else:
        compare_capture(got, model)
    return "torn" if not whole else "cut" if model.truncated_at is not None else capture.sniff(plain)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture"


PACKETS = st.lists(st.tuples(wire.times_ns(), st.binary(max_size=60)), min_size=1, max_size=8)


@on_files
@given(
    PACKETS, st.booleans(), st.sampled_from(["little", "big"]), st.sampled_from([1, 101]), st.integers(0, 70), st.data()
)
def test_pcap_agrees_whole_cut_and_in_gzip(
    path: Path,
    pairs: list[tuple[int, bytes]],
    nano: bool,
    order: capture.Order,
    link: int,
    snaplen: int,
    draw: st.DataObject,
) -> None:
    data = capture.write_pcap(pairs, nano=nano, order=order, link=link, snaplen=snaplen)
    compare(path, data)
    compare(path, data[: draw.draw(st.integers(4, len(data)))])
    zipped = capture.compress(data)
    compare(path, zipped[: draw.draw(st.integers(2, len(zipped)))] if draw.draw(st.booleans()) else zipped)


@on_files
@given(st.lists(wire.encoded_messages(), min_size=1, max_size=10), st.booleans(), st.data())
def test_bare_files_agree_whole_and_cut(path: Path, messages: list[bytes], end: bool, draw: st.DataObject) -> None:
    data = capture.write_itch(messages, end=end)
    assert compare(path, data) == "itch"
    compare(path, data[: draw.draw(st.integers(3, len(data)))])


COMMENTS = st.lists(st.binary(max_size=12), max_size=2)
INTERFACES = st.builds(
    capture.Interface,
    st.sampled_from([1, 101, 113]),
    st.sampled_from([0, 20, 262144]),
    st.sampled_from([0, 3, 6, 9, 12, 0x80, 0x8A, 0x94]),
    st.integers(-(2**31), 2**31),
    st.binary(max_size=80).map(lambda name: name.replace(b"\0", b"x")),
)
Step = Callable[[capture.NgWriter], object]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """One more block of a section that has an interface or more."""
    kind = draw(st.sampled_from(["packet", "simple", "old", "statistics", "names", "unknown", "interface"]))
    data, comments, ns = draw(st.binary(max_size=50)), draw(COMMENTS), draw(wire.times_ns())
    number = draw(st.integers(0, 5))
    counters = draw(st.dictionaries(st.sampled_from(sorted(COUNTERS)), wire.unsigned(8), max_size=5))
    interface = draw(INTERFACES)

    def step(writer: capture.NgWriter) -> object:
        at = number % len(writer.interfaces)
        return {
            "packet": lambda: writer.packet(at, ns, data, *comments),
            "simple": lambda: writer.simple(data),
            "old": lambda: writer.old_packet(at, ns, data),
            "statistics": lambda: writer.statistics(at, ns, counters),
            "names": lambda: writer.names([(data[:4].ljust(4, b"\1"), [b"one", b"two"])]),
            "unknown": lambda: writer.block(0x0BAD, data),
            "interface": lambda: writer.interface(interface, *comments),
        }[kind]()

    return step


SECTIONS = st.tuples(st.sampled_from(["little", "big"]), COMMENTS, INTERFACES, st.lists(steps(), max_size=8))


def pcapng(sections: list[tuple[capture.Order, list[bytes], capture.Interface, list[Step]]]) -> bytes:
    out = b""
    for order, comments, interface, blocks in sections:
        writer = capture.NgWriter(order)
        writer.section(*comments)
        writer.interface(interface)
        for block in blocks:
            block(writer)
        out += writer.out
    return out


def can_be_written(sections: list[tuple[capture.Order, list[bytes], capture.Interface, list[Step]]]) -> bytes:
    """The file, or nothing where a time has no place in an interface's unsigned 64 bits."""
    try:
        return pcapng(sections)
    except OverflowError:
        return b""


@on_files
@given(st.lists(SECTIONS, min_size=1, max_size=3).map(can_be_written).filter(bool), st.data())
def test_pcapng_agrees_whole_cut_and_bent(path: Path, data: bytes, draw: st.DataObject) -> None:
    assert compare(path, data) == "pcapng"
    compare(path, data[: draw.draw(st.integers(4, len(data)))])
    bent = bytearray(data)
    bent[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    compare(path, bytes(bent))


def test_each_counter_is_kept_as_it_was_given_last(path: Path) -> None:
    writer = capture.NgWriter()
    writer.section()
    for name in (b"A", b"B"):
        writer.interface(capture.Interface(name=name, tsresol=9))
    every = {name: 2**64 - 1 - index for index, name in enumerate(COUNTERS)}
    writer.statistics(1, 10, every)
    writer.statistics(1, 30, {"ifdrop": 7})
    path.write_bytes(writer.out)
    first, second = (interface.statistics for interface in read_by_core(path).interfaces)
    assert (first.present, first.has_time, first.dropped) == (0, 0, 0)
    assert (second.present, second.has_time, second.ns) == (0b11111, 1, 30)
    expected = every | {"ifdrop": 7}
    assert {name: getattr(second, row) for name, row in COUNTERS.items()} == expected


def sample_messages(rng: random.Random) -> list[bytes]:
    return [letter + rng.randbytes(layout.length - 1) for letter, layout in itch.LAYOUTS.items()]


def samples(rng: random.Random) -> list[bytes]:
    """A small file of each form, plain and in gzip."""
    timed = [(10**18 + 7 * index, rng.randbytes(rng.randrange(40))) for index in range(4)]
    files = [capture.write_itch(sample_messages(rng)[:4], end=True)]
    for order in ("little", "big"):
        files += [capture.write_pcap(timed, nano=nano, order=order) for nano in (True, False)]
        writer = capture.NgWriter(order)
        for comment in (b"first", b"second"):
            writer.section(comment)
            writer.interface(capture.Interface(name=b"A", tsresol=9, snaplen=30), b"an interface")
            writer.interface(capture.Interface(101, tsresol=0x8A, tsoffset=-5))
            for index, (ns, data) in enumerate(timed):
                writer.packet(index % 2, ns, data, b"a packet")
            writer.simple(timed[0][1])
            writer.old_packet(1, 10**18, timed[1][1])
            writer.names([(b"\x0a\0\0\1", [b"one"]), (bytes(16), [b"two", b"three"])])
            writer.statistics(0, 10**18, dict.fromkeys(COUNTERS, 9))
            writer.block(0x0BAD, b"unknown")
        files.append(bytes(writer.out))
    return files + [capture.compress(data) for data in files]


def mutate(rng: random.Random, data: bytes) -> bytes:
    bent = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, other = rng.randrange(len(bent)), rng.randrange(len(bent))
        match rng.randrange(5):
            case 0:
                bent[at] ^= 1 << rng.randrange(8)
            case 1:
                bent[at] = rng.choice([0, 1, 2, 4, 9, 0x80, 0xFF])
            case 2:
                del bent[max(at, 4) :]
            case 3:
                bent[at : at + 4] = bent[other : other + 4]
            case 4:
                bent[at:at] = bent[other : other + rng.randrange(1, 40)]
    return bytes(bent)


def is_zstd(data: bytes) -> bool:
    """A frame, or one to be skipped: the model does not read them."""
    return data[:4] == b"\x28\xb5\x2f\xfd" or (data[1:4] == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50)


def test_mutated_files_agree(path: Path) -> None:
    seed = int(os.environ.get("NUMI_SEED", random.randrange(2**32)))
    rng = random.Random(seed)
    files = samples(rng)
    tally = dict.fromkeys((compare(path, data) for data in files), 0)
    assert set(tally) == {"itch", "pcap", "pcapng"}
    for index in range(MUTATIONS):
        data = mutate(rng, rng.choice(files))
        if is_zstd(data):
            continue
        try:
            outcome = compare(path, data)
        except AssertionError as error:
            pytest.fail(f"NUMI_SEED={seed}, mutation {index}: {data.hex()}: {error}")
        tally[outcome] = tally.get(outcome, 0) + 1
    assert len(tally) >= 8, tally
