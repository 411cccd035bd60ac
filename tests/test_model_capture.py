"""The models of capture files against themselves, and against bytes written by hand from the public drafts."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numi_sim.model import capture
from tests import strategies_wire as wire


def _patched(at: int, values: str, data: bytes) -> bytes:
    new = bytes.fromhex(values)
    return data[:at] + new + data[at + len(new) :]


RECORDS = st.lists(st.tuples(wire.times_ns(), st.binary(max_size=100)), max_size=8)


def test_pcap_by_hand() -> None:
    data = bytes.fromhex(
        "d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000 01000000 02000000 03000000 09000000 616263"
    )
    [record] = capture.read_pcap(data).records
    assert record == (1_000_002_000, b"abc", 9, 0, 1)
    assert capture.read_pcap(_patched(0, "4d3cb2a1", data)).records[0].ts_ns == 1_000_000_002


@wire.unhurried
@given(RECORDS, st.booleans(), st.sampled_from(["little", "big"]), st.sampled_from([1, 101, 113]), st.integers(0, 100))
def test_pcap_round_trip(
    pairs: list[tuple[int, bytes]], nano: bool, order: capture.Order, link: int, snaplen: int
) -> None:
    data = capture.write_pcap(pairs, nano=nano, order=order, link=link, snaplen=snaplen)
    unit = 1 if nano else 1000
    assert capture.sniff(data) == "pcap"
    assert capture.read(capture.compress(data)).records == [
        (ts_ns // unit * unit, packet_[:snaplen], len(packet_), 0, link) for ts_ns, packet_ in pairs
    ]


@wire.unhurried
@given(RECORDS.filter(bool), st.data())
def test_a_pcap_cut_anywhere_keeps_what_came_before(pairs: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = capture.write_pcap(pairs)
    ends = [len(capture.write_pcap(pairs[:count])) for count in range(len(pairs) + 1)]
    end = data.draw(st.integers(24, len(whole)))
    got = capture.read_pcap(whole[:end])
    assert len(got.records) == sum(place <= end for place in ends) - 1
    assert got.truncated_at == (None if end in ends else max(place for place in ends if place <= end))


def test_the_upper_half_of_the_link_field_is_not_the_link() -> None:
    data = capture.write_pcap([(0, b"x")], link=1)
    assert capture.read_pcap(_patched(20, "01000024", data)).records[0].link == 1


NG = bytes.fromhex(
    # A section, an interface of Ethernet whose unit is 1/1024 s, a packet of one second and a half, a simple packet.
    "0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c"
    "00000001 00000020 0001 0000 00000000 0009 0001 8a000000 0000 0000 00000020"
    "00000006 00000024 00000000 00000000 00000600 00000003 00000005 61626300 00000024"
    "00000003 00000014 00000002 78790000 00000014"
)


def test_pcapng_by_hand() -> None:
    got = capture.read(NG)
    assert got.records == [(1_500_000_000, b"abc", 5, 0, 1), (None, b"xy", 2, 0, 1)]
    writer = capture.NgWriter("big")
    writer.section()
    writer.interface(capture.Interface(tsresol=0x8A))
    writer.packet(0, 1_500_000_000, b"abc")
    writer.simple(b"xy")
    assert writer.out == _patched(84, "00000003", NG)


SECTIONS = st.lists(
    st.tuples(st.sampled_from(["little", "big"]), st.lists(wire.interfaces(), min_size=1, max_size=3)),
    min_size=1,
    max_size=3,
)


@wire.unhurried
@given(SECTIONS, st.data())
def test_pcapng_round_trip(sections: list[tuple[capture.Order, list[capture.Interface]]], data: st.DataObject) -> None:
    out = b""
    expected: list[tuple[object, ...]] = []
    comments: list[bytes] = []
    for order, interfaces in sections:
        writer = capture.NgWriter(order)
        writer.section(b"a section")
        comments.append(b"a section")
        for interface in interfaces:
            writer.interface(interface, b"an interface")
            comments.append(b"an interface")
        writer.block(0x0BAD, b"nobody knows")
        for number, interface in enumerate(interfaces):
            ts_ns, body = data.draw(wire.times_ns()), data.draw(wire.payloads())
            kept = body[: interface.snaplen or None]
            writer.packet(number, ts_ns, body, b"a packet")
            comments.append(b"a packet")
            writer.old_packet(number, ts_ns, body)
            exact = interface.to_ns(interface.to_units(ts_ns))
            # Less than a unit is lost on the way in, and less than a nanosecond on the way out.
            assert 0 <= (ts_ns - exact) * interface.units_per_second < capture.NS + interface.units_per_second
            expected += [(exact, kept, len(body), number, interface.link)] * 2
        body = data.draw(wire.payloads())
        writer.simple(body)
        expected.append((None, body[: interfaces[0].snaplen or None], len(body), 0, interfaces[0].link))
        writer.statistics(0, 0, {"ifrecv": 7, "osdrop": 2**64 - 1})
        writer.names([(b"\x7f\0\0\1", [b"home", b"localhost"]), (bytes(15) + b"\1", [b"six"])])
        out += writer.out
    got = capture.read(capture.compress(out))
    assert got.records == expected
    assert got.comments == comments
    assert (got.skipped, got.truncated_at) == (len(sections), None)
    assert got.interfaces == [interface for _, interfaces in sections for interface in interfaces]
    assert [row.counters for row in got.statistics] == [{"ifrecv": 7, "osdrop": 2**64 - 1}] * len(sections)
    assert got.names[:2] == [(b"\x7f\0\0\1", [b"home", b"localhost"]), (bytes(15) + b"\1", [b"six"])]


@wire.unhurried
@given(st.integers(0, len(NG)))
def test_a_pcapng_cut_anywhere_keeps_what_came_before(end: int) -> None:
    starts = [0, 28, 60, 96, 116]
    got = capture.read_pcapng(NG[:end])
    assert got.records == capture.read_pcapng(NG).records[: sum(place <= end for place in (96, 116))]
    assert got.truncated_at == (None if end in starts else max(place for place in starts if place <= end))


@pytest.mark.parametrize(
    ("at", "values", "reason", "offset"),
    [
        (0, "0a0d0d0b", "bad_magic", 0),
        (8, "1a2b3c4e", "bad_magic", 0),
        (12, "0002", "bad_version", 0),
        (14, "0001", "bad_version", 0),
        (32, "00000021", "bad_length", 28),
        (32, "00000008", "bad_length", 28),
        (56, "00000024", "bad_length", 28),
        (46, "0002", "bad_option", 28),
        (46, "0400", "bad_option", 28),
        (68, "00000001", "bad_interface", 60),
        (80, "00000005", "bad_length", 60),
        (80, "ffffffff", "bad_length", 60),
        (104, "00000005", "bad_length", 96),
    ],
)
def test_a_pcapng_that_contradicts_itself_says_where(at: int, values: str, reason: str, offset: int) -> None:
    with pytest.raises(capture.CaptureError) as caught:
        capture.read_pcapng(_patched(at, values, NG))
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize(
    ("resolution", "offset", "units", "ts_ns"),
    [
        (0, 0, 3, 3_000_000_000),
        (6, 0, 1, 1_000),
        (6, -5, 1, -4_999_999_000),
        (9, 1_700_000_000, 1, 1_700_000_000_000_000_001),
        (12, 0, 1_999, 1),
        (0x80, 0, 3, 3_000_000_000),
        (0x80 | 20, 0, 1, 953),
        (0x80 | 32, 0, 2**32 - 1, 999_999_999),
    ],
)
def test_units_become_nanoseconds_rounded_down(resolution: int, offset: int, units: int, ts_ns: int) -> None:
    assert capture.Interface(tsresol=resolution, tsoffset=offset).to_ns(units) == ts_ns


def test_a_simple_packet_ends_at_the_snap_length() -> None:
    cut = _patched(28 + 12, "00000001", NG)
    assert capture.read(cut).records[1] == (None, b"x", 2, 0, 1)


def test_minor_version_2_is_read_as_0() -> None:
    assert capture.read(_patched(14, "0002", NG)).records == capture.read(NG).records


def test_packets_before_any_interface_are_refused() -> None:
    for data in (NG[:28] + NG[60:96], NG[:28] + NG[96:]):
        with pytest.raises(capture.CaptureError, match="bad_interface"):
            capture.read(data)


def test_what_is_no_pcap_is_refused() -> None:
    good = capture.write_pcap([(0, b"abc")])
    for data, reason in (
        (b"", "unknown_format"),
        (b"numi-bypass", "unknown_format"),
        (_patched(4, "0100", good), "bad_version"),
        (_patched(32, "01000400", good), "bad_length"),
    ):
        with pytest.raises(capture.CaptureError) as caught:
            capture.read(data)
        assert caught.value.reason == reason


@wire.unhurried
@given(wire.streams(), st.booleans(), st.data())
def test_bare_files_round_trip_and_may_be_cut(messages: list[bytes], end: bool, data: st.DataObject) -> None:
    whole = capture.write_itch(messages, end=end)
    assert capture.read_itch(whole) == capture.ItchFile(messages, int(end), None)
    if messages:
        assert capture.sniff(whole) == "itch"
    cut = data.draw(st.integers(0, len(whole)))
    got = capture.read_itch(whole[:cut])
    kept = capture.write_itch(got.messages, end=bool(got.ends))
    assert whole.startswith(kept)
    assert got.truncated_at == (None if len(kept) == cut else len(kept))


@wire.unhurried
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.data())
def test_gzip_members_follow_each_other_and_may_be_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(capture.compress, parts))
    assert gzip.decompress(whole) == b"".join(parts)
    assert capture.gunzip(whole + bytes(5)) == (b"".join(parts), True)
    last = len(whole) - len(capture.compress(parts[-1]))
    cut = data.draw(st.integers(last + 1, len(whole) - 1))
    got, complete = capture.gunzip(whole[:cut])
    assert not complete
    assert b"".join(parts).startswith(got)


def test_damaged_gzip_is_refused() -> None:
    good = capture.compress(b"numi" * 100)
    for data in (good[:-8] + bytes(8), good + b"rubbish"):
        with pytest.raises(capture.CaptureError, match="bad_gzip"):
            capture.gunzip(data)
