"""The feed: from ports to events and books, stepped in time that you hand in.

>>> import numi_bypass as nb
>>> day = nb.SimPort.of([(1000, "A", b"NUMI000001" + (1).to_bytes(8, "big") + bytes(2))])
>>> with nb.Feed([day], pool_frames=1024, pending_max=64) as feed:
...     for events in feed.run():
...         print(len(events))
...     feed.ledger().frames["control"], feed.pool_ledger().available
(1, 1024)
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, checked, ffi, flag, lib, path_bytes, refused, whole
from numi_bypass._handle import Turn
from numi_bypass.book import Books
from numi_bypass.clock import DOMAINS, Clock
from numi_bypass.directory import Directory
from numi_bypass.layout import dtype_of
from numi_bypass.ledger import Ledger, PoolLedger
from numi_bypass.merging import LINES, Line, MergeView, merge_options
from numi_bypass.pool import Pool
from numi_bypass.recovery import Recovery
from numi_bypass.tape import Tape, tape_info

END_OF_TIME = 2**62
"""Later than anything arrives: a step until then goes at full speed."""

_FRAMES_A_STEP = 65536
_WAIT_NS = 50_000_000
_FRAMES_A_RECORDED_STEP = 2048
"""What the tape's ring holds until it is written."""


@dataclass(frozen=True)
class PcapPort:
    """A capture as one line of a feed."""

    path: str | os.PathLike[str]
    line: Line = "A"

    def _open(self, pool: CData) -> CData:
        out = ffi.new("struct numi_port **")
        checked(lib.numi_port_open_pcap(out, path_bytes(self.path), LINES.index(self.line), pool))
        return out[0]

    @property
    def _domain(self) -> int:
        return int(lib.NUMI_DOMAIN_UTC)

    @property
    def _source(self) -> str:
        return f"pcap:{os.fsdecode(self.path)}"


@dataclass(frozen=True, eq=False)
class SimPort:
    """Frames from a schedule: arrivals (struct numi_sim_arrival) by time, and the bytes of their payloads."""

    arrivals: NDArray[Any]
    payloads: NDArray[np.uint8]
    line: Line = "A"

    @classmethod
    def of(cls, packets: Sequence[tuple[int, Line, bytes]], line: Line = "A") -> "SimPort":
        """A schedule of (time in ns, line, payload), by time."""
        arrivals = np.zeros(len(packets), dtype_of("numi_sim_arrival"))
        sizes = np.array([len(payload) for _, _, payload in packets], np.uint64)
        arrivals["at_ns"] = [at for at, _, _ in packets]
        arrivals["offset"] = np.concatenate([[np.uint64(0)], np.cumsum(sizes)[:-1]]) if len(packets) else 0
        arrivals["size"] = sizes
        arrivals["line"] = [LINES.index(name) for _, name, _ in packets]
        return cls(arrivals, np.frombuffer(b"".join(payload for _, _, payload in packets), np.uint8), line)

    def on(self, line: Line) -> "SimPort":
        """The same schedule, its arrivals on another line."""
        return SimPort(self.arrivals, self.payloads, line)

    def _open(self, pool: CData) -> CData:
        out, schedule = ffi.new("struct numi_port **"), ffi.new("struct numi_sim_schedule *")
        arrivals = self.arrivals
        if arrivals.dtype != dtype_of("numi_sim_arrival") or not arrivals.flags.c_contiguous:
            raise TypeError(f"arrivals of {arrivals.dtype}: allowed rows of struct numi_sim_arrival, contiguous")
        schedule.arrivals = ffi.cast("struct numi_sim_arrival *", ffi.from_buffer(arrivals))
        schedule.arrival_count = len(arrivals)
        schedule.payloads = ffi.cast("uint8_t *", ffi.from_buffer(self.payloads))
        schedule.payload_size = self.payloads.nbytes
        schedule.line = LINES.index(self.line)
        checked(lib.numi_port_open_sim(out, schedule, pool))
        return out[0]

    @property
    def _domain(self) -> int:
        return int(lib.NUMI_DOMAIN_VIRTUAL)

    @property
    def _source(self) -> str:
        return "sim"


class RingPort:
    """Frames of the feed's own pool that another stage hands over through a ring of their indices."""

    def __init__(self, frames: int = 4096, line: Line = "A") -> None:
        self.line = line
        out = ffi.new("struct numi_ring **")
        checked(lib.numi_ring_open(out, ffi.sizeof("uint32_t"), frames, 0))
        self._ring = ffi.gc(out[0], lib.numi_ring_close)

    def _open(self, pool: CData) -> CData:
        out = ffi.new("struct numi_port **")
        checked(lib.numi_port_open_ring(out, self._ring, LINES.index(self.line), pool))
        return out[0]

    @property
    def _domain(self) -> int:
        return int(lib.NUMI_DOMAIN_VIRTUAL)

    @property
    def _source(self) -> str:
        return "ring"


