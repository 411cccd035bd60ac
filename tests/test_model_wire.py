"""The models of the wire against themselves, and against bytes written by hand from the public specifications."""

from dataclasses import replace

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from numi_sim.model import event, itch, mold, packet, soup
from tests import strategies_wire as wire

LENGTHS = {
    **{"S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40},
    **{"E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48},
}

# Locate 7, tracking 258, 09:30:00.000000001 in New York, as nanoseconds since midnight.
HEAD = bytes.fromhex("0007 0102 1f1aced9f001")
HEAD_FIELDS: itch.Message = {"stock_locate": 7, "tracking_number": 258, "timestamp": 34_200_000_000_001}

KNOWN: dict[str, tuple[bytes, itch.Message]] = {
    "A": (
        b"A"
        + HEAD
        + bytes.fromhex("0000000000bc614e")
        + b"B"
        + bytes.fromhex("00000064")
        + b"AAPL    "
        # $170.2500
        + bytes.fromhex("0019fa64"),
        {
            "order_reference_number": 12_345_678,
            "buy_sell_indicator": b"B",
            "shares": 100,
            "stock": b"AAPL    ",
            "price": 1_702_500,
        },
    ),
    "E": (
        b"E" + HEAD + bytes.fromhex("0000000000bc614e 0000001e 0000000000000309"),
        {"order_reference_number": 12_345_678, "executed_shares": 30, "match_number": 777},
    ),
    "U": (
        b"U" + HEAD + bytes.fromhex("0000000000bc614e 0000000000bc614f 00000046 0019fac8"),
        {
            "original_order_reference_number": 12_345_678,
            "new_order_reference_number": 12_345_679,
            "shares": 70,
            "price": 1_702_600,
        },
    ),
    "I": (
        b"I"
        + HEAD
        + bytes.fromhex("00000000000186a0 00000000000003e8")
        + b"S"
        + b"AAPL    "
        + bytes.fromhex("0019fa64 0019fac8 0019fb2c")
        + b"O"
        + b" ",
        {
            "paired_shares": 100_000,
            "imbalance_shares": 1_000,
            "imbalance_direction": b"S",
            "stock": b"AAPL    ",
            "far_price": 1_702_500,
            "near_price": 1_702_600,
            "current_reference_price": 1_702_700,
            "cross_type": b"O",
            "price_variation_indicator": b" ",
        },
    ),
    "R": (
        b"R"
        + HEAD
        + b"TQQQ    "
        + b"GN"
        + bytes.fromhex("00000064")
        + b"N"
        + b"Q"
        + b"E "
        + b"P"
        + b"N"
        + b" "
        + b"1"
        + b"Y"
        + bytes.fromhex("00000003")
        + b"N",
        {
            "stock": b"TQQQ    ",
            "market_category": b"G",
            "financial_status": b"N",
            "round_lot_size": 100,
            "round_lots_only": b"N",
            "issue_classification": b"Q",
            "issue_subtype": b"E ",
            "authenticity": b"P",
            "short_sale_threshold": b"N",
            "ipo_flag": b" ",
            "luld_reference_price_tier": b"1",
            "etp_flag": b"Y",
            "etp_leverage_factor": 3,
            "inverse_indicator": b"N",
        },
    ),
    "O": (
        b"O"
        + HEAD
        + b"ABCD    "
        + b"Y"
        + bytes.fromhex("00000001 00000002 00000003 0000000000000004 00000005 00000006"),
        {
            "stock": b"ABCD    ",
            "open_eligibility_status": b"Y",
            "minimum_allowable_price": 1,
            "maximum_allowable_price": 2,
            "near_execution_price": 3,
            "near_execution_time": 4,
            "lower_price_range_collar": 5,
            "upper_price_range_collar": 6,
        },
    ),
}


# --- ITCH


def test_each_type_has_the_length_of_the_specification_and_fields_that_fill_it() -> None:
    assert {letter.decode(): layout.length for letter, layout in itch.LAYOUTS.items()} == LENGTHS
    for layout in itch.LAYOUTS.values():
        at = 0
        for field in layout.fields:
            assert field.offset == at, (layout.letter, field.name)
            at += field.length
        assert at == layout.length


@pytest.mark.parametrize("letter", KNOWN)
def test_bytes_written_by_hand(letter: str) -> None:
    data, own = KNOWN[letter]
    fields = {"message_type": letter.encode(), **HEAD_FIELDS, **own}
    assert itch.decode(data) == fields
    assert itch.encode(fields) == data


@wire.unhurried
@given(wire.messages())
def test_decode_undoes_encode(message: itch.Message) -> None:
    assert itch.decode(itch.encode(message)) == message


@wire.unhurried
@given(wire.raw_messages())
def test_encode_undoes_decode_whatever_the_bytes(data: bytes) -> None:
    assert itch.encode(itch.decode(data)) == data


@pytest.mark.parametrize("letter", wire.LETTERS)
def test_every_other_length_is_refused(letter: bytes) -> None:
    for length in range(60):
        data = (letter + bytes(60))[:length]
        if length == itch.LAYOUTS[letter].length:
            assert itch.decode(data)["message_type"] == letter
        else:
            with pytest.raises(itch.ItchError) as caught:
                itch.decode(data)
            assert caught.value.reason == "bad_length"


def test_every_other_type_is_refused() -> None:
    for value in range(256):
        if bytes([value]) not in itch.LAYOUTS:
            with pytest.raises(itch.ItchError) as caught:
                itch.decode(bytes([value]) + bytes(35))
            assert caught.value.reason == "unknown_type"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("shares", 2**32, "bad_value"),
        ("shares", -1, "bad_value"),
        ("timestamp", 2**48, "bad_value"),
        ("stock", b"NINECHARS", "bad_value"),
        ("stock", 5, "bad_value"),
        ("price", b"5", "bad_value"),
        ("message_type", b"?", "unknown_type"),
        ("message_type", b"D", "bad_fields"),
        ("colour", 5, "bad_fields"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, value: itch.Value, reason: str) -> None:
    good = itch.decode(KNOWN["A"][0])
    with pytest.raises(itch.ItchError) as caught:
        itch.encode({**good, name: value})
    assert caught.value.reason == reason


def test_short_letters_are_padded() -> None:
    good = itch.decode(KNOWN["A"][0])
    assert itch.encode({**good, "stock": b"AAPL"}) == KNOWN["A"][0]


# --- events


def _events(*messages: bytes) -> list[event.Event]:
    return event.events_of(messages)


def test_an_add_fills_the_record_by_hand() -> None:
    [add] = _events(KNOWN["A"][0])
    assert event.pack(add) == bytes.fromhex(
        "0100000000000000 4e61bc0000000000 64fa190000000000 6400000000000000 0000000000000000"
        "01f0d9ce1a1f0000 0000000000000000 00000000 41 00 0000"
    )
    assert event.RECORD.size == 64


def test_a_replace_carries_the_old_order_and_the_new() -> None:
    [replaced] = _events(KNOWN["U"][0])
    assert (replaced["order"], replaced["aux"], replaced["price"], replaced["quantity"], replaced["side"]) == (
        12_345_678,
        12_345_679,
        1_702_600,
        70,
        255,
    )


@wire.unhurried
@given(wire.messages(b"C"))
def test_a_print_that_does_not_count_is_flagged(message: itch.Message) -> None:
    one = event.event_of(message, 1, {}, stamp=0x1FF)
    assert one["flags"] == 0xFF | (0x100 if message["printable"] == b"N" else 0)
    assert one["price"] == message["execution_price"]


# What each type puts into order, price, quantity and aux; whatever is not here puts nothing anywhere.
SLOTS: dict[bytes, tuple[str, str, str, str]] = {
    b"A": ("order_reference_number", "price", "shares", ""),
    b"F": ("order_reference_number", "price", "shares", ""),
    b"E": ("order_reference_number", "", "executed_shares", "match_number"),
    b"C": ("order_reference_number", "execution_price", "executed_shares", "match_number"),
    b"X": ("order_reference_number", "", "cancelled_shares", ""),
    b"D": ("order_reference_number", "", "", ""),
    b"U": ("original_order_reference_number", "price", "shares", "new_order_reference_number"),
    b"P": ("order_reference_number", "price", "shares", "match_number"),
    b"Q": ("", "cross_price", "shares", "match_number"),
    b"B": ("", "", "", "match_number"),
    b"I": ("", "current_reference_price", "paired_shares", ""),
    b"K": ("", "ipo_price", "", ""),
    b"J": ("", "auction_collar_reference_price", "", ""),
    b"O": ("", "near_execution_price", "", ""),
}


@pytest.mark.parametrize("letter", wire.LETTERS)
@settings(wire.unhurried, max_examples=25)
@given(data=st.data())
def test_an_event_says_what_its_message_says(letter: bytes, data: st.DataObject) -> None:
    message = data.draw(wire.messages(letter))
    order, price, quantity, aux = (message.get(name, 0) for name in SLOTS.get(letter, ("",) * 4))
    one = event.event_of(message, 9, {message["stock_locate"]: 4})  # type: ignore[dict-item]
    assert one == {
        "sequence": 9,
        "order": order,
        "price": price,
        "quantity": quantity,
        "aux": aux,
        "exchange_ns": message["timestamp"],
        "rx_ns": 0,
        "instrument": 4,
        "kind": letter[0],
        "side": {b"B": 0, b"S": 1}.get(message.get("buy_sell_indicator"), 255),  # type: ignore[arg-type]
        "flags": 256 if message.get("printable") == b"N" else 0,
    }
    assert event.event_of(itch.encode(message), 9, {}) == {**one, "instrument": 0}


def test_a_side_that_is_no_side_is_none() -> None:
    data = KNOWN["A"][0]
    [odd] = _events(data[:19] + b"b" + data[20:])
    assert odd["side"] == 255


@wire.unhurried
@given(wire.streams())
def test_instruments_are_counted_as_they_appear(messages: list[bytes]) -> None:
    seen: list[int] = []
    for number, (data, one) in enumerate(zip(messages, event.events_of(messages), strict=True), 1):
        locate = int.from_bytes(data[1:3], "big")
        if locate not in seen:
            seen.append(locate)
        assert (one["sequence"], one["instrument"]) == (number, seen.index(locate))


@wire.unhurried
@given(wire.streams(), st.integers(0, 255), st.integers(-(2**63), 2**63 - 1))
def test_the_hash_does_not_know_when_and_where(messages: list[bytes], stamp: int, rx_ns: int) -> None:
    events = event.events_of(messages)
    stamped = [event.Event(**{**one, "rx_ns": rx_ns, "flags": one["flags"] | stamp}) for one in events]
    assert event.event_hash(stamped) == event.event_hash(events)
    assert event.event_hash(events) == xxhash.xxh3_64_intdigest(b"".join(map(event.pack, events)))
    assert [event.unpack(event.pack(one)) for one in stamped] == stamped


def test_known_hashes() -> None:
    assert event.event_hash([]) == 0x2D06800538D394C2
    assert event.event_hash(_events(*(KNOWN[letter][0] for letter in "RAUEI"))) == 0x7E576125BFF5D683


def test_a_gap_is_an_event_of_kind_0() -> None:
    gap = event.gap_of(17, 20)
    assert (gap["kind"], gap["order"], gap["aux"], gap["side"]) == (0, 17, 20, 255)
    assert len(event.pack(gap)) == 64


# --- MoldUDP64

MOLD = b"000000123A" + bytes.fromhex("00000000000004d2 0002 0003") + b"abc" + bytes.fromhex("0000")


def test_mold_by_hand() -> None:
    assert mold.decode(MOLD) == (b"000000123A", 1234, 2, [b"abc", b""])
    assert mold.encode(b"000000123A", 1234, [b"abc", b""]) == MOLD
    assert mold.heartbeat(b"000000123A", 1236) == b"000000123A" + bytes.fromhex("00000000000004d4 0000")
    assert mold.end_of_session(b"000000123A", 1236) == b"000000123A" + bytes.fromhex("00000000000004d4 ffff")
    assert mold.request(b"000000123A", 5, 3) == b"000000123A" + bytes.fromhex("0000000000000005 0003")


@wire.unhurried
@given(wire.mold_packets())
def test_mold_round_trip(parts: tuple[bytes, int, list[bytes]]) -> None:
    session, sequence, messages = parts
    assert mold.decode(mold.encode(session, sequence, messages)) == (session, sequence, len(messages), messages)


@wire.unhurried
@given(wire.sessions(), wire.unsigned(8), wire.unsigned(2))
def test_mold_control_round_trip(session: bytes, sequence: int, count: int) -> None:
    assert mold.decode(mold.heartbeat(session, sequence)) == (session, sequence, 0, [])
    assert mold.decode(mold.end_of_session(session, sequence)) == (session, sequence, 0xFFFF, [])
    assert mold.decode_request(mold.request(session, sequence, count)) == (session, sequence, count)


@wire.unhurried
@given(wire.mold_packets(), st.data())
def test_a_mold_packet_cut_anywhere_or_lengthened_is_refused(
    parts: tuple[bytes, int, list[bytes]], data: st.DataObject
) -> None:
    whole = mold.encode(*parts)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(mold.MoldError) as caught:
        mold.decode(whole[:end])
    assert caught.value.reason == ("short_header" if end < 20 else "short_block")
    with pytest.raises(mold.MoldError) as caught:
        mold.decode(whole + b"\0")
    assert caught.value.reason == "trailing"


@pytest.mark.parametrize("control", [mold.heartbeat(b"0123456789", 1), mold.end_of_session(b"0123456789", 1)])
def test_control_packets_carry_nothing(control: bytes) -> None:
    with pytest.raises(mold.MoldError, match="trailing"):
        mold.decode(control + b"\0\1A")


def test_mold_refuses_what_does_not_fit() -> None:
    for call, reason in (
        (lambda: mold.encode(b"short", 1, []), "bad_session"),
        (lambda: mold.encode(b"0123456789", 1, [bytes(65536)]), "too_long"),
        (lambda: mold.encode(b"0123456789", 1, [b""] * 65535), "too_many"),
        (lambda: mold.decode_request(mold.heartbeat(b"0123456789", 1) + b"\0"), "trailing"),
    ):
        with pytest.raises(mold.MoldError) as caught:
            call()
        assert caught.value.reason == reason


# --- SoupBinTCP

SOUP: list[tuple[bytes, soup.Packet]] = [
    (b"\x00\x06+hello", {"packet_type": b"+", "text": b"hello"}),
    (
        b"\x00\x1fA     SESS1                  42",
        {"packet_type": b"A", "session": b"     SESS1", "sequence_number": 42},
    ),
    (b"\x00\x02JA", {"packet_type": b"J", "reject_reason_code": b"A"}),
    (b"\x00\x04Sabc", {"packet_type": b"S", "message": b"abc"}),
    (b"\x00\x04U\x00\n\xff", {"packet_type": b"U", "message": b"\x00\n\xff"}),
    (
        b"\x00\x2fL" + b"user  " + b"secret    " + b" " * 10 + b" " * 19 + b"1",
        {
            "packet_type": b"L",
            "username": b"user  ",
            "password": b"secret    ",
            "requested_session": b"          ",
            "requested_sequence_number": 1,
        },
    ),
    (b"\x00\x01H", {"packet_type": b"H"}),
    (b"\x00\x01Z", {"packet_type": b"Z"}),
    (b"\x00\x01R", {"packet_type": b"R"}),
    (b"\x00\x01O", {"packet_type": b"O"}),
]


@pytest.mark.parametrize(("data", "fields"), SOUP)
def test_soup_by_hand(data: bytes, fields: soup.Packet) -> None:
    assert soup.decode(data) == fields
    assert soup.encode(fields) == data


@wire.unhurried
@given(wire.soup_packets())
def test_soup_round_trip(fields: soup.Packet) -> None:
    assert soup.decode(soup.encode(fields)) == fields


def test_soup_pads_on_the_side_of_the_specification() -> None:
    short: soup.Packet = {"packet_type": b"A", "session": b"SESS1", "sequence_number": 42}
    assert soup.encode(short) == SOUP[1][0]


@wire.unhurried
@given(st.lists(wire.soup_packets(), max_size=8), st.data())
def test_a_stream_cut_anywhere_gives_the_same_packets(packets: list[soup.Packet], data: st.DataObject) -> None:
    stream = b"".join(map(soup.encode, packets))
    tail = data.draw(st.sampled_from([b"", b"\0", b"\0\2", b"\0\5S123"]))
    framer = soup.Framer()
    got = [whole for piece in data.draw(wire.cuts(stream + tail)) for whole in framer.feed(piece)]
    assert [soup.decode(whole) for whole in got] == packets
    assert framer.pending == tail


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad_length"),
        (b"\0", "bad_length"),
        (b"\0\0", "bad_length"),
        (b"\0\2H", "bad_length"),
        (b"\0\1HH", "bad_length"),
        (b"\0\2HH", "bad_length"),
        (b"\0\1J", "bad_length"),
        (b"\0\1X", "unknown_type"),
        (b"\x00\x1fA     SESS1                    ", "bad_number"),
        (b"\x00\x1fA     SESS1                 4 2", "bad_number"),
        (b"\x00\x1fA     SESS1                  -1", "bad_number"),
        (b"\x00\x1fA     SESS118446744073709551616", "bad_number"),
    ],
)
def test_soup_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(soup.SoupError) as caught:
        soup.decode(data)
    assert caught.value.reason == reason


