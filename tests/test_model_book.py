"""The compiled books against the naive ones: every order, level, best price, count and reject, and the state hash.

A `Flow` builds events aimed at what rests. Hypothesis makes its choices one by one where a failure is to be shrunk, a
seeded generator makes them where many events are wanted; a failing example prints the events themselves.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from random import Random
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_sim.model import book
from numi_sim.model.book import ASK, BID, INSTRUMENT_MAX, PRICE_MAX, PRICE_MIN, SIDES, U64_MAX
from numi_sim.model.event import Event, pack

SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA")
# Neither rising nor falling with the instrument's index.
WIRE_IDS = (9, 2**40, 3, 2**64 - 1)
INSTRUMENTS = range(len(SYMBOLS))
SIDE_NAMES = ("bid", "ask")
MIDDLE = 1000
NOWHERE = 77_777_777  # a price at which nothing rests
WHOLE = 1000  # levels, more than any book has here
EMPTY_HASH = "99aa06d3014798d86001c324468d497f"

LEVEL = ["price", "quantity", "order_count"]
ORDER = ["order", "quantity", "price", "position", "instrument", "side"]
REJECT = ["sequence", "order", "instrument", "kind", "reason"]
CHANGE = ["sequence", "exchange_ns", "bid", "ask", "bid_quantity", "ask_quantity", "instrument", "flags"]


# --- events


def event_of(kind: str, sequence: int = 1, **fields: int) -> Event:
    """An event; what an order's message does not carry is noise that no book may look at."""
    return {
        "sequence": sequence,
        "order": 0,
        "price": 12345,
        "quantity": 6,
        "aux": 7,
        "exchange_ns": 1000 * sequence,
        "rx_ns": -sequence,
        "instrument": 0,
        "kind": ord(kind),
        "side": 255,
        "flags": 0x1FF,
        **fields,  # type: ignore[typeddict-item]
    }


def array_of(events: Iterable[Event]) -> Any:
    """The events as the core takes them."""
    return np.frombuffer(b"".join(map(pack, events)), dtype_of("numi_event"))


# --- ids: how the next order's follows from the last one's. All are taken modulo 2^64, and again until one is free.


def dense(random: Random, last: int) -> int:
    """Rising by one, now and then by some more, as an exchange counts."""
    return last + 1 if random.randrange(8) else last + random.randrange(1, 200)


def restless(random: Random, last: int) -> int:
    """Back and forth, by less or more than a window of 64."""
    return last + random.randint(-150, 160)


def leaping(random: Random, last: int) -> int:
    """Dense for so long that the window follows, and then from somewhere else."""
    return last + random.choice((5000, 10**6, -5000, -(10**6), 2**40)) if not random.randrange(1500) else last + 1


def anything(random: Random, last: int) -> int:
    """Of any size."""
    return random.getrandbits(random.choice((4, 8, 16, 32, 63, 64)))


def congruent(random: Random, last: int) -> int:
    """Equal modulo some power of two."""
    return random.randrange(3) + (random.randrange(64) << random.choice((6, 7, 10, 12, 20, 32, 48, 58)))


def crafted(random: Random, last: int) -> int:
    """Of one hash, with the seed 0, whose place is a table's last: numi_table_hash of feed/table.h, undone."""
    factor, low = 0x9E3779B97F4A7C15, random.randrange(2**12)
    high = (0xFFFFFFFD - (low * factor % 2**64 >> 32)) * pow(factor % 2**32, -1, 2**32) % 2**32
    return high << 32 | low


class Market(NamedTuple):
    """Where prices lie."""

    unit: int = 1
    spread: int = 6  # units to each side of the middle, some across it
    drift: int = 0  # of the middle, with each price
    odd: float = 0.0  # share of the prices that are no whole unit
    middle: int = MIDDLE


class Config(NamedTuple):
    """Ids, the options of the books that meet them, and prices."""

    ids: Callable[[Random, int], int]
    options: dict[str, Any]
    market: Market = Market()


