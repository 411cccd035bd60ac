"""SoupBinTCP 3.0: logical packets on a byte stream.

A packet is a length of two bytes, big-endian, that counts what follows it: one letter for the type and the payload.
Numbers inside a payload are ASCII digits in 20 bytes, padded with spaces on the left. TCP may cut the stream
anywhere, so a `Framer` collects bytes until a packet is whole.
"""

from dataclasses import dataclass
from typing import Literal

from numi_sim.model.refused import RefusedError

Value = int | bytes
Packet = dict[str, Value]

SERVER_TYPES = b"+AJSHZ"
CLIENT_TYPES = b"+LURO"
U64_MAX = 2**64 - 1


class SoupError(RefusedError):
    """Bytes that are no packet, or a packet that cannot be written."""


@dataclass(frozen=True)
class Field:
    """A field of fixed length; `pad` says on which side the spaces stand, "left" for numbers."""

    name: str
    length: int
    kind: Literal["alpha", "number"]
    pad: Literal["left", "right"]


# The types whose payload is a row of fields, and those whose payload is all one thing.
FIELDS: dict[bytes, tuple[Field, ...]] = {
    b"A": (Field("session", 10, "alpha", "left"), Field("sequence_number", 20, "number", "left")),
    b"J": (Field("reject_reason_code", 1, "alpha", "right"),),
    b"L": (
        Field("username", 6, "alpha", "right"),
        Field("password", 10, "alpha", "right"),
        Field("requested_session", 10, "alpha", "left"),
        Field("requested_sequence_number", 20, "number", "left"),
    ),
    b"H": (),
    b"Z": (),
    b"R": (),
    b"O": (),
}
WHOLE: dict[bytes, str] = {b"+": "text", b"S": "message", b"U": "message"}


def encode(packet: Packet) -> bytes:
    """The whole packet, length and all; `packet_type` is its letter."""
    letter = packet["packet_type"]
    if not isinstance(letter, bytes) or (letter not in FIELDS and letter not in WHOLE):
        raise SoupError("unknown_type", repr(letter))
    payload = _encode_payload(letter, packet)
    if len(payload) >= 0xFFFF:
        raise SoupError("bad_length", f"a payload of {len(payload)} bytes")
    return (len(payload) + 1).to_bytes(2, "big") + letter + payload


def decode(data: bytes) -> Packet:
    """One whole packet, length and all. Letters keep their padding, numbers become integers."""
    if len(data) < 3 or int.from_bytes(data[:2], "big") != len(data) - 2:
        raise SoupError("bad_length", f"{len(data)} bytes are not what their length says, or have no type")
    letter, payload = data[2:3], data[3:]
    if letter in WHOLE:
        return {"packet_type": letter, WHOLE[letter]: payload}
    if letter not in FIELDS:
        raise SoupError("unknown_type", repr(letter))
    return {"packet_type": letter, **_decode_fields(letter, payload)}


@dataclass
class Framer:
    """Collects a stream and hands out its packets, each with its length in front."""

    pending: bytes = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole now; what is left waits for more."""
        self.pending += data
        packets = []
        while (end := _end_of_first(self.pending)) is not None:
            packets.append(self.pending[:end])
            self.pending = self.pending[end:]
        return packets


def _end_of_first(stream: bytes) -> int | None:
    if len(stream) < 2:
        return None
    end = 2 + int.from_bytes(stream[:2], "big")
    return end if end <= len(stream) else None


def _encode_payload(letter: bytes, packet: Packet) -> bytes:
    if letter in WHOLE:
        whole = packet.get(WHOLE[letter])
        if not isinstance(whole, bytes) or len(packet) != 2:
            raise SoupError("bad_fields", f"{letter!r} has {WHOLE[letter]}")
        return whole
    names = {row.name for row in FIELDS[letter]}
    if set(packet) != names | {"packet_type"}:
        raise SoupError("bad_fields", f"{letter!r} has {sorted(names)}")
    return b"".join(_write(row, packet[row.name]) for row in FIELDS[letter])


def _decode_fields(letter: bytes, payload: bytes) -> Packet:
    wanted = sum(row.length for row in FIELDS[letter])
    if len(payload) != wanted:
        raise SoupError("bad_length", f"{letter!r} carries {wanted} bytes, not {len(payload)}")
    fields: Packet = {}
    at = 0
    for row in FIELDS[letter]:
        part = payload[at : at + row.length]
        fields[row.name] = _number(part) if row.kind == "number" else part
        at += row.length
    return fields


def _write(row: Field, value: Value) -> bytes:
    if isinstance(value, bytes) != (row.kind == "alpha"):
        raise SoupError("bad_value", f"{row.name} is {row.kind}, got {value!r}")
    text = value if isinstance(value, bytes) else str(value).encode()
    if len(text) > row.length or (isinstance(value, int) and not 0 <= value <= U64_MAX):
        raise SoupError("bad_value", f"{row.name} has no room for {value!r}")
    return text.rjust(row.length) if row.pad == "left" else text.ljust(row.length)


def _number(text: bytes) -> int:
    digits = text.strip(b" ")
    if not digits.isdigit() or int(digits) > U64_MAX:
        raise SoupError("bad_number", repr(text))
    return int(digits)
