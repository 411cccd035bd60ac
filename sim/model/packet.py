"""Ethernet, IPv4, IPv6 and UDP headers: built, and taken apart again.

What a packet is comes before whether it is whole: a foreign packet cut short is foreign. For each layer the order is:
its fixed header is there (else truncated), it is of its version (not_ip), its own length makes sense (bad_length) and
is there (truncated), it leads to UDP (not_udp), it is not a piece of a datagram (fragment), the length it gives for
the rest makes sense (bad_length) and is there (truncated). Bytes after the datagram, such as Ethernet's padding, are
nobody's. Checksums are written but never judged by `parse`: a capture of one's own sending has none yet.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from numi_sim.model.refused import RefusedError

ETHERNET, RAW, LINUX_SLL = 1, 101, 113
IPV4_TYPE, IPV6_TYPE = 0x0800, 0x86DD
TAG_TYPES = (0x8100, 0x88A8, 0x9100)
TAGS_MAX = 2
UDP = 17
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
EXTENSIONS = (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION)


class PacketError(RefusedError):
    """Why there is no datagram here: truncated, not_ip, not_udp, fragment or bad_length."""


class Vlan(NamedTuple):
    """A tag: its own Ethernet type, and priority and number in one."""

    kind: int
    control: int


class Extension(NamedTuple):
    """An IPv6 extension header: its number, and what follows its first two bytes."""

    kind: int
    body: bytes


@dataclass(frozen=True)
class Headers:
    """All that stands before a payload. `udp_checksum` None asks `build` to count it; 0 says that there is none."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    source_mac: bytes = bytes(6)
    destination_mac: bytes = bytes(6)
    vlans: tuple[Vlan, ...] = ()
    traffic_class: int = 0
    ttl: int = 64
    identification: int = 0
    fragment_bits: int = 0
    options: bytes = b""
    extensions: tuple[Extension, ...] = ()
    udp_checksum: int | None = None
    length: int = field(default=0, compare=False)


def build(headers: Headers, payload: bytes, *, link: int = ETHERNET, pad_to: int = 0) -> bytes:
    """The bytes of one packet, followed by zeros up to `pad_to`.

    `fragment_bits` are the three flags and the offset of IPv4; in IPv6 a fragment is an extension. Options must fill
    whole words of 4 bytes, extensions whole words of 8 with their first two bytes.
    """
    segment = _build_udp(headers, payload)
    ip = _build_ipv4(headers, segment) if _version(headers.source) == 4 else _build_ipv6(headers, segment)
    return (_build_link(headers, link) + ip).ljust(pad_to, b"\0")


def parse(data: bytes, link: int = ETHERNET) -> tuple[Headers, bytes]:
    """The headers and the payload of a whole UDP datagram, or a PacketError with the reason."""
    link_fields, at, version = _parse_link(data, link)
    ip_fields, start, end = _parse_ipv4(data, at) if version == 4 else _parse_ipv6(data, at)
    udp_fields, payload = _parse_udp(data, start, end)
    return Headers(**link_fields, **ip_fields, **udp_fields, length=start + 8), payload


def multicast_mac(group: str) -> bytes:
    """The Ethernet address of a multicast group."""
    packed = ip_address(group).packed
    if len(packed) == 4:
        return b"\x01\x00\x5e" + bytes([packed[1] & 0x7F]) + packed[2:]
    return b"\x33\x33" + packed[-4:]


