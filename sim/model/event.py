"""The 64-byte event record: what one ITCH message says, and nothing that it does not say.

Each message gives one event. A field that the wire does not carry is 0, and no book fills it in. `side` is 255 unless
the message names a side.
"""

import struct
from collections.abc import Iterable
from typing import TypedDict, cast

import xxhash

from numi_sim.model import itch

RECORD = struct.Struct("<QQqQQQqIBBH")
NO_SIDE = 255
STAMP_MASK = 0x00FF
NOT_PRINTABLE = 0x0100

_SIDES = {b"B": 0, b"S": 1}

# Which field of the wire goes where. A type that is not named here fills none of the four.
_ORDER = {**dict.fromkeys("AFECXDP", "order_reference_number"), "U": "original_order_reference_number"}
_PRICE = {
    **dict.fromkeys("AFUP", "price"),
    "C": "execution_price",
    "Q": "cross_price",
    "I": "current_reference_price",
    "K": "ipo_price",
    "J": "auction_collar_reference_price",
    "O": "near_execution_price",
}
_QUANTITY = {
    **dict.fromkeys("AFUPQ", "shares"),
    **dict.fromkeys("EC", "executed_shares"),
    "X": "cancelled_shares",
    "I": "paired_shares",
}
_AUX = {**dict.fromkeys("ECPQB", "match_number"), "U": "new_order_reference_number"}


class Event(TypedDict):
    """The record's fields, in the record's order."""

    sequence: int
    order: int
    price: int
    quantity: int
    aux: int
    exchange_ns: int
    rx_ns: int
    instrument: int
    kind: int
    side: int
    flags: int


def event_of(
    message: itch.Message | bytes, sequence: int, instruments: dict[int, int], *, rx_ns: int = 0, stamp: int = 0
) -> Event:
    """The event of one message.

    `instruments` maps each stock locate to the order in which it first appeared, and grows as locates appear. `stamp`
    is the low byte of the flags: the stamp's source in bits 0-3, its clock domain in bits 4-7.
    """
    fields = itch.decode(message) if isinstance(message, bytes) else message
    kind = _letter(fields["message_type"])
    return {
        "sequence": sequence,
        "order": _pick(_ORDER, chr(kind), fields),
        "price": _pick(_PRICE, chr(kind), fields),
        "quantity": _pick(_QUANTITY, chr(kind), fields),
        "aux": _pick(_AUX, chr(kind), fields),
        "exchange_ns": _number(fields["timestamp"]),
        "rx_ns": rx_ns,
        "instrument": instruments.setdefault(_number(fields["stock_locate"]), len(instruments)),
        "kind": kind,
        "side": _side(fields),
        "flags": (stamp & STAMP_MASK) | (NOT_PRINTABLE if fields.get("printable") == b"N" else 0),
    }


def events_of(messages: Iterable[itch.Message | bytes], first: int = 1) -> list[Event]:
    """The events of a whole stream, numbered from `first` on."""
    instruments: dict[int, int] = {}
    return [event_of(message, first + index, instruments) for index, message in enumerate(messages)]


def gap_of(start: int, end: int) -> Event:
    """The event of a declared gap: kind 0, `order` and `aux` its two ends as they were declared."""
    return {
        "sequence": start,
        "order": start,
        "price": 0,
        "quantity": 0,
        "aux": end,
        "exchange_ns": 0,
        "rx_ns": 0,
        "instrument": 0,
        "kind": 0,
        "side": NO_SIDE,
        "flags": 0,
    }


def pack(event: Event) -> bytes:
    """The record as it lies in memory: little-endian, without padding."""
    return RECORD.pack(
        event["sequence"],
        event["order"],
        event["price"],
        event["quantity"],
        event["aux"],
        event["exchange_ns"],
        event["rx_ns"],
        event["instrument"],
        event["kind"],
        event["side"],
        event["flags"],
    )


def unpack(record: bytes) -> Event:
    """The fields of one record."""
    return cast(Event, dict(zip(Event.__annotations__, RECORD.unpack(record), strict=True)))


def event_hash(events: Iterable[Event]) -> int:
    """XXH3-64 with seed 0 over the records without receive time and stamp, one after the other."""
    digest = xxhash.xxh3_64(seed=0)
    for event in events:
        digest.update(pack(without_stamp(event)))
    return digest.intdigest()


def without_stamp(event: Event) -> Event:
    """The same event, whenever and wherever it was received."""
    return {**event, "rx_ns": 0, "flags": event["flags"] & ~STAMP_MASK}


def _pick(table: dict[str, str], kind: str, fields: itch.Message) -> int:
    return _number(fields[table[kind]]) if kind in table else 0


def _side(fields: itch.Message) -> int:
    named = fields.get("buy_sell_indicator")
    return _SIDES.get(named, NO_SIDE) if isinstance(named, bytes) else NO_SIDE


def _number(value: itch.Value) -> int:
    assert isinstance(value, int)
    return value


def _letter(value: itch.Value) -> int:
    assert isinstance(value, bytes)
    return value[0]
