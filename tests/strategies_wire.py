"""Hypothesis strategies for what comes over the wire: messages, packets, streams and captures, all of them valid."""

from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from numi_sim.model import capture, itch, packet, soup

LETTERS = tuple(itch.LAYOUTS)
U64_MAX = 2**64 - 1
PRINTABLE = bytes(range(0x20, 0x7F))

# The machine may be busy with other things: time says nothing about these tests.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Letters that mean something to the event; every other one-letter field takes any printable letter.
_CHOICES = {"buy_sell_indicator": b"BS", "printable": b"YN"}


def unsigned(length: int) -> st.SearchStrategy[int]:
    """An unsigned number of so many bytes, small ones, both ends and the sign bit among them."""
    top = 256**length - 1
    return st.one_of(st.integers(0, 1000), st.integers(0, top), st.sampled_from([0, 1, top // 2, top // 2 + 1, top]))


def letters(length: int, alphabet: bytes = PRINTABLE) -> st.SearchStrategy[bytes]:
    """Letters of a fixed length, padded with spaces on the right as the exchange does."""
    text = st.text(alphabet.decode(), min_size=min(length, 1), max_size=length)
    return text.map(lambda value: value.encode().ljust(length))


def field_values(field: itch.Field) -> st.SearchStrategy[itch.Value]:
    """What one field of a message may hold."""
    if field.kind == "alpha":
        return letters(field.length, _CHOICES.get(field.name, PRINTABLE))
    return unsigned(field.length)


def messages(*of: bytes) -> st.SearchStrategy[itch.Message]:
    """A valid message of one of these types, or of any, as a dict of all its fields."""
    return st.sampled_from(of or LETTERS).flatmap(_message)


def _message(letter: bytes) -> st.SearchStrategy[itch.Message]:
    fields = itch.LAYOUTS[letter].fields
    return st.fixed_dictionaries(
        {field.name: st.just(letter) if field.name == "message_type" else field_values(field) for field in fields}
    )


def encoded_messages(*of: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of a valid message."""
    return messages(*of).map(itch.encode)


def raw_messages(*of: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of a known type and its right length, anything at all in the fields."""
    return st.sampled_from(of or LETTERS).flatmap(
        lambda letter: st.binary(min_size=(n := itch.LAYOUTS[letter].length - 1), max_size=n).map(letter.__add__)
    )


def streams(max_size: int = 50) -> st.SearchStrategy[list[bytes]]:
    """Messages one after the other, of few enough stock locates that they come back."""
    few = st.tuples(encoded_messages(), st.integers(0, 5))
    return st.lists(few.map(lambda pair: pair[0][:1] + pair[1].to_bytes(2, "big") + pair[0][3:]), max_size=max_size)


def sessions() -> st.SearchStrategy[bytes]:
    """The ten bytes of a session."""
    return letters(10)


def mold_packets() -> st.SearchStrategy[tuple[bytes, int, list[bytes]]]:
    """Session, sequence and messages of a downstream packet; a heartbeat when there are none."""
    blocks = st.one_of(encoded_messages(), st.binary(max_size=60))
    return st.tuples(sessions(), unsigned(8), st.lists(blocks, max_size=20))


def soup_packets() -> st.SearchStrategy[soup.Packet]:
    """A valid packet of any type."""
    return st.sampled_from([*soup.WHOLE, *soup.FIELDS]).flatmap(_soup_packet)


def _soup_packet(letter: bytes) -> st.SearchStrategy[soup.Packet]:
    rows: dict[str, st.SearchStrategy[soup.Value]] = {"packet_type": st.just(letter)}
    if letter in soup.WHOLE:
        rows[soup.WHOLE[letter]] = st.one_of(st.binary(max_size=100), encoded_messages())
    for row in soup.FIELDS.get(letter, ()):
        rows[row.name] = unsigned(8) if row.kind == "number" else letters(row.length)
    return st.fixed_dictionaries(rows)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces, some of them empty, as TCP may hand them over."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _ports() -> st.SearchStrategy[int]:
    return unsigned(2)


def _words(length: int, first: int, most: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, most).flatmap(lambda n: st.binary(min_size=first + n * length, max_size=first + n * length))


def extensions() -> st.SearchStrategy[packet.Extension]:
    """An IPv6 extension header; a fragment header only of a datagram that is whole."""
    kinds = st.sampled_from([packet.HOP_BY_HOP, packet.ROUTING, packet.DESTINATION])
    whole = st.binary(min_size=4, max_size=4).map(lambda name: packet.Extension(packet.FRAGMENT, bytes(2) + name))
    return st.one_of(st.builds(packet.Extension, kinds, _words(8, 6, 3)), whole)


@st.composite
def headers(draw: st.DrawFn, version: Literal[4, 6] | None = None, *, tagged: bool = True) -> packet.Headers:
    """The headers of a whole UDP datagram over Ethernet, its checksum left to be counted."""
    version = version or (4 if draw(st.booleans()) else 6)
    tags = st.builds(packet.Vlan, st.sampled_from(packet.TAG_TYPES), unsigned(2))
    address = st.ip_addresses(v=version).map(str)
    return packet.Headers(
        source=draw(address),
        destination=draw(address),
        source_port=draw(_ports()),
        destination_port=draw(_ports()),
        source_mac=draw(st.binary(min_size=6, max_size=6)),
        destination_mac=draw(st.binary(min_size=6, max_size=6)),
        vlans=tuple(draw(st.lists(tags, max_size=packet.TAGS_MAX))) if tagged else (),
        traffic_class=draw(st.integers(0, 255)),
        ttl=draw(st.integers(0, 255)),
        identification=draw(unsigned(2)) if version == 4 else 0,
        fragment_bits=draw(st.sampled_from([0, 0x4000])) if version == 4 else 0,
        options=draw(_words(4, 0, 10)) if version == 4 else b"",
        extensions=tuple(draw(st.lists(extensions(), max_size=3))) if version == 6 else (),
    )


def payloads() -> st.SearchStrategy[bytes]:
    """What a datagram carries."""
    return st.binary(max_size=200)


def times_ns() -> st.SearchStrategy[int]:
    """Times that every format can hold: seconds of 32 bits, and any nanosecond."""
    return st.integers(0, (2**32 - 1) * capture.NS + 999_999_999)


def interfaces() -> st.SearchStrategy[capture.Interface]:
    """A pcapng interface whose clock holds the times of `times_ns` in 64 bits."""
    return st.builds(
        capture.Interface,
        link=st.sampled_from([packet.ETHERNET, packet.RAW, packet.LINUX_SLL]),
        snaplen=st.sampled_from([0, 64, 65535]),
        tsresol=st.sampled_from([0, 3, 6, 9, 0x80, 0x80 | 10, 0x80 | 20, 0x80 | 30]),
        tsoffset=st.integers(-(2**33), 0),
        name=letters(6),
    )