CONFIGS = {
    "never": Config(dense, {"ahead": "never"}),
    "always": Config(dense, {"ahead": "always"}),
    "march": Config(dense, {"ahead": "always", "window_bits": 7}),
    "restless": Config(restless, {"ahead": "never", "window_bits": 7}),
    "leaping": Config(leaping, {"ahead": "never", "window_bits": 8}),
    "anything": Config(anything, {"ahead": "always", "window_bits": 7, "seed": 2**64 - 1}),
    "congruent": Config(congruent, {"ahead": "always", "window_bits": 10, "seed": 3}),
    "crafted": Config(crafted, {"ahead": "always", "window_bits": 7}),
    # Ladders: near and far, laid out anew as the touch moves, ticks that turn out wrong.
    "cents": Config(dense, {"ahead": "always"}, Market(unit=100, spread=200, drift=2500, odd=0.02)),
    "half_ticks": Config(dense, {"ahead": "never"}, Market(unit=10**6, spread=60, drift=10**7, odd=0.4)),
    "lowest": Config(dense, {"ahead": "always"}, Market(unit=10, spread=300, drift=900, middle=PRICE_MIN + 5000)),
    "highest": Config(dense, {"ahead": "never"}, Market(unit=1000, spread=90, drift=20000, middle=PRICE_MAX - 99000)),
    # Look-ahead begins in the middle, as the books outgrow the cache.
    "trades": Config(dense, {"ahead": "auto", "cache_size": 1 << 16, "window_bits": 8, "consume_trades": True}),
}


# --- events aimed at what rests


def in_range(price: int) -> int:
    return min(max(price, PRICE_MIN + 1), PRICE_MAX - 1)


