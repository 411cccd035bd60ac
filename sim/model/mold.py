"""MoldUDP64: packets that carry numbered messages, and the request for those that were missed.

A downstream packet is a session of ten bytes, the sequence number of its first message (8 bytes), a count (2 bytes)
and then that many blocks: a length of two bytes and the message. Two counts carry no blocks: 0 is a heartbeat, 65535
the end of the session, and the sequence number of both is that of the next message to come. A request has the same
20 bytes and nothing after them: from which message on, and how many. All integers are big-endian.
"""

from collections.abc import Sequence

from numi_sim.model.refused import RefusedError

HEADER_LENGTH = 20
HEARTBEAT = 0
END_OF_SESSION = 0xFFFF

Header = tuple[bytes, int, int]  # session, sequence, count
Packet = tuple[bytes, int, int, list[bytes]]  # a header and the messages; the first has the header's sequence


class MoldError(RefusedError):
    """Bytes that are no packet, or a packet that cannot be written."""


def encode(session: bytes, sequence: int, messages: Sequence[bytes]) -> bytes:
    """A packet of messages; without any it is a heartbeat."""
    if len(messages) >= END_OF_SESSION:
        raise MoldError("too_many", f"{len(messages)} messages, at most {END_OF_SESSION - 1}")
    return _header(session, sequence, len(messages)) + b"".join(_block(message) for message in messages)


def heartbeat(session: bytes, sequence: int) -> bytes:
    """Nothing to send; `sequence` comes next."""
    return _header(session, sequence, HEARTBEAT)


def end_of_session(session: bytes, sequence: int) -> bytes:
    """Nothing will come any more; `sequence` would have been next."""
    return _header(session, sequence, END_OF_SESSION)


def request(session: bytes, sequence: int, count: int) -> bytes:
    """What a receiver sends to have messages again."""
    return _header(session, sequence, count)


def decode(payload: bytes) -> Packet:
    """A downstream packet: as many blocks as its count says, and not a byte more."""
    session, sequence, count = _read_header(payload)
    messages = []
    at = HEADER_LENGTH
    for _ in range(0 if count == END_OF_SESSION else count):
        message = _read_block(payload, at)
        messages.append(message)
        at += 2 + len(message)
    if at != len(payload):
        raise MoldError("trailing", f"{len(payload) - at} bytes after the last block")
    return session, sequence, count, messages


def decode_request(payload: bytes) -> Header:
    """A request for `count` messages from `sequence` on: a header alone."""
    header = _read_header(payload)
    if len(payload) != HEADER_LENGTH:
        raise MoldError("trailing", f"{len(payload) - HEADER_LENGTH} bytes after the request")
    return header


def _header(session: bytes, sequence: int, count: int) -> bytes:
    if len(session) != 10:
        raise MoldError("bad_session", f"{session!r} has not ten bytes")
    return session + sequence.to_bytes(8, "big") + count.to_bytes(2, "big")


def _read_header(payload: bytes) -> Header:
    if len(payload) < HEADER_LENGTH:
        raise MoldError("short_header", f"{len(payload)} bytes of {HEADER_LENGTH}")
    return payload[:10], int.from_bytes(payload[10:18], "big"), int.from_bytes(payload[18:20], "big")


def _block(message: bytes) -> bytes:
    if len(message) > 0xFFFF:
        raise MoldError("too_long", f"a message of {len(message)} bytes")
    return len(message).to_bytes(2, "big") + message


def _read_block(payload: bytes, at: int) -> bytes:
    if len(payload) - at < 2:
        raise MoldError("short_block", f"no length at offset {at}")
    length = int.from_bytes(payload[at : at + 2], "big")
    message = payload[at + 2 : at + 2 + length]
    if len(message) < length:
        raise MoldError("short_block", f"{len(message)} bytes of {length} at offset {at}")
    return message
