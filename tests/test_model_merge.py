"""The merge against its model: packets of two lines and of recovery, every fault, small windows, tiny pools."""

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass.merging import LINES
from numi_sim.model import mold
from numi_sim.model.merge import ALL, Gap, Merge, Message, Options

SESSIONS = [b"NUMI00000%d" % number for number in range(4)]
POOL = 64

Step = tuple[Any, ...]


def message(sequence: int, variant: int) -> bytes:
    """Copies of a message are alike unless one is damaged."""
    return sequence.to_bytes(8, "big") + bytes([variant]) * (sequence % 5)


def payload(session: int, sequence: int, count: int, variant: int) -> bytes:
    return mold.encode(SESSIONS[session], sequence, [message(sequence + i, variant) for i in range(count)])


offsets = st.integers(0, 40)
times = st.integers(0, 12)
lines = st.sampled_from([0, 0, 0, 1, 1, 1, 2])
sessions = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, 2])
variants = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1])
packets = st.tuples(st.just("packet"), times, lines, sessions, offsets, st.integers(1, 6), variants)
onwards = st.tuples(st.just("onwards"), times, lines, st.integers(0, 3), st.integers(1, 4))
controls = st.tuples(st.sampled_from(["heartbeat", "end"]), times, lines, sessions, offsets)
far = st.tuples(st.just("far"), times, lines, st.integers(1, 3), st.integers(1, 3))
junk = st.tuples(st.just("junk"), times, lines, st.binary(max_size=24))
waits = st.tuples(st.just("wait"), st.integers(1, 60))
gives_up = st.tuples(st.just("give_up"), offsets, st.integers(1, 12))
flushes = st.tuples(st.just("flush"))
steps = st.lists(
    st.one_of(onwards, onwards, onwards, packets, packets, packets, waits, controls, far, junk, gives_up, flushes),
    min_size=1,
    max_size=50,
)

widths = st.one_of(st.none(), st.integers(1, 12))
spans = st.one_of(st.none(), st.integers(1, 30))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Options, int]:
    """Options, and where the sequences of the packets begin."""
    base, window = draw(st.sampled_from([0, 1, 1000, ALL - 300])), draw(widths)
    return Options(
        window=window,
        window_max=None if window is None else draw(st.one_of(st.none(), st.just(window * 4))),
        first_sequence=draw(st.one_of(st.none(), st.none(), st.none(), st.just(base + 3))),
        gap_timeout=draw(spans),
        dwell=draw(st.integers(0, 20)),
        silence=draw(spans),
        restart=draw(st.one_of(st.none(), st.none(), st.integers(1, 10))),
        pending_max=draw(st.integers(1, 6)),
        compared=draw(st.sampled_from([0, 1, 4, 64])),
        agree=draw(st.integers(1, 2)),
        primary=draw(st.integers(0, 1)),
        leave_after=draw(st.integers(1, 3)),
        return_after=draw(st.integers(1, 4)),
    ), base