class Flow:
    """Makes events for the books of a model, which applies each before the next one is made."""

    def __init__(self, model: book.Books, config: Config, last_id: int = 0) -> None:
        self.model = model
        self.ids = config.ids
        self.market = config.market
        self.last_id = last_id
        self.sequence = 0
        self.aims: dict[str, Callable[[Random], Event]] = {
            name: getattr(self, name) for name in (*GROWING, *SHRINKING, *MOVING, *ODD)
        }

    def events(self, random: Random, target: int) -> Iterator[Event]:
        """Any number of events, around `target` orders resting, a few of them odd."""
        while True:
            grows = random.randrange(2 * target) >= len(self.model.places)
            flow = GROWING if grows else SHRINKING
            names = random.choices((flow, MOVING, ODD), (65, 20, 15))[0]
            yield self.aims[random.choice(names)](random)

    def event(self, kind: str, **fields: int) -> Event:
        self.sequence += 1
        return event_of(kind, self.sequence, **fields)

    # what the aims choose from

    def fresh_id(self, random: Random) -> int:
        order = self.ids(random, self.last_id) % 2**64
        while order in self.model.places:
            order = (order + 1) % 2**64
        self.last_id = order
        return order

    def strange_id(self, random: Random) -> int:
        """One that does not rest, but looks like one that does: its neighbour, or the same modulo a power of two."""
        order = self.some_order(random) + random.choice((1, -1, 64, -64, 128, 1024, 2**20, 2**32, 2**63))
        while order % 2**64 in self.model.places:
            order += 1
        return order % 2**64

    def some_order(self, random: Random) -> int:
        """Any that rests, the oldest and the newest more often; without one an id that does not rest."""
        orders = list(self.model.places)
        if not orders:
            return self.last_id
        return orders[random.choice((0, -1, random.randrange(len(orders)), random.randrange(len(orders))))]

    def some_level(self, random: Random) -> book.Place:
        order = self.some_order(random)
        return self.model.places.get(order, book.Place(0, BID, MIDDLE))

    def front_order(self, random: Random) -> int:
        """The first of the best queue of a side, as an execution takes."""
        place = self.some_level(random)
        best = self.model.top(place.instrument, place.side, 1)
        return self.model.queue(place.instrument, place.side, best[0][0])[0][0] if best else self.last_id

    def price(self, random: Random, side: int) -> int:
        unit, spread, drift, odd, middle = self.market
        middle = in_range(middle + drift * random.choice((-1, 0, 1)))
        self.market = self.market._replace(middle=middle)
        away = random.randrange(-2, spread) * unit + (random.randrange(unit) if random.random() < odd else 0)
        return in_range(middle - away if side == BID else middle + away)

    def resting(self, order: int) -> int:
        return self.model.quantity(order) if order in self.model.places else 0

    def at(self, random: Random, order: int, kinds: str, **fields: int) -> Event:
        """An event that names an order, and its instrument."""
        place = self.model.places.get(order, book.Place(0, BID, MIDDLE))
        return self.event(random.choice(kinds), **{"order": order, "instrument": place.instrument, **fields})

    def add_at(self, random: Random, place: book.Place, **fields: int) -> Event:
        quantity = random.choice((1, random.randrange(1, 10), 100, 2**32))
        return self.event(
            random.choice("AF"),
            **{"order": self.fresh_id(random), "quantity": quantity, **place._asdict(), **fields},
        )

    # more orders

    def add(self, random: Random) -> Event:
        side = random.choice(SIDES)
        return self.add_at(random, book.Place(random.choice(INSTRUMENTS), side, self.price(random, side)))

    def add_behind(self, random: Random) -> Event:
        return self.add_at(random, self.some_level(random))

    def add_far(self, random: Random) -> Event:
        price = random.choice((0, -1, PRICE_MIN + 1, PRICE_MAX - 1, random.randrange(2**32)))
        return self.add_at(random, book.Place(random.choice(INSTRUMENTS), random.choice(SIDES), price))

    # fewer

    def execute_front(self, random: Random) -> Event:
        order = self.front_order(random)
        return self.at(random, order, "EC", quantity=random.choice((1, self.resting(order))))

    def reduce(self, random: Random) -> Event:
        order = self.some_order(random)
        resting = self.resting(order)
        return self.at(random, order, "ECX", quantity=random.choice((1, resting, max(resting - 1, 0))))

    def delete(self, random: Random) -> Event:
        return self.at(random, self.some_order(random), "D")

    def delete_front(self, random: Random) -> Event:
        return self.at(random, self.front_order(random), "D")

    # neither

    def replace(self, random: Random) -> Event:
        return self._replace(random, self.some_order(random), self.fresh_id(random))

    def replace_in_place(self, random: Random) -> Event:
        order = self.some_order(random)
        return self._replace(random, order, random.choice((order, self.fresh_id(random))), self.some_price(order))

    def replace_same_id(self, random: Random) -> Event:
        order = self.some_order(random)
        return self._replace(random, order, order)

    def join(self, random: Random) -> Event:
        """A replace to the level of another order, maybe of another side or instrument: then just to its price."""
        return self._replace(random, self.some_order(random), self.fresh_id(random), self.some_level(random).price)

    def hover(self, random: Random) -> Event:
        """A queue grows past the eight orders that its level's cache line holds, and shrinks to where it does again."""
        place = self.some_level(random)
        queue = self.model.queue(*place)
        if len(queue) < random.choice((4, 5, 8, 9, 10)):
            return self.add_at(random, place)
        return self.at(random, random.choice(queue)[0], "D")

    def reduce_nothing(self, random: Random) -> Event:
        return self.at(random, self.some_order(random), "ECX", quantity=0)

    def trade(self, random: Random) -> Event:
        order = random.choice((0, self.strange_id(random), self.some_order(random), self.front_order(random)))
        quantity = random.choice((0, 1, self.resting(order), self.resting(order) + 1))
        return self.at(random, order, "P", quantity=quantity % 2**64, side=random.choice((BID, ASK)))

    def some_price(self, order: int) -> int:
        return self.model.places[order].price if order in self.model.places else MIDDLE

    def _replace(self, random: Random, order: int, new: int, price: int | None = None) -> Event:
        side = self.model.places[order].side if order in self.model.places else BID
        quantity = random.choice((1, random.randrange(1, 10), max(self.resting(order), 1)))
        price = self.price(random, side) if price is None else price
        return self.at(random, order, "U", aux=new, quantity=quantity, price=price)

    # what is refused, mostly, and what is none of a book's business

    def unknown(self, random: Random) -> Event:
        return self.at(random, self.strange_id(random), "ECXDU", quantity=random.choice((0, 1)))

    def duplicate(self, random: Random) -> Event:
        return self.add_at(random, self.some_level(random), order=self.some_order(random))

    def replace_taken_id(self, random: Random) -> Event:
        return self._replace(random, self.some_order(random), self.some_order(random))

    def excess(self, random: Random) -> Event:
        order = self.some_order(random)
        return self.at(random, order, "ECX", quantity=random.choice((min(self.resting(order) + 1, U64_MAX), U64_MAX)))

    def wrong_instrument(self, random: Random) -> Event:
        other = random.choice((*INSTRUMENTS, 5, INSTRUMENT_MAX - 1, INSTRUMENT_MAX, 2**32 - 1))
        return self.at(random, self.some_order(random), "ECXDU", instrument=other)

    def bad_add(self, random: Random) -> Event:
        faults = (
            {"instrument": random.choice((INSTRUMENT_MAX, 2**32 - 1))},
            {"side": random.choice((2, 3, 128, 255))},
            {"quantity": 0},
            {"price": random.choice((PRICE_MIN, PRICE_MAX))},
        )
        return {**self.add(random), **random.choice(faults)}  # type: ignore[typeddict-item]

    def bad_replace(self, random: Random) -> Event:
        faults = ({"quantity": 0}, {"price": PRICE_MIN}, {"price": PRICE_MAX})
        return {**self.replace(random), **random.choice(faults)}  # type: ignore[typeddict-item]

    def brim(self, random: Random) -> Event:
        """As much as a level's total holds, or one too many."""
        place = self.some_level(random)
        room = U64_MAX - sum(quantity for _, quantity in self.model.queue(*place))
        return self.add_at(random, place, quantity=min(room + random.choice((0, 1, 1, 1)), U64_MAX))

    def replace_to_the_brim(self, random: Random) -> Event:
        """Likewise; at its own price an order makes room first."""
        order, place = self.some_order(random), self.some_level(random)
        price = random.choice((place.price, self.some_price(order)))
        at = self.model.places.get(order, place)._replace(price=price)
        room = U64_MAX - sum(quantity for other, quantity in self.model.queue(*at) if other != order)
        replaced = self._replace(random, order, self.fresh_id(random), price)
        return {**replaced, "quantity": min(room + random.choice((0, 1, 1, 1)), U64_MAX)}

    def muddle(self, random: Random) -> Event:
        """Several faults at once: the first of them is the reason."""
        proper = random.choice((self.add, self.reduce, self.delete, self.replace, self.trade))(random)
        faults = {
            "instrument": random.choice((*INSTRUMENTS, INSTRUMENT_MAX)),
            "side": random.choice((0, 1, 2, 255)),
            "quantity": random.choice((0, 1, U64_MAX)),
            "price": random.choice((MIDDLE, PRICE_MIN, PRICE_MAX)),
            "order": random.choice((self.some_order(random), self.strange_id(random))),
            "aux": random.choice((self.some_order(random), self.strange_id(random))),
        }
        chosen = {name: faults[name] for name in faults if random.randrange(2)}
        return {**proper, **chosen}  # type: ignore[typeddict-item]

    def gap(self, random: Random) -> Event:
        return self.event("\0", order=self.some_order(random), aux=self.last_id, side=random.choice((0, 255)))

    def other_kind(self, random: Random) -> Event:
        return self.at(random, self.some_order(random), "SRHYLVWKJhQBINOaedux\1\x7f\xff", side=random.choice(SIDES))