def internet_checksum(data: bytes) -> int:
    """The complement of the one's complement sum of 16-bit words."""
    padded = data + bytes(len(data) % 2)
    total = sum(_u16(padded, at) for at in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def udp_checksum(source: str, destination: str, segment: bytes) -> int:
    """The checksum of a segment whose own checksum is 0; a sum of 0 is sent as 65535."""
    if _version(source) == 4:
        tail = bytes([0, UDP]) + len(segment).to_bytes(2, "big")
    else:
        tail = len(segment).to_bytes(4, "big") + bytes([0, 0, 0, UDP])
    pseudo = ip_address(source).packed + ip_address(destination).packed + tail
    return internet_checksum(pseudo + segment) or 0xFFFF


def udp_checksum_ok(headers: Headers, payload: bytes) -> bool:
    """Whether the checksum that was on the wire is right, or absent where it may be."""
    if headers.udp_checksum == 0:
        return _version(headers.source) == 4
    return _build_udp(replace(headers, udp_checksum=None), payload)[6:8] == _be(headers.udp_checksum or 0)


def _build_link(headers: Headers, link: int) -> bytes:
    ip_type = IPV4_TYPE if _version(headers.source) == 4 else IPV6_TYPE
    tags = b"".join(_be(tag.kind) + _be(tag.control) for tag in headers.vlans)
    if link == ETHERNET:
        return headers.destination_mac + headers.source_mac + tags + _be(ip_type)
    if link == LINUX_SLL:
        return _be(0) + _be(1) + _be(6) + headers.source_mac + bytes(2) + tags + _be(ip_type)
    assert link == RAW, f"no link type {link}"
    return b""


def _build_ipv4(headers: Headers, segment: bytes) -> bytes:
    header_length = 20 + len(headers.options)
    before = (
        bytes([0x40 | header_length // 4, headers.traffic_class])
        + _be(header_length + len(segment))
        + _be(headers.identification)
        + _be(headers.fragment_bits)
        + bytes([headers.ttl, UDP])
    )
    after = IPv4Address(headers.source).packed + IPv4Address(headers.destination).packed + headers.options
    return before + _be(internet_checksum(before + bytes(2) + after)) + after + segment


def _build_ipv6(headers: Headers, segment: bytes) -> bytes:
    kinds = [*(extension.kind for extension in headers.extensions), UDP]
    chain = b"".join(
        bytes([following, 0 if extension.kind == FRAGMENT else (len(extension.body) - 6) // 8]) + extension.body
        for extension, following in zip(headers.extensions, kinds[1:], strict=True)
    )
    return (
        (6 << 28 | headers.traffic_class << 20).to_bytes(4, "big")
        + _be(len(chain) + len(segment))
        + bytes([kinds[0], headers.ttl])
        + IPv6Address(headers.source).packed
        + IPv6Address(headers.destination).packed
        + chain
        + segment
    )


def _build_udp(headers: Headers, payload: bytes) -> bytes:
    start = _be(headers.source_port) + _be(headers.destination_port) + _be(8 + len(payload))
    checksum = headers.udp_checksum
    if checksum is None:
        checksum = udp_checksum(headers.source, headers.destination, start + bytes(2) + payload)
    return start + _be(checksum) + payload


def _parse_link(data: bytes, link: int) -> tuple[dict[str, Any], int, int]:
    if link == RAW:
        _need(data, 0, 1)
        return {}, 0, _version_of({4: IPV4_TYPE, 6: IPV6_TYPE}.get(data[0] >> 4, 0))
    if link not in (ETHERNET, LINUX_SLL):
        raise PacketError("not_ip", f"unknown link type {link}")
    at = 12 if link == ETHERNET else 14
    _need(data, at, 2)
    vlans: list[Vlan] = []
    while _u16(data, at) in TAG_TYPES and len(vlans) < TAGS_MAX:
        _need(data, at, 6)
        vlans.append(Vlan(_u16(data, at), _u16(data, at + 2)))
        at += 4
    macs = {"destination_mac": data[:6]} if link == ETHERNET else {}
    return {**macs, "source_mac": data[6:12], "vlans": tuple(vlans)}, at + 2, _version_of(_u16(data, at))


def _parse_ipv4(data: bytes, at: int) -> tuple[dict[str, Any], int, int]:
    _need(data, at, 20)
    _check_version(data, at, 4)
    header_length = (data[at] & 15) * 4
    if header_length < 20:
        raise PacketError("bad_length", f"an IPv4 header of {header_length} bytes")
    _need(data, at, header_length)
    _check_udp(data[at + 9])
    fragment_bits = _u16(data, at + 6)
    if fragment_bits & 0x3FFF:
        raise PacketError("fragment", f"flags and offset {fragment_bits:#x}")
    total = _u16(data, at + 2)
    if total < header_length:
        raise PacketError("bad_length", f"an IPv4 packet of {total} bytes")
    _need(data, at, total)
    fields = {
        "source": str(IPv4Address(data[at + 12 : at + 16])),
        "destination": str(IPv4Address(data[at + 16 : at + 20])),
        "traffic_class": data[at + 1],
        "ttl": data[at + 8],
        "identification": _u16(data, at + 4),
        "fragment_bits": fragment_bits,
        "options": data[at + 20 : at + header_length],
    }
    return fields, at + header_length, at + total


def _parse_ipv6(data: bytes, at: int) -> tuple[dict[str, Any], int, int]:
    _need(data, at, 40)
    _check_version(data, at, 6)
    end = at + 40 + _u16(data, at + 4)
    kind, start = data[at + 6], at + 40
    extensions = []
    while kind in EXTENSIONS:
        length = _extension_length(data, start, end, kind)
        extensions.append(Extension(kind, data[start + 2 : start + length]))
        kind, start = data[start], start + length
    _check_udp(kind)
    _need(data, at, end - at)
    fields = {
        "source": str(IPv6Address(data[at + 8 : at + 24])),
        "destination": str(IPv6Address(data[at + 24 : at + 40])),
        "traffic_class": _u16(data, at) >> 4 & 0xFF,
        "ttl": data[at + 7],
        "extensions": tuple(extensions),
    }
    return fields, start, end


def _extension_length(data: bytes, start: int, end: int, kind: int) -> int:
    _check_room(data, start, end, 8)
    length = 8 if kind == FRAGMENT else 8 * (data[start + 1] + 1)
    _check_room(data, start, end, length)
    # The first and only piece of a datagram is whole, and its offset and its last bit are 0.
    if kind == FRAGMENT and _u16(data, start + 2) & 0xFFF9:
        if data[start] not in EXTENSIONS:
            _check_udp(data[start])
        raise PacketError("fragment", f"offset and flag {_u16(data, start + 2):#x}")
    return length


def _parse_udp(data: bytes, start: int, end: int) -> tuple[dict[str, Any], bytes]:
    room = end - start
    if room < 8:
        raise PacketError("bad_length", f"{room} bytes for a UDP header")
    length = _u16(data, start + 4)
    if not 8 <= length <= room:
        raise PacketError("bad_length", f"a UDP datagram of {length} bytes in {room}")
    fields = {
        "source_port": _u16(data, start),
        "destination_port": _u16(data, start + 2),
        "udp_checksum": _u16(data, start + 6),
    }
    return fields, data[start + 8 : start + length]


def _need(data: bytes, at: int, length: int) -> None:
    if len(data) < at + length:
        raise PacketError("truncated", f"{len(data)} bytes where {at + length} are needed")


def _check_room(data: bytes, start: int, end: int, length: int) -> None:
    if start + length > end:
        raise PacketError("bad_length", f"an extension header of {length} bytes beyond the packet")
    _need(data, start, length)


def _check_version(data: bytes, at: int, version: int) -> None:
    if data[at] >> 4 != version:
        raise PacketError("not_ip", f"version {data[at] >> 4} where the link says {version}")


def _check_udp(protocol: int) -> None:
    if protocol != UDP:
        raise PacketError("not_udp", f"protocol {protocol}")


def _version_of(link_type: int) -> int:
    versions = {IPV4_TYPE: 4, IPV6_TYPE: 6}
    if link_type not in versions:
        raise PacketError("not_ip", f"type {link_type:#06x}")
    return versions[link_type]


def _version(address: str) -> int:
    return ip_address(address).version


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _be(value: int) -> bytes:
    return value.to_bytes(2, "big")
