"""Nasdaq TotalView-ITCH 5.0, every message type, from one table of fields.

A message on the wire is a type letter and fields of fixed place; integers are unsigned and big-endian, letters are
padded with spaces on the right. Nothing is interpreted: a price stays the wire's integer, letters stay bytes with
their padding, and a letter outside the specification's lists is as good as any other.
"""

from dataclasses import dataclass
from typing import Literal

from numi_sim.model.refused import RefusedError

Kind = Literal["integer", "price4", "price8", "alpha", "timestamp"]
Value = int | bytes
Message = dict[str, Value]


class ItchError(RefusedError):
    """Bytes that are no message, or a message that cannot be written."""


@dataclass(frozen=True)
class Field:
    """Where a field lies and how its bytes are read."""

    name: str
    offset: int
    length: int
    kind: Kind


@dataclass(frozen=True)
class Layout:
    """One message type."""

    letter: bytes
    title: str
    length: int
    fields: tuple[Field, ...]


def _layout(letter: str, title: str, length: int, *own: tuple[str, int, int, Kind]) -> Layout:
    fields = (
        Field("message_type", 0, 1, "alpha"),
        Field("stock_locate", 1, 2, "integer"),
        Field("tracking_number", 3, 2, "integer"),
        Field("timestamp", 5, 6, "timestamp"),
        *(Field(*row) for row in own),
    )
    return Layout(letter.encode(), title, length, fields)


_ALL = (
    _layout("S", "System Event", 12, ("event_code", 11, 1, "alpha")),
    _layout(
        "R",
        "Stock Directory",
        39,
        ("stock", 11, 8, "alpha"),
        ("market_category", 19, 1, "alpha"),
        ("financial_status", 20, 1, "alpha"),
        ("round_lot_size", 21, 4, "integer"),
        ("round_lots_only", 25, 1, "alpha"),
        ("issue_classification", 26, 1, "alpha"),
        ("issue_subtype", 27, 2, "alpha"),
        ("authenticity", 29, 1, "alpha"),
        ("short_sale_threshold", 30, 1, "alpha"),
        ("ipo_flag", 31, 1, "alpha"),
        ("luld_reference_price_tier", 32, 1, "alpha"),
        ("etp_flag", 33, 1, "alpha"),
        ("etp_leverage_factor", 34, 4, "integer"),
        ("inverse_indicator", 38, 1, "alpha"),
    ),
    _layout(
        "H",
        "Stock Trading Action",
        25,
        ("stock", 11, 8, "alpha"),
        ("trading_state", 19, 1, "alpha"),
        ("reserved", 20, 1, "alpha"),
        ("reason", 21, 4, "alpha"),
    ),
    _layout(
        "Y",
        "Reg SHO Short Sale Price Test Restricted Indicator",
        20,
        ("stock", 11, 8, "alpha"),
        ("reg_sho_action", 19, 1, "alpha"),
    ),
    _layout(
        "L",
        "Market Participant Position",
        26,
        ("mpid", 11, 4, "alpha"),
        ("stock", 15, 8, "alpha"),
        ("primary_market_maker", 23, 1, "alpha"),
        ("market_maker_mode", 24, 1, "alpha"),
        ("market_participant_state", 25, 1, "alpha"),
    ),
    _layout(
        "V",
        "MWCB Decline Level",
        35,
        ("level_1", 11, 8, "price8"),
        ("level_2", 19, 8, "price8"),
        ("level_3", 27, 8, "price8"),
    ),
    _layout("W", "MWCB Status", 12, ("breached_level", 11, 1, "alpha")),
    _layout(
        "K",
        "Quoting Period Update",
        28,
        ("stock", 11, 8, "alpha"),
        ("ipo_quotation_release_time", 19, 4, "integer"),
        ("ipo_quotation_release_qualifier", 23, 1, "alpha"),
        ("ipo_price", 24, 4, "price4"),
    ),
    _layout(
        "J",
        "LULD Auction Collar",
        35,
        ("stock", 11, 8, "alpha"),
        ("auction_collar_reference_price", 19, 4, "price4"),
        ("upper_auction_collar_price", 23, 4, "price4"),
        ("lower_auction_collar_price", 27, 4, "price4"),
        ("auction_collar_extension", 31, 4, "integer"),
    ),
    _layout(
        "h",
        "Operational Halt",
        21,
        ("stock", 11, 8, "alpha"),
        ("market_code", 19, 1, "alpha"),
        ("operational_halt_action", 20, 1, "alpha"),
    ),
    _layout(
        "A",
        "Add Order, no MPID",
        36,
        ("order_reference_number", 11, 8, "integer"),
        ("buy_sell_indicator", 19, 1, "alpha"),
        ("shares", 20, 4, "integer"),
        ("stock", 24, 8, "alpha"),
        ("price", 32, 4, "price4"),
    ),
    _layout(
        "F",
        "Add Order, with MPID",
        40,
        ("order_reference_number", 11, 8, "integer"),
        ("buy_sell_indicator", 19, 1, "alpha"),
        ("shares", 20, 4, "integer"),
        ("stock", 24, 8, "alpha"),
        ("price", 32, 4, "price4"),
        ("attribution", 36, 4, "alpha"),
    ),
    _layout(
        "E",
        "Order Executed",
        31,
        ("order_reference_number", 11, 8, "integer"),
        ("executed_shares", 19, 4, "integer"),
        ("match_number", 23, 8, "integer"),
    ),
    _layout(
        "C",
        "Order Executed With Price",
        36,
        ("order_reference_number", 11, 8, "integer"),
        ("executed_shares", 19, 4, "integer"),
        ("match_number", 23, 8, "integer"),
        ("printable", 31, 1, "alpha"),
        ("execution_price", 32, 4, "price4"),
    ),
    _layout(
        "X",
        "Order Cancel",
        23,
        ("order_reference_number", 11, 8, "integer"),
        ("cancelled_shares", 19, 4, "integer"),
    ),
    _layout("D", "Order Delete", 19, ("order_reference_number", 11, 8, "integer")),
    _layout(
        "U",
        "Order Replace",
        35,
        ("original_order_reference_number", 11, 8, "integer"),
        ("new_order_reference_number", 19, 8, "integer"),
        ("shares", 27, 4, "integer"),
        ("price", 31, 4, "price4"),
    ),
    _layout(
        "P",
        "Trade, non-cross",
        44,
        ("order_reference_number", 11, 8, "integer"),
        ("buy_sell_indicator", 19, 1, "alpha"),
        ("shares", 20, 4, "integer"),
        ("stock", 24, 8, "alpha"),
        ("price", 32, 4, "price4"),
        ("match_number", 36, 8, "integer"),
    ),
    _layout(
        "Q",
        "Cross Trade",
        40,
        ("shares", 11, 8, "integer"),
        ("stock", 19, 8, "alpha"),
        ("cross_price", 27, 4, "price4"),
        ("match_number", 31, 8, "integer"),
        ("cross_type", 39, 1, "alpha"),
    ),
    _layout("B", "Broken Trade", 19, ("match_number", 11, 8, "integer")),
    _layout(
        "I",
        "Net Order Imbalance Indicator",
        50,
        ("paired_shares", 11, 8, "integer"),
        ("imbalance_shares", 19, 8, "integer"),
        ("imbalance_direction", 27, 1, "alpha"),
        ("stock", 28, 8, "alpha"),
        ("far_price", 36, 4, "price4"),
        ("near_price", 40, 4, "price4"),
        ("current_reference_price", 44, 4, "price4"),
        ("cross_type", 48, 1, "alpha"),
        ("price_variation_indicator", 49, 1, "alpha"),
    ),
    _layout(
        "N",
        "Retail Price Improvement Indicator",
        20,
        ("stock", 11, 8, "alpha"),
        ("interest_flag", 19, 1, "alpha"),
    ),
    _layout(
        "O",
        "Direct Listing with Capital Raise Price Discovery",
        48,
        ("stock", 11, 8, "alpha"),
        ("open_eligibility_status", 19, 1, "alpha"),
        ("minimum_allowable_price", 20, 4, "price4"),
        ("maximum_allowable_price", 24, 4, "price4"),
        ("near_execution_price", 28, 4, "price4"),
        ("near_execution_time", 32, 8, "integer"),
        ("lower_price_range_collar", 40, 4, "price4"),
        ("upper_price_range_collar", 44, 4, "price4"),
    ),
)

