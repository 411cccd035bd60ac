"""Order books, the naive way: a side is a dict from price to its queue, and every question is answered by a walk."""

import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import xxhash

BID, ASK = SIDES = (0, 1)
INSTRUMENT_MAX = 2**24
U64_MAX = 2**64 - 1
PRICE_MIN, PRICE_MAX = -(2**63), 2**63 - 1
REJECT_MAX = 64
RECORD = struct.Struct("<QBqQQ")
CROSSED, LOCKED, HAS_BID, HAS_ASK = (1, 2, 4, 8)

# In the order of enum numi_book_reason.
REASONS = (
    "ok",
    "unknown_instrument",
    "bad_side",
    "zero_quantity",
    "bad_price",
    "unknown_order",
    "wrong_instrument",
    "excess_quantity",
    "duplicate_order",
    "overflow",
)

Event = Mapping[str, Any]
# [order, quantity] each, the oldest first.
Queue = list[list[int]]
Side = dict[int, Queue]


class Place(NamedTuple):
    """Where an order rests."""

    instrument: int
    side: int
    price: int


class Best(NamedTuple):
    """The best prices of an instrument and what rests there; None where a side is empty."""

    bid: int | None
    bid_quantity: int | None
    ask: int | None
    ask_quantity: int | None

    @property
    def prices(self) -> tuple[int | None, int | None]:
        """Without the quantities."""
        return self.bid, self.ask

    @property
    def crossed(self) -> bool:
        """The bid is above the ask."""
        return self.bid is not None and self.ask is not None and self.bid > self.ask

    @property
    def locked(self) -> bool:
        """The bid is equal to the ask."""
        return self.bid is not None and self.bid == self.ask

    @property
    def flags(self) -> int:
        """As enum numi_book_flag."""
        return (
            (CROSSED if self.crossed else 0)
            | (LOCKED if self.locked else 0)
            | (HAS_BID if self.bid is not None else 0)
            | (HAS_ASK if self.ask is not None else 0)
        )


class Change(NamedTuple):
    """The best prices after an event that changed them; 0 where a side is empty."""

    sequence: int
    exchange_ns: int
    bid: int
    ask: int
    bid_quantity: int
    ask_quantity: int
    instrument: int
    flags: int


class Reject(NamedTuple):
    """A message that was not applied, and why."""

    sequence: int
    order: int
    instrument: int
    kind: int
    reason: str