GROWING = ("add", "add", "add", "add_behind", "add_behind", "add_far")
SHRINKING = ("execute_front", "execute_front", "reduce", "delete", "delete_front")
MOVING = ("replace", "replace_in_place", "replace_same_id", "join", "hover", "hover", "reduce_nothing", "trade")
ODD = (
    *("unknown", "duplicate", "replace_taken_id", "excess", "wrong_instrument", "bad_add", "bad_replace"),
    *("brim", "replace_to_the_brim", "muddle", "muddle", "gap", "other_kind"),
)


# --- everything that can be asked


def rows_of(array: Any, names: Sequence[str]) -> list[tuple[int, ...]]:
    """Rows of a structured array, of some of its fields."""
    return array[list(names)].tolist()


def assert_same(books: Any, model: book.Books, gone: Iterable[int] = ()) -> None:
    """Everything that the books say of themselves; `gone` are ids that need not rest."""
    books.check()
    # The model counts events, declared gaps among them.
    assert books.counts() == {**model.counts(), "messages": model.messages - model.gaps}
    assert rows_of(books.rejects(), REJECT) == [
        (*reject[:-1], book.REASONS.index(reject.reason)) for reject in model.last_rejects
    ]
    for instrument in INSTRUMENTS:
        assert_same_book(books.book(instrument), model, instrument)
    for order in {*model.places, *gone}:
        assert_same_order(books, model, order)
    assert books.hash() == model.state_hash(dict(enumerate(WIRE_IDS)))


