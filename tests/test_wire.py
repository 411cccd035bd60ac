"""The compiled wire room against the naive models, field by field and byte by byte."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numi_bypass._ffi import ffi, lib, text
from numi_bypass.layout import dtype_of
from numi_sim.model import event as event_model
from numi_sim.model import itch, mold, packet, soup
from tests import strategies_wire as wire
from tests.strategies_wire import unhurried

LETTERS = sorted(itch.LAYOUTS)


def exact(data: bytes) -> Any:
    """The bytes at the end of an allocation of just their size, so that a sanitizer sees the first one too far."""
    return ffi.new("uint8_t[]", data) if not data else ffi.new("uint8_t[]", list(data))


def model_says(decode: Callable[[bytes], Any], data: bytes) -> tuple[str, Any]:
    """The model's reason, "ok" where it has none, and what it decoded."""
    try:
        return "ok", decode(data)
    except (itch.ItchError, mold.MoldError, soup.SoupError, packet.PacketError) as error:
        return error.reason, None


def native(letter: bytes) -> Any:
    return ffi.new(f"struct numi_itch_{letter.decode()} *")


def itch_type(letter: bytes) -> Any:
    return lib.numi_itch_type_at(lib.numi_itch_index_of(letter[0]))


def test_every_type_has_the_specification_s_fields() -> None:
    for letter, layout in itch.LAYOUTS.items():
        table = itch_type(letter)
        fields = table.fields[0 : table.field_count]
        assert table.wire_size == layout.length
        assert [(text(f.name), f.wire_offset, f.wire_size) for f in fields] == [
            (field.name, field.offset, field.length) for field in layout.fields[1:]
        ]
        assert dtype_of(f"numi_itch_{letter.decode()}").itemsize == table.native_size
    assert lib.numi_itch_type_at(lib.NUMI_ITCH_TYPE_COUNT) == ffi.NULL
    assert lib.numi_itch_index_of(ord("z")) == -1