class Books:
    """All books; `places` has every resting order, by its id, in the order in which they came."""

    def __init__(self, consume_trades: bool = False) -> None:
        self.messages = self.applied = self.ignored = self.gaps = self.crossed = self.locked = 0
        self.reject_counts: Counter[str] = Counter()
        self.last_rejects: deque[Reject] = deque(maxlen=REJECT_MAX)
        self.places: dict[int, Place] = {}
        self._sides: dict[tuple[int, int], Side] = {}
        add, replace = (self._add_faults, self._add), (self._replace_faults, self._replace)
        reduce, delete = (self._reduce_faults, self._reduce), (self._delete_faults, self._delete)
        self._kinds = {"A": add, "F": add, "E": reduce, "C": reduce, "X": reduce, "D": delete, "U": replace}
        if consume_trades:
            self._kinds["P"] = reduce

    # --- what events do

    def apply(self, event: Event) -> str:
        """Applies one event; returns the reason why it was not, "ok" where it was or changes no book."""
        self.messages += 1
        kind = chr(event["kind"])
        if kind == "\0":
            self.gaps += 1
            return "ok"
        if kind not in self._kinds:
            self.ignored += 1
            return "ok"
        faults, change = self._kinds[kind]
        reason = next(faults(event), "ok")
        if reason == "ok":
            self._change(change, event)
        else:
            self._reject(event, reason)
        return reason

    def changes(self, event: Event, sizes: bool = False) -> Change | None:
        """Applies one event; returns the best prices if they are others now, with `sizes` also their quantities."""
        before = self.best(event["instrument"])
        self.apply(event)
        after = self.best(event["instrument"])
        if before == after or (not sizes and before.prices == after.prices):
            return None
        return Change(
            sequence=event["sequence"],
            exchange_ns=event["exchange_ns"],
            bid=after.bid or 0,
            ask=after.ask or 0,
            bid_quantity=after.bid_quantity or 0,
            ask_quantity=after.ask_quantity or 0,
            instrument=event["instrument"],
            flags=after.flags,
        )

    def clear(self) -> None:
        """Removes every order; what was counted stays."""
        self.places.clear()
        self._sides.clear()

    def _change(self, change: Callable[[Event], None], event: Event) -> None:
        # What is accepted names the instrument that it changes. Only the whole event is judged, not its halves.
        before = self.best(event["instrument"])
        change(event)
        after = self.best(event["instrument"])
        self.applied += 1
        self.crossed += after.crossed and not before.crossed
        self.locked += after.locked and not before.locked

    def _reject(self, event: Event, reason: str) -> None:
        self.reject_counts[reason] += 1
        self.last_rejects.append(
            Reject(event["sequence"], event["order"], event["instrument"], event["kind"], reason),
        )

    # --- add

    def _add_faults(self, event: Event) -> Iterator[str]:
        """What is wrong with an add; the first fault is the reason, those after it are not looked for."""
        if event["instrument"] >= INSTRUMENT_MAX:
            yield "unknown_instrument"
        if event["side"] not in SIDES:
            yield "bad_side"
        yield from _number_faults(event)
        if event["order"] in self.places:
            yield "duplicate_order"
        if self._total(_place_of(event)) + event["quantity"] > U64_MAX:
            yield "overflow"

    def _add(self, event: Event) -> None:
        self._insert(event["order"], _place_of(event), event["quantity"])

    # --- reduce

    def _reduce_faults(self, event: Event) -> Iterator[str]:
        yield from self._order_faults(event)
        if event["quantity"] > self.quantity(event["order"]):
            yield "excess_quantity"

    def _reduce(self, event: Event) -> None:
        entry = self._entry(event["order"])
        entry[1] -= event["quantity"]
        if entry[1] == 0:
            self._remove(event["order"])

    # --- delete

    def _delete_faults(self, event: Event) -> Iterator[str]:
        yield from self._order_faults(event)

    def _delete(self, event: Event) -> None:
        self._remove(event["order"])

    # --- replace

    def _replace_faults(self, event: Event) -> Iterator[str]:
        yield from _number_faults(event)
        yield from self._order_faults(event)
        old, new = event["order"], event["aux"]
        if new in self.places and new != old:
            yield "duplicate_order"
        place = self.places[old]._replace(price=event["price"])
        # The old order is gone from its level before the new one comes.
        leaves = self.quantity(old) if place == self.places[old] else 0
        if self._total(place) - leaves + event["quantity"] > U64_MAX:
            yield "overflow"

    def _replace(self, event: Event) -> None:
        place = self.places[event["order"]]._replace(price=event["price"])
        self._remove(event["order"])
        self._insert(event["aux"], place, event["quantity"])

    # --- parts of these

    def _order_faults(self, event: Event) -> Iterator[str]:
        if event["order"] not in self.places:
            yield "unknown_order"
        if event["instrument"] != self.places[event["order"]].instrument:
            yield "wrong_instrument"

    def _insert(self, order: int, place: Place, quantity: int) -> None:
        """To the back of the queue at its price."""
        side = self._sides.setdefault((place.instrument, place.side), {})
        side.setdefault(place.price, []).append([order, quantity])
        self.places[order] = place

    def _remove(self, order: int) -> None:
        """A level goes with its last order."""
        place = self.places.pop(order)
        side = self._side(place.instrument, place.side)
        side[place.price] = [entry for entry in side[place.price] if entry[0] != order]
        if not side[place.price]:
            del side[place.price]

    def _side(self, instrument: int, side: int) -> Side:
        return self._sides.get((instrument, side), {})

    def _queue(self, place: Place) -> Queue:
        return self._side(place.instrument, place.side).get(place.price, [])

    def _total(self, place: Place) -> int:
        return sum(quantity for _, quantity in self._queue(place))

    def _entry(self, order: int) -> list[int]:
        [entry] = [entry for entry in self._queue(self.places[order]) if entry[0] == order]
        return entry

    # --- what is asked

    def best(self, instrument: int) -> Best:
        """The best price of each side and its quantity."""
        (bid, bid_quantity), (ask, ask_quantity) = (self._best_of(instrument, side) for side in SIDES)
        return Best(bid, bid_quantity, ask, ask_quantity)

    def _best_of(self, instrument: int, side: int) -> tuple[int, int] | tuple[None, None]:
        prices = self._side(instrument, side)
        if not prices:
            return None, None
        price = max(prices) if side == BID else min(prices)
        return price, self._total(Place(instrument, side, price))

    def top(self, instrument: int, side: int, n: int) -> list[tuple[int, int, int]]:
        """Price, quantity and number of orders of the best `n` levels, the best first."""
        return [
            (price, self._total(Place(instrument, side, price)), len(queue))
            for price, queue in self._sorted(instrument, side)[:n]
        ]

    def queue(self, instrument: int, side: int, price: int) -> list[tuple[int, int]]:
        """Order and quantity of all that rest at a price, the oldest first."""
        return [(order, quantity) for order, quantity in self._queue(Place(instrument, side, price))]

    def quantity(self, order: int) -> int:
        """What rests of an order."""
        return self._entry(order)[1]

    def position(self, order: int) -> int | None:
        """How many are served before an order; None where it does not rest."""
        if order not in self.places:
            return None
        return [other for other, _ in self._queue(self.places[order])].index(order)

    def counts(self) -> dict[str, Any]:
        """Everything that is counted; of the rejects only the reasons that there were."""
        return {
            "messages": self.messages,
            "applied": self.applied,
            "ignored": self.ignored,
            "gaps": self.gaps,
            "crossed": self.crossed,
            "locked": self.locked,
            "live_orders": len(self.places),
            "live_levels": sum(map(len, self._sides.values())),
            "rejects": dict(self.reject_counts),
        }

    def state_hash(self, wire_ids: Mapping[int, int]) -> str:
        """XXH3-128 over all orders, by wire id, side, price and time; every instrument with orders has a wire id."""
        instruments = sorted({place.instrument for place in self.places.values()}, key=wire_ids.__getitem__)
        records = [
            RECORD.pack(wire_ids[instrument], side, price, order, quantity)
            for instrument in instruments
            for side in SIDES
            for price, queue in self._sorted(instrument, side)
            for order, quantity in queue
        ]
        return xxhash.xxh3_128_hexdigest(b"".join(records), seed=0)

    def _sorted(self, instrument: int, side: int) -> list[tuple[int, Queue]]:
        """The levels of a side, the best first."""
        return sorted(self._side(instrument, side).items(), reverse=side == BID)


def _place_of(add: Event) -> Place:
    return Place(add["instrument"], add["side"], add["price"])


def _number_faults(event: Event) -> Iterator[str]:
    if event["quantity"] == 0:
        yield "zero_quantity"
    if event["price"] in (PRICE_MIN, PRICE_MAX):
        yield "bad_price"