def assert_same_book(view: Any, model: book.Books, instrument: int) -> None:
    bbo, best = view.bbo, model.best(instrument)
    assert (bbo.bid, bbo.bid_quantity, bbo.ask, bbo.ask_quantity) == best
    assert (bool(bbo.crossed), bool(bbo.locked)) == (best.crossed, best.locked)
    for n in (0, 2, WHOLE):
        assert [rows_of(side, LEVEL) for side in view.top(n)] == [model.top(instrument, side, n) for side in SIDES]
    for side in SIDES:
        for level in model.top(instrument, side, WHOLE):
            assert_same_level(view, model, (instrument, side), level)
        assert view.level(side, NOWHERE) is None
        assert len(view.orders(side, NOWHERE)) == 0


def assert_same_level(view: Any, model: book.Books, of: tuple[int, int], level: tuple[int, int, int]) -> None:
    (instrument, side), price = of, level[0]
    row = view.level(SIDE_NAMES[side], price)
    assert tuple(int(row[name]) for name in LEVEL) == level
    assert rows_of(view.orders(side, price), ORDER) == [
        (order, quantity, price, position, instrument, side)
        for position, (order, quantity) in enumerate(model.queue(instrument, side, price))
    ]


def assert_same_order(books: Any, model: book.Books, order: int) -> None:
    got = books.order(order)
    if order not in model.places:
        assert got is None
        return
    place, position = model.places[order], model.position(order)
    assert (got.order, got.quantity, got.position) == (order, model.quantity(order), position)
    assert (got.instrument, got.side, got.price) == place
    assert books.book(place.instrument).position(order) == position


# --- the machine

WAYS = st.sampled_from(["apply", "changes", "sizes"])
# Choices of hypothesis, each of which shrinks; and those of a generator, cheap where there are many.
CHOICES = st.randoms(use_true_random=False)
SEEDS = st.integers(0, 2**32 - 1)
BATCHES = st.sampled_from([1, 3, 64])


class Pair(NamedTuple):
    """Books and their model."""

    books: Any
    model: book.Books


def pair_of(config: Config) -> Pair:
    books = nb.Books(**config.options)
    books.name(SYMBOLS, WIRE_IDS)
    return Pair(books, book.Books(consume_trades=config.options.get("consume_trades", False)))


def run(pair: Pair, events: Iterator[Event], way: str, batch: int, tell: Callable[[str], None] | None = None) -> None:
    """The model first, since events are made for what rests by then; the books in batches, told beforehand."""
    while fed := list(islice(events_applied(pair.model, events, way), batch)):
        if tell is not None:
            tell(f"{way} of " + repr([{**one, "kind": chr(one["kind"])} for one, _ in fed]))
        array = array_of(one for one, _ in fed)
        if way == "apply":
            pair.books.apply(array)
            continue
        rows = pair.books.changes(array, sizes=way == "sizes")
        assert rows_of(rows, CHANGE) == [row for _, row in fed if row is not None]
        assert rows["rx_ns"].tolist() == [one["rx_ns"] for one, row in fed if row is not None]


def events_applied(model: book.Books, events: Iterator[Event], way: str) -> Iterator[tuple[Event, book.Change | None]]:
    for one in events:
        yield one, model.changes(one, sizes=way == "sizes")