# --- packets

# Sent from 10.0.0.1:4660 to 239.1.2.3:5001 with the payload "numi!"; the checksums were summed by hand.
FRAME = bytes.fromhex(
    "01005e010203 020000000001 08004500 0021 0007 4000 20 11 5fc0 0a000001 ef0102031234 1389 000d e232 6e756d6921"
)


def test_a_packet_by_hand() -> None:
    headers, payload = packet.parse(FRAME)
    assert payload == b"numi!"
    assert (headers.source, headers.destination) == ("10.0.0.1", "239.1.2.3")
    assert (headers.source_port, headers.destination_port) == (4660, 5001)
    assert (headers.ttl, headers.identification, headers.fragment_bits, headers.length) == (32, 7, 0x4000, 42)
    assert headers.destination_mac == packet.multicast_mac("239.1.2.3")
    assert packet.udp_checksum_ok(headers, payload)
    assert packet.internet_checksum(FRAME[14:34]) == 0
    assert packet.build(replace(headers, udp_checksum=None), payload) == FRAME


@wire.unhurried
@given(wire.headers(), wire.payloads(), st.sampled_from([packet.ETHERNET, packet.RAW, packet.LINUX_SLL]), st.data())
def test_parse_undoes_build(headers: packet.Headers, payload: bytes, link: int, data: st.DataObject) -> None:
    built = packet.build(headers, payload, link=link, pad_to=data.draw(st.integers(0, 300)))
    parsed, got = packet.parse(built, link)
    kept: dict[str, object] = {} if link != packet.RAW else {"vlans": (), "source_mac": bytes(6)}
    if link != packet.ETHERNET:
        kept["destination_mac"] = bytes(6)
    assert got == payload == built[parsed.length : parsed.length + len(payload)]
    assert replace(parsed, udp_checksum=None) == replace(headers, **kept)  # type: ignore[arg-type]
    assert packet.udp_checksum_ok(parsed, payload)