LAYOUTS: dict[bytes, Layout] = {layout.letter: layout for layout in _ALL}


def layout_of(letter: bytes) -> Layout:
    """The table of one message type."""
    if letter not in LAYOUTS:
        raise ItchError("unknown_type", repr(letter))
    return LAYOUTS[letter]


def decode(data: bytes) -> Message:
    """Every field of one message; its length must be that of its type, to the byte."""
    if not data:
        raise ItchError("bad_length", "an empty message has no type")
    layout = layout_of(data[:1])
    if len(data) != layout.length:
        raise ItchError("bad_length", f"{layout.letter!r} takes {layout.length} bytes, not {len(data)}")
    return {field.name: _read(field, data) for field in layout.fields}


def encode(message: Message) -> bytes:
    """The bytes of a message that has exactly the fields of its type; short letters are padded with spaces."""
    letter = message.get("message_type")
    if not isinstance(letter, bytes):
        raise ItchError("unknown_type", repr(letter))
    layout = layout_of(letter)
    names = {field.name for field in layout.fields}
    if names != set(message):
        raise ItchError("bad_fields", f"{letter!r} differs by {sorted(names ^ set(message))}")
    return b"".join(_write(field, message[field.name]) for field in layout.fields)


def _read(field: Field, data: bytes) -> Value:
    part = data[field.offset : field.offset + field.length]
    return part if field.kind == "alpha" else int.from_bytes(part, "big")


def _write(field: Field, value: Value) -> bytes:
    if isinstance(value, bytes) != (field.kind == "alpha"):
        raise ItchError("bad_value", f"{field.name} is {field.kind}, got {value!r}")
    if isinstance(value, int) and 0 <= value < 256**field.length:
        return value.to_bytes(field.length, "big")
    if isinstance(value, bytes) and len(value) <= field.length:
        return value.ljust(field.length)
    raise ItchError("bad_value", f"{field.name} has {field.length} bytes, not enough for {value!r}")