class Pair:
    """The core and the model, told the same."""

    def __init__(self, options: Options, base: int, in_pool: bool) -> None:
        self.model = Merge(options)
        self.pool = nb.Pool(POOL, 256, pages="4k") if in_pool else None
        self.core = nb.Merge(
            window=options.window,
            window_max=options.window_max,
            first_sequence=options.first_sequence,
            gap_timeout_ns=options.gap_timeout,
            pending_max=options.pending_max,
            compared=options.compared,
            agree=options.agree,
            lines=options.lines,
            primary=LINES[options.primary],
            leave_after=options.leave_after,
            return_after=options.return_after,
            dwell_ns=options.dwell,
            silence_ns=options.silence,
            restart_ns=options.restart,
            numbering="mold" if options.offset is None else "offset",
            sequence_offset=options.offset or 0,
            sequence_size=options.size,
            little_endian=options.little_endian,
            pool=self.pool,
        )
        self.base, self.now, self.top, self.seen = base, 100, base, 0

    def push(self, data: bytes, line: int, after: int) -> None:
        self.now += after
        self.model.push(data, line, self.now)
        self.check(self.core.push(data, line=LINES[line], now=self.now))

    def step(self, step: Step) -> None:
        kind, *rest = step
        getattr(self, "do_" + kind)(*rest)

    def do_packet(self, after: int, line: int, session: int, offset: int, count: int, variant: int) -> None:
        self.push(payload(session, self.base + offset, count, variant), line, after)

    def do_onwards(self, after: int, line: int, skipped: int, count: int) -> None:
        """Where the lines were, or a little ahead."""
        self.push(payload(0, self.top + skipped // 3, count, 0), line, after)
        self.top = min(self.top + skipped // 3 + count, ALL - 100)

    def do_heartbeat(self, after: int, line: int, session: int, offset: int) -> None:
        self.push(mold.heartbeat(SESSIONS[session], self.base + offset), line, after)

    def do_end(self, after: int, line: int, session: int, offset: int) -> None:
        self.push(mold.end_of_session(SESSIONS[session], self.base + offset), line, after)

    def do_far(self, after: int, line: int, times: int, count: int) -> None:
        if self.model.width is not None:
            self.push(payload(0, min(self.top + times * 100, ALL - 50), count, 0), line, after)

    def do_junk(self, after: int, line: int, data: bytes) -> None:
        self.push(data, line, after)

    def do_wait(self, span: int) -> None:
        self.now += span
        self.model.advance(self.now)
        self.check(self.core.advance(self.now))

    def do_give_up(self, offset: int, count: int) -> None:
        first, end = self.model.next + offset // 4, self.model.next + offset // 4 + count
        self.model.give_up(first, min(end, ALL))
        self.check(self.core.give_up(first, min(end, ALL)))

    def do_flush(self) -> None:
        self.model.flush()
        self.check(self.core.flush())

    def check(self, runs: list[nb.Run]) -> None:
        wanted, self.seen = self.model.out[self.seen :], len(self.model.out)
        assert [one for run in runs for one in self.expanded(run)] == wanted
        self.check_counts()

    def expanded(self, run: nb.Run) -> list[Message | Gap]:
        if run.is_gap:
            return [Gap(run.first, run.first + run.count - 1, run.begins_session)]
        assert run.line is not None
        messages = run.messages if self.model.options.offset is None else [run.content or b""]
        assert len(messages) == run.count
        line = LINES.index(run.line)
        return [Message(run.first + i, one, line, run.begins_session and i == 0) for i, one in enumerate(messages)]

    def check_counts(self) -> None:
        model, core = self.model, self.core
        ledger = core.ledger()
        assert ledger.whole
        assert {row: count for row, count in ledger.frames.items() if row != "received"} == {
            row: model.frames[row] for row in ledger.frames if row != "received"
        }
        assert ledger.messages == {row: model.messages[row] for row in ledger.messages}
        counts = core.counts()
        for name in ("heartbeats", "ends_of_session", "sessions", "strays", "restarts", "jumps", "gaps", "missing"):
            assert (name, counts[name]) == (name, model.counts[name])
        assert counts["pending_full"] == model.counts["pending_full"]
        assert counts["window"] == (ALL if model.width is None else model.width)
        missing = [sequence for first, last, _ in core.gaps() for sequence in range(first, last + 1)]
        assert missing == model.gaps
        self.check_lines()
        if self.pool is not None:
            assert self.pool.available == POOL - model.packets

    def check_lines(self) -> None:
        model, core = self.model, self.core
        preference = model.preference
        assert core.preferred == LINES[preference.preferred]
        at, took = preference.switches[-1] if preference.switches else (None, None)
        assert core.switches() == {"switches": len(preference.switches), "switched_ns": at, "switch_ns": took}
        for number, counts in enumerate(core.lines().values()):
            for name, value in dataclasses.asdict(counts).items():
                if name not in ("is_silent", "last_ns"):
                    assert (name, value) == (name, model.lines[number][name])
        assert [core.lines()[name].is_silent for name in LINES[:2]] == [
            bool(model.silent.get(line)) for line in range(2)
        ]
        found = [(one.sequence, LINES.index(one.line), LINES.index(one.first_line)) for one in core.disagreements()]
        assert found == model.disagreements[-16:]

    def finish(self) -> None:
        self.do_flush()
        self.model.settle()
        self.core.settle()
        self.check_counts()
        self.core.close()
        if self.pool is not None:
            assert self.pool.available == POOL
            self.pool.close()


@settings(deadline=None, max_examples=100)
@given(cases(), steps, st.booleans())
def test_the_core_and_the_model_say_the_same(case: tuple[Options, int], steps: list[Step], in_pool: bool) -> None:
    pair = Pair(*case, in_pool)
    for step in steps:
        pair.step(step)
    pair.finish()


def test_numbering_begins_anew_below_the_first_sequence() -> None:
    """Sequence 1 came before the first one wanted for ever: it began the session anew each time that it was taken."""
    pair = Pair(Options(first_sequence=4, restart=10, pending_max=4), 0, True)
    pair.push(payload(0, 4, 2, 0), 0, 0)
    for _ in range(2):
        pair.push(payload(0, 1, 1, 0), 0, 20)
        assert pair.model.counts["restarts"] == 1
    pair.push(payload(0, 4, 2, 0), 0, 0)
    pair.finish()


def test_a_packet_over_gaps_that_were_announced_one_by_one() -> None:
    """It was a piece for each of them, more than there is room for."""
    pair = Pair(Options(pending_max=1), 0, True)
    pair.push(payload(0, 1, 1, 0), 0, 0)
    for sequence in range(3, 10):
        pair.do_heartbeat(1, 0, 0, sequence)
    pair.push(payload(0, 3, 6, 0), 1, 1)
    pair.push(payload(0, 2, 1, 0), 1, 1)
    pair.finish()


numbered = st.lists(
    st.one_of(
        st.tuples(st.just("number"), times, lines, st.integers(-8, 8), variants),
        st.tuples(st.just("number"), times, lines, st.integers(0, 1), st.just(0)),
        waits,
        gives_up,
    ),
    max_size=40,
)


class Numbered(Pair):
    """Packets of one message, their number at an offset."""

    def do_number(self, after: int, line: int, onwards: int, variant: int) -> None:
        options = self.model.options
        assert options.offset is not None
        sequence = max(0, self.top + onwards)
        self.top = max(self.top, sequence + 1)
        number = (sequence % 2 ** (8 * options.size)).to_bytes(
            options.size, "little" if options.little_endian else "big"
        )
        self.push(b"x" * options.offset + number + bytes([variant]), line, after)


@settings(deadline=None, max_examples=60)
@given(
    cases(),
    numbered,
    st.sampled_from([0, 3]),
    st.sampled_from([4, 8]),
    st.booleans(),
    st.sampled_from([5, 2**32 - 10, 2**33 - 5]),
)
def test_numbers_at_an_offset(
    case: tuple[Options, int], steps: list[Step], offset: int, size: int, little_endian: bool, base: int
) -> None:
    """Of four bytes they wrap, and the output goes on counting."""
    base = base if size == 8 else base % 2**32  # what one packet alone can say
    changed = {"offset": offset, "size": size, "little_endian": little_endian, "first_sequence": None}
    pair = Numbered(dataclasses.replace(case[0], **changed), base, True)
    for step in steps:
        pair.step(step)
    pair.finish()