@wire.unhurried
@given(wire.headers(), wire.payloads(), st.data())
def test_a_packet_cut_anywhere_is_truncated(headers: packet.Headers, payload: bytes, data: st.DataObject) -> None:
    built = packet.build(headers, payload)
    with pytest.raises(packet.PacketError) as caught:
        packet.parse(built[: data.draw(st.integers(0, len(built) - 1))])
    assert caught.value.reason == "truncated"


@wire.unhurried
@given(wire.headers(), wire.payloads().filter(bool), st.data())
def test_a_flipped_bit_fails_the_checksum(headers: packet.Headers, payload: bytes, data: st.DataObject) -> None:
    parsed, got = packet.parse(packet.build(headers, payload))
    at = data.draw(st.integers(0, len(got) - 1))
    flipped = got[:at] + bytes([got[at] ^ 1 << data.draw(st.integers(0, 7))]) + got[at + 1 :]
    assert not packet.udp_checksum_ok(parsed, flipped)


def _patched(at: int, values: str, data: bytes = FRAME) -> bytes:
    new = bytes.fromhex(values)
    return data[:at] + new + data[at + len(new) :]


SIX = packet.Headers("2001:db8::1", "ff0e::1", 1, 2, extensions=(packet.Extension(0, bytes(6)),))
FRAME6 = packet.build(SIX, b"numi!")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_patched(12, "0806"), "not_ip"),
        (_patched(12, "05dc"), "not_ip"),
        (_patched(14, "55"), "not_ip"),
        (_patched(14, "44"), "bad_length"),
        (_patched(14, "4f")[:60], "truncated"),
        (_patched(23, "06"), "not_udp"),
        (_patched(20, "2000"), "fragment"),
        (_patched(20, "0001"), "fragment"),
        (_patched(20, "2000 20 06"), "not_udp"),
        (_patched(16, "0013"), "bad_length"),
        (_patched(16, "0000"), "bad_length"),
        (_patched(16, "001b"), "bad_length"),
        (_patched(16, "0022"), "truncated"),
        (_patched(38, "0007"), "bad_length"),
        (_patched(38, "000e"), "bad_length"),
        (_patched(14, "45", FRAME6), "not_ip"),
        (_patched(20, "06", FRAME6), "not_udp"),
        (_patched(54, "3b", FRAME6), "not_udp"),
        (_patched(55, "01", FRAME6), "bad_length"),
        (_patched(55, "03", FRAME6), "bad_length"),
        (_patched(18, "0007", FRAME6), "bad_length"),
        (_patched(18, "000f", FRAME6), "bad_length"),
        (_patched(18, "0100", FRAME6), "truncated"),
        (_patched(20, "2c 00", FRAME6)[:54] + bytes.fromhex("1100000900000001") + FRAME6[62:], "fragment"),
        (_patched(20, "2c 00", FRAME6)[:54] + bytes.fromhex("1100000100000001") + FRAME6[62:], "fragment"),
        (_patched(20, "2c 00", FRAME6)[:54] + bytes.fromhex("1100000800000001") + FRAME6[62:], "fragment"),
        (_patched(20, "2c 00", FRAME6)[:54] + bytes.fromhex("3c00000900000001") + FRAME6[62:], "fragment"),
        (_patched(20, "2c 00", FRAME6)[:54] + bytes.fromhex("0600000900000001") + FRAME6[62:], "not_udp"),
        (FRAME[:12] + bytes.fromhex("81000001") * 3 + FRAME[12:], "not_ip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_datagram_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(packet.PacketError) as caught:
        packet.parse(data)
    assert caught.value.reason == reason


def test_a_checksum_of_zero_is_sent_as_its_complement() -> None:
    headers = packet.Headers("0.0.0.0", "0.0.0.0", 0, 0)
    # The pseudo header adds 17 and 10, the segment 10: the payload brings the sum to 65535.
    payload = (0xFFFF - 17 - 10 - 10).to_bytes(2, "big")
    assert packet.build(headers, payload, link=packet.RAW)[26:28] == b"\xff\xff"
    absent = packet.parse(packet.build(replace(headers, udp_checksum=0), payload))
    assert packet.udp_checksum_ok(*absent)


def test_a_datagram_shorter_than_its_packet_is_whole() -> None:
    assert packet.parse(_patched(38, "000b"))[1] == b"num"


def test_raw_packets_of_no_version_are_not_ip() -> None:
    with pytest.raises(packet.PacketError, match="not_ip"):
        packet.parse(bytes(40), packet.RAW)
    with pytest.raises(packet.PacketError, match="not_ip"):
        packet.parse(bytes(40), 147)


@wire.unhurried
@given(st.binary(max_size=120), st.sampled_from([1, 101, 113]))
def test_random_bytes_have_a_reason(data: bytes, link: int) -> None:
    assert _reason(data, link) in (None, "truncated", "not_ip", "not_udp", "fragment", "bad_length")


def _reason(data: bytes, link: int) -> str | None:
    try:
        packet.parse(data, link)
    except packet.PacketError as error:
        return error.reason
    return None