class BooksMachine(RuleBasedStateMachine):
    """Books and their model through any sequence of events, copies and clears."""

    config: ClassVar[Config]

    def __init__(self) -> None:
        super().__init__()
        self.pair = pair_of(self.config)
        self.copied: Pair | None = None
        self.seen: dict[int, None] = {}

    @initialize(start=st.sampled_from([0, 1, 62, 10**9, 2**32 - 40, 2**63 - 40, 2**64 - 300]))
    def begin(self, start: int) -> None:
        self.flow = Flow(self.pair.model, self.config, start)

    @rule(name=st.sampled_from(sorted({*GROWING, *SHRINKING, *MOVING})), random=CHOICES, way=WAYS)
    def one(self, name: str, random: Random, way: str) -> None:
        self.feed((self.flow.aims[name](random) for _ in range(1)), way, 1)

    @rule(name=st.sampled_from(sorted({*ODD})), random=CHOICES, way=WAYS)
    def one_odd(self, name: str, random: Random, way: str) -> None:
        self.feed((self.flow.aims[name](random) for _ in range(1)), way, 1)

    @rule(count=st.integers(0, 64), around=st.sampled_from([5, 40, 150]), seed=SEEDS, way=WAYS)
    def many(self, count: int, around: int, seed: int, way: str) -> None:
        self.feed(islice(self.flow.events(Random(seed), around), count), way, 64)

    @rule(
        side=st.sampled_from(SIDES),
        away=st.integers(0, 3),
        count=st.integers(1, 40),
        seed=SEEDS,
        way=WAYS,
        batch=BATCHES,
    )
    def lengthen_a_queue(self, side: int, away: int, count: int, seed: int, way: str, batch: int) -> None:
        place = book.Place(0, side, MIDDLE - away if side == BID else MIDDLE + away)
        random = Random(seed)
        self.feed((self.flow.add_at(random, place) for _ in range(count)), way, batch)

    @rule(count=st.integers(1, 40), first=st.sampled_from(["oldest", "newest", "any"]), seed=SEEDS, batch=BATCHES)
    def shorten_a_queue(self, count: int, first: str, seed: int, batch: int) -> None:
        random = Random(seed)
        orders = [order for order, _ in self.pair.model.queue(*self.longest())]
        if first == "newest":
            orders.reverse()
        elif first == "any":
            random.shuffle(orders)
        self.feed((self.flow.at(random, order, "D") for order in orders[:count]), "changes", batch)

    @rule(side=st.sampled_from(SIDES), count=st.integers(1, 40), step=st.sampled_from([1, -1, 7]), seed=SEEDS, way=WAYS)
    def many_levels(self, side: int, count: int, step: int, seed: int, way: str) -> None:
        random = Random(seed)
        places = (book.Place(1, side, MIDDLE + 50 * side + at * step) for at in range(count))
        self.feed((self.flow.add_at(random, place) for place in places), way, 64)

    @rule(count=st.integers(1, 60), seed=SEEDS, way=WAYS, batch=BATCHES)
    def sweep(self, count: int, seed: int, way: str, batch: int) -> None:
        """Best levels are emptied, one after the other."""
        random = Random(seed)
        self.feed((self.flow.at(random, self.flow.front_order(random), "D") for _ in range(count)), way, batch)

    @rule()
    def copy(self) -> None:
        self.copied = Pair(self.pair.books.copy(), deepcopy(self.pair.model))

    @precondition(lambda self: self.copied is not None)
    @rule()
    def go_on_with_the_other(self) -> None:
        """The copy, or what it was copied from: neither has seen what the other did since."""
        self.pair, self.copied = self.copied, self.pair
        self.flow.model = self.pair.model

    @rule()
    def clear(self) -> None:
        self.pair.books.clear()
        self.pair.model.clear()

    @invariant()
    def nothing_differs(self) -> None:
        assert_same(*self.pair, list(self.seen)[-20:])

    def teardown(self) -> None:
        if self.copied is not None:
            assert_same(*self.copied, self.seen)

    def feed(self, events: Iterator[Event], way: str, batch: int) -> None:
        run(self.pair, events, way, batch, note)
        self.seen.update(dict.fromkeys(self.pair.model.places))

    def longest(self) -> book.Place:
        """The longest queue."""
        places = self.pair.model.places.values()
        return max(places, key=lambda place: len(self.pair.model.queue(*place)), default=book.Place(0, BID, MIDDLE))