@unhurried
@given(wire.messages(), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
def test_decode_and_encode_agree_field_by_field(message: itch.Message, sequence: int, rx_ns: int) -> None:
    data = itch.encode(message)
    letter = data[:1]
    record = native(letter)
    lib.numi_itch_decode(exact(data), sequence, rx_ns, record)
    row = np.frombuffer(ffi.buffer(record), dtype_of(f"numi_itch_{letter.decode()}"))[0]
    assert (row["sequence"], row["rx_ns"]) == (sequence, rx_ns)
    for field in itch.layout_of(letter).fields[1:]:
        expected = itch.decode(data)[field.name]
        got = bytes(ffi.buffer(getattr(record, field.name))) if field.kind == "alpha" else int(row[field.name])
        assert got == expected, field.name
    out = ffi.new("uint8_t[]", len(data))
    assert lib.numi_itch_encode(letter[0], record, out) == len(data)
    assert bytes(out) == data


@unhurried
@given(st.one_of(wire.raw_messages(), wire.encoded_messages(), st.binary(max_size=60)))
def test_what_is_no_message_has_the_model_s_reason(data: bytes) -> None:
    reason = text(lib.numi_itch_reason_name(lib.numi_itch_check(exact(data), len(data))))
    assert reason == (model_says(itch.decode, data)[0] if data else "empty")


def decode_run(data: bytes, first: int = 1, event_max: int = 10_000) -> tuple[np.ndarray, int, int, list[int]]:
    out = ffi.new("struct numi_itch_decoder **")
    assert lib.numi_itch_decoder_open(out) == 0
    decoder = ffi.gc(out[0], lib.numi_itch_decoder_close)
    events = ffi.new("struct numi_event[]", event_max)
    used, sequence = ffi.new("uint64_t *"), ffi.new("uint64_t *", first)
    count = lib.numi_itch_decode_run(decoder, exact(data), len(data), used, sequence, 77, 0x42, events, event_max)
    rows = np.frombuffer(ffi.buffer(events), dtype_of("numi_event"))[:count].copy()
    return rows, used[0], sequence[0], list(decoder.rejects)


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


@unhurried
@given(st.lists(st.one_of(wire.encoded_messages(), st.binary(max_size=55)), max_size=30), st.integers(0, 2**63))
def test_events_are_the_model_s_to_the_byte(messages: list[bytes], first: int) -> None:
    rows, used, following, rejects = decode_run(framed(messages), first)
    instruments: dict[int, int] = {}
    expected, refused = [], 0
    for index, message in enumerate(messages):
        try:
            expected.append(
                event_model.pack(event_model.event_of(message, first + index, instruments, rx_ns=77, stamp=0x42))
            )
        except itch.ItchError:
            refused += 1
    assert [row.tobytes() for row in rows] == expected
    assert (used, following, sum(rejects)) == (len(framed(messages)), first + len(messages), refused)


@unhurried
@given(st.lists(wire.encoded_messages(), min_size=1, max_size=8), st.data())
def test_a_run_stops_before_what_is_cut_short_or_has_no_room(messages: list[bytes], data: st.DataObject) -> None:
    whole = framed(messages)
    cut = data.draw(st.integers(0, len(whole)))
    room = data.draw(st.integers(1, len(messages)))
    rows, used, following, _ = decode_run(whole[:cut], 1, room)
    ends = [len(framed(messages[: i + 1])) for i in range(len(messages))]
    fit = min(room, sum(end <= cut for end in ends))
    assert (len(rows), used, following) == (fit, ends[fit - 1] if fit else 0, 1 + fit)


def test_a_symbol_is_kept_from_the_first_message_that_names_it() -> None:
    def message(letter: bytes, locate: int, **fields: object) -> bytes:
        blank = {f.name: b"" if f.kind == "alpha" else 0 for f in itch.layout_of(letter).fields}
        return itch.encode({**blank, "message_type": letter, "stock_locate": locate, **fields})  # type: ignore[dict-item]

    out = ffi.new("struct numi_itch_decoder **")
    lib.numi_itch_decoder_open(out)
    decoder = ffi.gc(out[0], lib.numi_itch_decoder_close)
    event = ffi.new("struct numi_event *")
    sent = [message(b"D", 7), message(b"A", 9, stock=b"NINE"), message(b"A", 7, stock=b"SEVEN"), message(b"D", 9)]
    instruments = []
    for one in sent:
        assert lib.numi_itch_decode_event(decoder, exact(one), len(one), 1, 0, 0, event) == 1
        instruments.append(event.instrument)
    assert instruments == [0, 1, 0, 1]
    assert [bytes(ffi.buffer(decoder.symbol_of[i])) for i in (0, 1, 2)] == [b"SEVEN   ", b"NINE    ", b"        "]
    assert list(decoder.locate_of[0:2]) == [7, 9]


@unhurried
@given(st.lists(wire.encoded_messages(), max_size=40), st.lists(st.integers(1, 20), max_size=5))
def test_event_hash_is_the_public_one_in_any_pieces(messages: list[bytes], pieces: list[int]) -> None:
    events = event_model.events_of(messages)
    packed = b"".join(event_model.pack({**e, "rx_ns": 5, "flags": e["flags"] | 0x31}) for e in events)
    out = ffi.new("struct numi_event_hash **")
    lib.numi_event_hash_open(out)
    digest = ffi.gc(out[0], lib.numi_event_hash_close)
    rows = ffi.cast("struct numi_event *", ffi.from_buffer(packed))
    at = 0
    for piece in [*pieces, len(events)]:
        take = min(piece, len(events) - at)
        lib.numi_event_hash_add(digest, rows + at, take)
        at += take
    assert lib.numi_event_hash_digest(digest) == event_model.event_hash(events)


def test_event_hash_known_answer() -> None:
    out = ffi.new("struct numi_event_hash **")
    lib.numi_event_hash_open(out)
    digest = ffi.gc(out[0], lib.numi_event_hash_close)
    assert lib.numi_event_hash_digest(digest) == 0x2D06800538D394C2


MOLD_PAYLOADS = st.one_of(
    wire.mold_packets().map(lambda whole: mold.encode(*whole)),
    st.tuples(wire.sessions(), st.integers(0, 2**64 - 1)).map(lambda head: mold.heartbeat(*head)),
    st.tuples(wire.sessions(), st.integers(0, 2**64 - 1)).map(lambda head: mold.end_of_session(*head)),
)


def c_mold(data: bytes, parse: Any) -> tuple[str, Any]:
    header = ffi.new("struct numi_mold_header *")
    return text(lib.numi_mold_reason_name(parse(exact(data), len(data), header))), header


@unhurried
@given(st.one_of(MOLD_PAYLOADS, st.binary(max_size=80)), st.data())
def test_mold_agrees_whole_and_cut(data: bytes, draw: st.DataObject) -> None:
    data = data[: draw.draw(st.integers(0, len(data)))] if draw.draw(st.booleans()) else data
    for parse, model in ((lib.numi_mold_parse, mold.decode), (lib.numi_mold_parse_request, mold.decode_request)):
        reason, header = c_mold(data, parse)
        expected_reason, expected = model_says(model, data)
        assert reason == expected_reason
        if reason == "ok":
            assert (bytes(header.session), header.sequence, header.count) == expected[:3]
    out = ffi.new("uint8_t[20]")
    if len(data) >= 20:
        header = c_mold(data, lib.numi_mold_parse)[1]
        assert lib.numi_mold_write_header(out, header.session, header.sequence, header.count) == 20
        assert bytes(out) == data[:20]


def soup_fields(p: Any, data: bytes) -> soup.Packet:
    letter = bytes([p.type])
    if letter in soup.WHOLE:
        return {"packet_type": letter, soup.WHOLE[letter]: data[p.payload_offset :][: p.payload_size]}
    values: dict[str, soup.Value] = {
        "session": bytes(ffi.buffer(p.session)),
        "requested_session": bytes(ffi.buffer(p.session)),
        "sequence_number": p.sequence,
        "requested_sequence_number": p.sequence,
        "username": bytes(ffi.buffer(p.username)),
        "password": bytes(ffi.buffer(p.password)),
        "reject_reason_code": p.reject_reason,
    }
    return {"packet_type": letter, **{row.name: values[row.name] for row in soup.FIELDS[letter]}}


@unhurried
@given(st.one_of(wire.soup_packets().map(soup.encode), st.binary(max_size=60)), st.data())
def test_soup_agrees_whole_and_cut(data: bytes, draw: st.DataObject) -> None:
    data = data[: draw.draw(st.integers(0, len(data)))] if draw.draw(st.booleans()) else data
    p = ffi.new("struct numi_soup_packet *")
    reason = text(lib.numi_soup_reason_name(lib.numi_soup_parse(exact(data), len(data), p)))
    expected_reason, expected = model_says(soup.decode, data)
    assert reason == expected_reason
    if reason != "ok":
        return
    assert soup_fields(p, data) == expected
    out = ffi.new("uint8_t[]", len(data) + 49)
    payload = exact(data[p.payload_offset :])
    size = lib.numi_soup_write(out, p, payload)
    assert soup.decode(bytes(out)[:size]) == expected


@unhurried
@given(st.lists(wire.soup_packets().map(soup.encode), max_size=6), st.data())
def test_soup_frames_a_stream_cut_anywhere(packets: list[bytes], draw: st.DataObject) -> None:
    stream = b"".join(packets)
    cut = draw.draw(st.integers(0, len(stream)))
    expected = soup.Framer().feed(stream[:cut])
    at, frames = 0, []
    while size := lib.numi_soup_frame(exact(stream[at:cut]), cut - at):
        frames.append(stream[at : at + size])
        at += size
    assert frames == expected


LINKS = [packet.ETHERNET, packet.RAW, packet.LINUX_SLL]


@unhurried
@given(wire.headers(), wire.payloads(), st.sampled_from(LINKS), st.data())
def test_packets_agree_whole_cut_and_bent(
    headers: packet.Headers, payload: bytes, link: int, draw: st.DataObject
) -> None:
    data = bytearray(packet.build(headers, payload, link=link, pad_to=draw.draw(st.sampled_from([0, 60]))))
    for _ in range(draw.draw(st.integers(0, 2))):
        at = draw.draw(st.integers(0, max(0, len(data) - 1)))
        data[at] = draw.draw(st.integers(0, 255))
    bent = bytes(data[: draw.draw(st.integers(0, len(data)))]) if draw.draw(st.booleans()) else bytes(data)
    p = ffi.new("struct numi_packet *")
    reason = text(lib.numi_packet_reason_name(lib.numi_packet_parse(exact(bent), len(bent), link, p)))
    expected_reason, expected = model_says(lambda data: packet.parse(data, link), bent)
    assert reason == expected_reason
    if reason != "ok":
        return
    parsed, inner = expected
    assert bent[p.payload_offset : p.payload_offset + p.payload_size] == inner
    assert (p.source_port, p.destination_port) == (parsed.source_port, parsed.destination_port)
    assert p.tag_count == len(parsed.vlans)
    assert p.vlan == (parsed.vlans[-1].control if parsed.vlans else 0)


@unhurried
@given(
    st.binary(max_size=1472),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_a_built_datagram_is_read_back_and_its_checksums_are_right(
    payload: bytes, source: int, destination: int, source_port: int, destination_port: int, identification: int
) -> None:
    frame = ffi.new("uint8_t[]", 42 + len(payload))
    ffi.memmove(frame + 42, payload, len(payload))
    size = lib.numi_packet_build_udp4(
        frame, len(payload), source, destination, source_port, destination_port, identification
    )
    data = bytes(frame)[:size]
    headers, inner = packet.parse(data)
    assert inner == payload
    assert (headers.source_port, headers.destination_port) == (source_port, destination_port)
    assert packet.internet_checksum(data[14:34]) == 0
    assert packet.udp_checksum_ok(headers, payload)
    if destination >> 28 == 0xE:
        assert headers.destination_mac == packet.multicast_mac(headers.destination)


@pytest.mark.parametrize("letter", LETTERS)
def test_every_other_length_is_refused(letter: bytes) -> None:
    for size in range(1, 60):
        data = letter + bytes(size - 1)
        ok = lib.numi_itch_check(exact(data), size) == lib.NUMI_ITCH_OK
        assert ok == (size == itch.LAYOUTS[letter].length)