class TapePort:
    """The frames of one port of the feed that recorded a tape."""

    _source = "tape"

    def __init__(self, player: CData, number: int, line: Line, domain: int) -> None:
        self._player, self._number, self.line, self._domain = player, number, line, domain

    def _open(self, pool: CData) -> CData:
        out = ffi.new("struct numi_port **")
        checked(lib.numi_port_open_tape(out, self._player, self._number, LINES.index(self.line), pool))
        return out[0]


Port = PcapPort | SimPort | RingPort | TapePort
Source = Port | Recovery


def port(url: str, line: Line = "A") -> Port:
    """A port by its address: `pcap:FILE`, alone for now."""
    scheme, _, rest = url.partition(":")
    if scheme != "pcap" or not rest:
        raise ValueError(f"port {url!r}: allowed pcap:FILE")
    return PcapPort(rest, line)


@dataclass(frozen=True)
class StageCounts:
    """What a thread did: its steps, those that did something, what they did, its core, and the error that ended it."""

    steps: int
    busy: int
    done: int
    cpu: int | None
    code: int


class Feed(MergeView):
    """Ports put together, decoded, and kept as books. One thread at a time.

    Merge options are those of `nb.Merge`; `batch` frames are taken from a port at once; `events_max` events make a
    step; `staged` puts a ring of so many runs between the merge and the decoder. None of these three changes what
    comes out. With a `recovery` gaps are asked for again, and it alone gives them up unless `gap_timeout_ns` is given.
    With `tape` (a folder to be made; `tape_options` are those of `nb.Tape`) all that comes in is recorded,
    and written after each step.
    """

    def __init__(
        self,
        ports: Sequence[Port | str],
        *,
        pool_frames: int = 32768,
        frame_size: int = 2048,
        books: bool = True,
        consume_trades: bool = False,
        hashes: bool = True,
        batch: int = 64,
        events_max: int = 4096,
        staged: int = 0,
        recovery: Recovery | None = None,
        tape: str | os.PathLike[str] | None = None,
        tape_options: Mapping[str, Any] | None = None,
        **merge: Any,
    ) -> None:
        self._feed: CData = None
        self._tape: Tape | None = None
        given = [port(one, LINES[min(at, 1)]) if isinstance(one, str) else one for at, one in enumerate(ports)]
        specs: list[Source] = [*given]
        if recovery is not None:
            specs.append(recovery)
            merge = {"gap_timeout_ns": None} | merge
        options = ffi.new("struct numi_feed_options *")
        lib.numi_feed_defaults(options)
        merge_options(options.merge, **merge)
        options.books.consume_trades = consume_trades = flag("consume_trades", consume_trades)
        options.keeps_books = books = flag("books", books)
        options.hashes = hashes = flag("hashes", hashes)
        options.batch = whole("batch", batch, 1, int(lib.NUMI_FEED_BATCH_MAX))
        options.event_max = whole("events_max", events_max, 1, 1 << 24)
        options.staged = whole("staged", staged, 0, int(lib.NUMI_FEED_RING_MAX))
        domains = {one._domain for one in specs} - {int(lib.NUMI_DOMAIN_NONE)}
        options.domain = domains.pop() if len(domains) == 1 else int(lib.NUMI_DOMAIN_VIRTUAL)
        self._specs, self._recovery = specs, recovery
        settings = {"pool_frames": pool_frames, "frame_size": frame_size, "books": books, "hashes": hashes}
        settings |= {"consume_trades": consume_trades, "batch": batch, "events_max": events_max, "staged": staged}
        ports_told = [{"line": one.line, "domain": one._domain, "from": one._source} for one in specs]
        self._pool = Pool(pool_frames, frame_size)
        self._turn = Turn("feed")
        self._ports = [ffi.gc(one._open(self._pool._open_pool()), lib.numi_port_close) for one in specs]
        out = ffi.new("struct numi_feed **")
        checked(lib.numi_feed_open(out, options, self._pool._open_pool(), self._ports, len(self._ports)))
        self._feed = ffi.gc(out[0], lib.numi_feed_close)
        if recovery is not None:
            checked(lib.numi_feed_recover(self._feed, recovery._recovery))
        if tape is not None:
            config = {"ports": ports_told, "feed": settings | merge}
            self._tape = Tape(tape, config=config, **(tape_options or {}))
            lib.numi_feed_record(self._feed, self._tape._tape)

    @property
    def _open_feed(self) -> CData:
        if self._feed is None:
            raise ValueError("the feed is closed")
        return self._feed

    @property
    def _open(self) -> CData:
        return lib.numi_feed_merge(self._open_feed)

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frames go back, then feed, ports and pool are closed in this order."""
        with self._turn:
            if self._feed is None:
                return
            ffi.release(self._feed)
            for one in self._ports:
                ffi.release(one)
            self._feed, self._ports = None, []
        if self._tape is not None:
            self._tape.close()
        self._pool.close()

    # ---- Stepping.

    def step(self, now: int, frames: int = _FRAMES_A_STEP) -> tuple[int, NDArray[Any]]:
        """At most `frames` frames that arrived until `now`: how much was done, 0 when nothing is left; the events."""
        with self._turn:
            time, count = whole("now", now, -END_OF_TIME, END_OF_TIME), whole("frames", frames, 1, 2**31)
            if self._tape is not None:
                count = min(count, _FRAMES_A_RECORDED_STEP)
            done = checked(lib.numi_feed_step(self._open_feed, time, count))
            if self._tape is not None:
                self._tape.write(time)
            if self._recovery is not None and self._recovery.has_sockets:
                done += self._recovery.step(time)
            return done, self._events()

    def _events(self) -> NDArray[Any]:
        count = ffi.new("uint32_t *")
        events = lib.numi_feed_events(self._open_feed, count)
        dtype = dtype_of("numi_event")
        return np.frombuffer(ffi.buffer(events, count[0] * dtype.itemsize), dtype).copy()

    def run(self, until: int = END_OF_TIME, frames: int = _FRAMES_A_STEP) -> Iterator[NDArray[Any]]:
        """Steps until nothing is left to do at `until`; where that is the end of time, gaps are declared at the end.

        Every batch holds events of one session.
        """
        yield from self._batches(until, frames)
        if until >= END_OF_TIME:
            with self._turn:
                lib.numi_feed_flush(self._open_feed)
            yield from self._batches(until, frames)

    def _batches(self, until: int, frames: int) -> Iterator[NDArray[Any]]:
        done = 1
        while done:
            done, events = self.step(until, frames)
            if len(events):
                yield events

    def run_threads(
        self, cpus: Sequence[int | None] | None = None, *, until: int = END_OF_TIME, at_pace: bool = False
    ) -> list[StageCounts]:
        """Steps to the end of the ports in threads of the core's own, pinned where told.

        They are one for the feed, or with `staged` two, and one for its recovery where that has sockets. Time stands
        at `until`, so that all goes at full speed; `at_pace` frames come as far apart as they were recorded. Gaps are
        declared at the end. Events go into hash and books; the batches are nobody's.
        """
        if self._tape is not None:
            raise ValueError(
                "run_threads: no thread of it writes the tape, which would lose frames: use run() or step()"
            )
        given, out = ffi.new("struct numi_run_feed *"), ffi.new("struct numi_run **")
        with self._turn:
            given.feed = self._open_feed
            given.time.ns = whole("until", until, -END_OF_TIME, END_OF_TIME)
            clock = self._pace(given.time) if flag("at_pace", at_pace) else None
            stages = 2 if lib.numi_feed_is_staged(self._open_feed) else 1
            if self._recovery is not None and self._recovery.has_sockets:
                self._recovery._join(given)
                stages += 1
            wanted = [None] * stages if cpus is None else list(cpus)
            numbers = [int(lib.NUMI_RUN_ANY_CPU) if cpu is None else whole("cpus", cpu, 0, 2**31 - 1) for cpu in wanted]
            given.cpu_count, given.cpus = len(numbers), (alive := ffi.new("int32_t[]", numbers))
            checked(lib.numi_run_open_feed(out, given))
            try:
                while not lib.numi_run_wait(out[0], _WAIT_NS):
                    pass  # a turn for Ctrl-C
                counts = [self._stage(out[0], number) for number in range(stages)]
            finally:
                lib.numi_run_close(out[0])
            del alive, clock
        for stage in counts:
            checked(stage.code)
        return counts

    def _pace(self, time: CData) -> Clock:
        """The first frame arrives now."""
        first = self.due
        if first is None or first == -(2**63):
            raise ValueError("at_pace: the ports do not know when their first frame arrives")
        clock = Clock()
        time.clock, time.domain = clock._clock, DOMAINS["mono"]
        time.ns = first - clock.now("mono")
        return clock

    @staticmethod
    def _stage(run: CData, number: int) -> StageCounts:
        counts = ffi.new("struct numi_run_counts *")
        lib.numi_run_counts(run, number, counts)
        cpu = None if counts.cpu == lib.NUMI_RUN_ANY_CPU else int(counts.cpu)
        return StageCounts(int(counts.steps), int(counts.busy), int(counts.done), cpu, int(counts.code))

    @property
    def due(self) -> int | None:
        """When the next frame arrives or something happens by itself, as far as the ports know."""
        due = int(lib.numi_feed_due(self._open_feed))
        return None if due == 2**63 - 1 else due

    # ---- What there is to see.

    def ledger(self) -> Ledger:
        """What became of every frame and message."""
        return Ledger.of(self._feed_counts().ledger)

    def _feed_counts(self) -> CData:
        counts = ffi.new("struct numi_feed_counts *")
        lib.numi_feed_counts(self._open_feed, counts)
        return counts

    def counts(self) -> dict[str, int]:
        """All that is counted beside the ledger."""
        counts = self._feed_counts()
        own = ("frames", "events", "rejected", "event_reallocs", "ring_full")
        return super().counts() | {name: int(getattr(counts, name)) for name in own}

    @property
    def keeps_books(self) -> bool:
        """Whether there are books."""
        return bool(lib.numi_feed_books(self._open_feed) != ffi.NULL)

    def pool_ledger(self) -> PoolLedger:
        """Where the frames are."""
        return self._pool.ledger()

    def ports(self) -> list[dict[str, int]]:
        """What each port counted; what it cannot know is absent."""
        names = ("no_frame", "kernel_drops", "nic_drops")
        present = {name: int(getattr(lib, f"NUMI_PORT_{name.upper()}")) for name in names}
        found = []
        for one in self._ports:
            counts = lib.numi_port_counts(one)
            row = {name: int(getattr(counts, name)) for name in ("handed_out", "bytes")}
            row |= {name: int(getattr(counts, name)) for name, bit in present.items() if counts.present & bit}
            found.append(row)
        return found

    @property
    def event_hash(self) -> str:
        """Over all events so far, as 16 hex digits."""
        return f"{int(lib.numi_feed_event_hash(self._open_feed)):016x}"

    def state_hash(self) -> str:
        """Of the books as they are now."""
        digest = ffi.new("uint8_t[16]")
        checked(lib.numi_feed_state_hash(self._open_feed, digest))
        return bytes(digest).hex()

    def books(self) -> Books:
        """A copy of the books as they are now, named by the session's instruments."""
        if not self.keeps_books:
            raise refused("the feed keeps no books: allowed of one with books=True")
        directory = Directory.of(lib.numi_feed_decoder(self._open_feed))
        return Books._copied(lib.numi_feed_books(self._open_feed), directory)