MACHINE = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def machine(name: str) -> Any:
    """The test of one configuration."""
    case = type(f"Books_{name}", (BooksMachine,), {"config": CONFIGS[name]}).TestCase  # type: ignore[attr-defined]
    case.settings = MACHINE
    return case


TestNever = machine("never")
TestAlways = machine("always")
TestMarch = machine("march")
TestRestless = machine("restless")
TestAnything = machine("anything")
TestCongruent = machine("congruent")
TestCrafted = machine("crafted")
TestTrades = machine("trades")


# --- volume


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=2)
@given(seed=SEEDS)
def test_thousands_of_events(name: str, seed: int) -> None:
    pair = pair_of(CONFIGS[name])
    random = Random(seed)
    flow = Flow(pair.model, CONFIGS[name], random.choice((0, 10**6, 2**64 - 500)))
    for spread, target, count in ((6, 400, 1500), (120, 600, 2500), (30, 50, 1500)):
        flow.market = flow.market._replace(spread=max(spread, CONFIGS[name].market.spread))
        way, batch = random.choice(("apply", "changes", "sizes")), random.choice((17, 100, 500))
        run(pair, islice(flow.events(random, target), count), way, batch)
        assert_same(*pair)


@pytest.mark.parametrize("sizes", [False, True])
@settings(max_examples=10)
@given(seed=SEEDS, batches=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_best_price_changes_are_the_same_whatever_the_batches(sizes: bool, seed: int, batches: list[int]) -> None:
    pair = pair_of(CONFIGS["always"])
    flow = Flow(pair.model, CONFIGS["never"])
    way = "sizes" if sizes else "changes"
    fed = list(islice(events_applied(pair.model, flow.events(Random(seed), 30), way), sum(batches)))
    array, at, rows = array_of(one for one, _ in fed), 0, []
    for batch in batches:
        rows += rows_of(pair.books.changes(array[at : at + batch], sizes=sizes), CHANGE)
        at += batch
    assert rows == [row for _, row in fed if row is not None]
    assert_same(*pair)


# --- by hand


def both(*events: Event, consume_trades: bool = False) -> Pair:
    """Books and model after some events."""
    pair = pair_of(Config(dense, {"consume_trades": consume_trades}))
    run(pair, iter(events), "apply", 1)
    assert_same(*pair)
    return pair


def add(order: int, side: int, price: int, quantity: int, instrument: int = 0) -> Event:
    return event_of("A", order=order, side=side, price=price, quantity=quantity, instrument=instrument)


def test_the_hash_of_nothing() -> None:
    assert book.Books().state_hash({}) == EMPTY_HASH
    assert nb.Books().hash() == EMPTY_HASH
    assert both(add(1, BID, 100, 5), event_of("D", order=1)).books.hash() == EMPTY_HASH


def test_the_hash_by_hand() -> None:
    pair = both(
        add(11, ASK, 105, 1),
        add(12, BID, 99, 2),
        add(13, BID, 100, 3),
        add(14, BID, 99, 4),
        add(15, ASK, 104, 5),
        add(16, BID, -7, 2**64 - 1, instrument=2),
        event_of("E", order=12, quantity=1),
    )
    # Instrument 2 has the wire id 3, instrument 0 the wire id 9.
    records = (
        (3, 0, -7, 16, 2**64 - 1),
        (9, 0, 100, 13, 3),
        (9, 0, 99, 12, 1),
        (9, 0, 99, 14, 4),
        (9, 1, 104, 15, 5),
        (9, 1, 105, 11, 1),
    )
    by_hand = xxhash.xxh3_128_hexdigest(b"".join(struct.pack("<QBqQQ", *record) for record in records))
    assert pair.model.state_hash({0: 9, 2: 3}) == pair.books.hash() == by_hand


def test_a_replace_goes_to_the_back_and_a_reduction_keeps_its_place() -> None:
    pair = both(
        *(add(order, BID, 100, 10) for order in (1, 2, 3)),
        event_of("X", order=1, quantity=4),
        event_of("U", order=2, aux=2, price=100, quantity=10),
    )
    assert pair.model.queue(0, BID, 100) == [(1, 6), (3, 10), (2, 10)]


def test_a_book_is_counted_each_time_it_becomes_crossed_or_locked() -> None:
    pair = both(
        add(1, BID, 100, 1),
        add(2, ASK, 100, 1),  # locked
        add(3, BID, 100, 1),  # still so
        add(4, BID, 101, 1),  # crossed
        add(5, BID, 102, 1),  # still so
        event_of("U", order=5, aux=5, price=103, quantity=1),  # still so: never without the order in between
        event_of("D", order=5),
        event_of("D", order=4),  # locked again
        event_of("D", order=2),
        add(2, ASK, 90, 1),  # crossed again, at once
    )
    assert (pair.model.crossed, pair.model.locked) == (2, 2)


# Each event has all faults that are possible together; the next one, the first of them mended.
BAD_ADD = {"order": 1, "instrument": INSTRUMENT_MAX, "side": 2, "quantity": 0, "price": PRICE_MIN}
BAD_REPLACE = {"order": 9, "instrument": 1, "quantity": 0, "price": PRICE_MAX, "aux": 2}
MENDED = {
    "A": (
        ("unknown_instrument", BAD_ADD),
        ("bad_side", {"instrument": 0}),
        ("zero_quantity", {"side": BID}),
        ("bad_price", {"quantity": U64_MAX}),
        ("duplicate_order", {"price": 100}),
        ("overflow", {"order": 9}),
        ("ok", {"quantity": U64_MAX - 20}),
    ),
    "E": (
        ("unknown_order", {"order": 9, "instrument": 1, "quantity": 11}),
        ("wrong_instrument", {"order": 1}),
        ("excess_quantity", {"instrument": 0}),
        ("ok", {"quantity": 10}),
        ("unknown_order", {}),
    ),
    "D": (
        ("unknown_order", {"order": 9, "instrument": 1}),
        ("wrong_instrument", {"order": 1}),
        ("ok", {"instrument": 0}),
        ("unknown_order", {}),
    ),
    "U": (
        ("zero_quantity", BAD_REPLACE),
        ("bad_price", {"quantity": U64_MAX}),
        ("unknown_order", {"price": 100}),
        ("wrong_instrument", {"order": 1}),
        ("duplicate_order", {"instrument": 0}),
        ("overflow", {"aux": 9}),
        # The old order's ten make room.
        ("ok", {"quantity": U64_MAX - 10}),
    ),
}


@pytest.mark.parametrize("kind", "AFECXPDU")
def test_the_first_fault_is_the_reason(kind: str) -> None:
    rows = MENDED[{"F": "A", "C": "E", "X": "E", "P": "E"}.get(kind, kind)]
    pair = both(add(1, BID, 100, 10), add(2, BID, 100, 10), consume_trades=True)
    fields: dict[str, int] = {}
    for sequence, (reason, mended) in enumerate(rows, 3):
        fields |= mended
        one = event_of(kind, sequence, **fields)
        assert deepcopy(pair.model).apply(one) == reason
        run(pair, iter([one]), "apply", 1)
        assert_same(*pair)


def test_trades_take_only_where_they_are_asked_to() -> None:
    events = (add(1, BID, 100, 10), event_of("P", order=1, quantity=4), event_of("P", order=0, quantity=4))
    left, taken = both(*events), both(*events, consume_trades=True)
    assert (left.model.quantity(1), left.model.ignored) == (10, 2)
    assert (taken.model.quantity(1), dict(taken.model.reject_counts)) == (6, {"unknown_order": 1})


def test_books_are_found_by_index_and_by_symbol_and_sides_by_number_and_by_name() -> None:
    books = both(add(1, ASK, 100, 5, instrument=2)).books
    for view in (books.book(2), books.book("NVDA")):
        assert (view.bbo.ask, view.bbo.ask_quantity, view.bbo.bid) == (100, 5, None)
        for side in (ASK, "ask"):
            assert rows_of(view.orders(side, 100), ORDER) == [(1, 5, 100, 0, 2, 1)]
            assert int(view.level(side, 100)["order_count"]) == 1
        assert view.level("bid", 100) is None