class TapeFeed(Feed):
    """The feed of a tape once more: the same events and the same books, unless options are changed.

    A tape that lost records, or whose beginning was thrown away, is refused at that place: what follows would not be
    what was.
    """

    def __init__(self, path: str | os.PathLike[str], **changed: Any) -> None:
        info = tape_info(path)
        if not info.from_open:
            raise ValueError(f"{os.fspath(path)}: the tape's beginning was thrown away: it cannot be replayed")
        config = json.loads(info.config)
        if not isinstance(config, dict) or set(config) != {"ports", "feed"}:
            raise ValueError(f"{os.fspath(path)}: the tape of something else than a feed")
        out = ffi.new("struct numi_tape_player **")
        checked(lib.numi_tape_player_open(out, path_bytes(path)))
        self._player = ffi.gc(out[0], lib.numi_tape_player_close)
        told = enumerate(config["ports"])
        ports = [TapePort(self._player, number, one["line"], one["domain"]) for number, one in told]
        super().__init__(ports, **(config["feed"] | changed))

    def _batches(self, until: int, frames: int) -> Iterator[NDArray[Any]]:
        """Step by step as the tape has it, and at the end what time has left."""
        now, budget = ffi.new("int64_t *"), ffi.new("uint32_t *")
        while checked(lib.numi_tape_player_step(self._player, now, budget)):
            if budget[0] == 0:
                lib.numi_feed_flush(self._open_feed)
                continue
            events = self.step(now[0], budget[0])[1]
            if len(events):
                yield events
        yield from super()._batches(now[0], frames)

    def run_threads(self, *_: Any, **__: Any) -> list[StageCounts]:
        """Refused: the steps of a tape are those that were recorded."""
        raise ValueError("run_threads: a tape is replayed by run(), step by step as it was recorded")

    def run(self, until: int = END_OF_TIME, frames: int = _FRAMES_A_STEP) -> Iterator[NDArray[Any]]:
        """All that the tape has; the arguments are those of other feeds, and change nothing."""
        yield from self._batches(until, frames)


__all__ = [
    "END_OF_TIME",
    "Feed",
    "PcapPort",
    "Port",
    "RingPort",
    "SimPort",
    "TapeFeed",
    "TapePort",
    "port",
]
