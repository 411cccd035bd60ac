"""The merge, sequence by sequence: slow, plain, and obviously right.

What waits is a dictionary from sequences to packets; what is known to be missing, a dictionary from sequences to the
time since when. No ranges, no lists of pieces, no shortcuts for packets that go straight through.
"""

from collections import Counter
from dataclasses import dataclass, field

from numi_sim.model import mold
from numi_sim.model.refused import RefusedError

A, B, RECOVERY = range(3)
ALL = 2**64 - 1
SESSIONS_REMEMBERED = 8


@dataclass(frozen=True)
class Options:
    """As struct numi_merge_options; None is "never" or "all"."""

    window: int | None = None
    window_max: int | None = None
    first_sequence: int | None = None
    gap_timeout: int | None = None
    dwell: int = 0
    silence: int | None = None
    restart: int | None = None
    pending_max: int | None = None
    compared: int = 0
    agree: int = 2
    lines: int = 2
    primary: int = A
    leave_after: int = 2
    return_after: int = 8
    offset: int | None = None
    size: int = 8
    little_endian: bool = False


@dataclass
class Packet:
    """What came, and what of it has not gone out."""

    line: int
    now: int
    session: bytes
    sequence: int
    count: int
    messages: list[bytes]
    waiting: int = 0
    is_out: bool = False

    @property
    def end(self) -> int:
        """The sequence behind its last message."""
        return self.sequence + len(self.messages)


@dataclass(frozen=True)
class Message:
    """One message of the output."""

    sequence: int
    content: bytes
    line: int
    begins_session: bool


@dataclass(frozen=True)
class Gap:
    """A declared gap: first and last sequence."""

    first: int
    last: int
    begins_session: bool


@dataclass
class Copy:
    """The first copy of a message."""

    sequence: int
    content: bytes
    now: int
    first_line: int
    lines: set[int]


@dataclass
class Preference:
    """Which line is preferred, from the packets that made the output advance."""

    options: Options
    preferred: int = A
    streak: int = 0
    switched: int | None = None
    advanced: dict[int, int] = field(default_factory=dict)
    switches: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def _wanted(self) -> int:
        return self.options.leave_after if self.preferred == self.options.primary else self.options.return_after

    @property
    def due(self) -> int | None:
        """When the dwell of a streak that is long enough is over."""
        if self.streak < self._wanted or self.switched is None:
            return None
        return self.switched + self.options.dwell

    def _switch(self, now: int) -> None:
        old = self.advanced.get(self.preferred)
        self.switches.append((now, None if old is None else now - old))
        self.preferred, self.streak, self.switched = 1 - self.preferred, 0, now

    def pass_time(self, due: int) -> None:
        """A dwell may be over."""
        if self.due is not None and self.due <= due:
            self._switch(self.due)

    def advance(self, line: int, now: int) -> None:
        """A packet of a line made the output advance."""
        self.advanced[line] = now
        self.streak = 0 if line == self.preferred else self.streak + 1
        if self.streak >= self._wanted and (self.switched is None or self.switched + self.options.dwell <= now):
            self._switch(now)


class Merge:
    """Packets in, `out` grows."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out: list[Message | Gap] = []
        self.frames: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.lines = [Counter[str]() for _ in range(3)]
        self.preference = Preference(options, options.primary)
        self.disagreements: list[tuple[int, int, int]] = []
        self.silent: dict[int, bool] = {}
        self._last: dict[int, int] = {}
        self._began: int | None = None
        self._now = 0
        self._advanced: int | None = None
        self._session: bytes | None = None
        self._over: list[bytes] = []
        self._candidate: Packet | None = None
        self._width = options.window
        self._reach = self._shrinks = 0
        self._begin(b"", 0)

    # ---- The state of a session.

    def _begin(self, session: bytes, sequence: int) -> None:
        first = self.options.first_sequence
        self.first = self.next = sequence if first is None else first
        self.top = self.next
        self.held: dict[int, Packet] = {}
        self.known: dict[int, int] = {}  # missing sequences, and since when they are known to be
        self.given_up: set[int] = set()
        self.lost: list[tuple[int, int]] = []
        self._records: dict[int, Copy] = {}
        self._tops = [0, 0, 0]
        self._far: tuple[int, int, int] | None = None  # lowest, since, packets
        self._is_fresh = True
        self._has_ended = False

    def _begin_session(self, session: bytes, sequence: int) -> None:
        if self._session is not None and self._session != session:
            self._over = [*self._over, self._session][-SESSIONS_REMEMBERED:]
        self._session = session
        self.settle()
        self._begin(session, sequence)
        self.counts["sessions"] += 1

    # ---- Time.

    def _pass_time(self, due: int) -> None:
        self.preference.pass_time(due)
        for line in range(self.options.lines):
            since = self._last.get(line, self._began)
            if self.options.silence is None or since is None or self.silent.get(line):
                continue
            if since + self.options.silence <= due:
                self.silent[line] = True
                self.lines[line]["silences"] += 1

    def _is_due(self, sequence: int, due: int) -> bool:
        if sequence in self.given_up:
            return True
        return self.options.gap_timeout is not None and self.known[sequence] + self.options.gap_timeout <= due

    def _far_is_due(self, due: int) -> bool:
        if self._far is None or self.options.gap_timeout is None or self.held:
            return False
        _, since, packets = self._far
        return packets >= self.options.agree and since + self.options.gap_timeout <= due

    def _expire(self, due: int) -> None:
        """All that time alone brings out."""
        while True:
            if self.next < self.top and self._is_due(self.next, due):
                self._declare(lambda sequence: self._is_due(sequence, due))
            elif self._far is not None and self._far_is_due(due):
                self.counts["jumps"] += 1
                self._jump(self._far[0], due)
            else:
                return

    def advance(self, now: int) -> None:
        """It is `now`, and nothing that came before waits."""
        self._now = max(self._now, now)
        if self._began is not None:
            self._pass_time(self._now)
            self._expire(self._now)

    # ---- Output.

    def _emit(self, one: Message | Gap) -> None:
        self.out.append(one)
        self._is_fresh = False

    def _hand_out(self) -> None:
        """All that follows where the output stands."""
        while self.next in self.held:
            packet = self.held.pop(self.next)
            content = packet.messages[self.next - packet.sequence]
            self._emit(Message(self.next, content, packet.line, self._is_fresh))
            self.messages["held"] -= 1
            self.messages["new"] += 1
            if not packet.is_out:
                self.frames["held"] -= 1
                self.frames["delivered"] += 1
            packet.is_out = True
            packet.waiting -= 1
            self.next += 1
        if not self.held:
            self._narrow()

    def _declare(self, is_due) -> None:  # type: ignore[no-untyped-def]
        first = self.next
        while self.next < self.top and self.next not in self.held and is_due(self.next):
            self.known.pop(self.next)
            self.next += 1
        self._close_gap(first)
        self._hand_out()

    def _jump(self, to: int, due: int) -> None:
        first = self.next
        for sequence in list(self.known):
            if sequence < to:
                del self.known[sequence]
        self.next, self.top = to, max(to, self.top)
        while self.next < self.top and self.next not in self.held and self._is_due(self.next, due):
            self.known.pop(self.next)
            self.next += 1
        self._close_gap(first)

    def _close_gap(self, first: int) -> None:
        self._emit(Gap(first, self.next - 1, self._is_fresh))
        self.lost.append((first, self.next))
        self.counts["gaps"] += 1
        self.counts["missing"] += self.next - first
        self._far = None

    def flush(self) -> None:
        """Nothing more will come."""
        while self.next < self.top:
            self._declare(lambda sequence: True)
        if self._candidate is not None:
            packet, self._candidate = self._candidate, None
            self._uncount(packet)
            self._begin_session(packet.session, packet.sequence)
            packet.now = self._now
            self._take(packet)
            self.flush()

    def give_up(self, first: int, end: int) -> None:
        """These messages will not come."""
        self.given_up |= {sequence for sequence in self.known if first <= sequence < end}
        self._expire(-ALL)

    # ---- Input.

    def _parse(self, data: bytes) -> tuple[bytes, int, int, list[bytes]]:
        options = self.options
        if options.offset is None:
            session, sequence, count, messages = mold.decode(data)
        else:
            number = data[options.offset : options.offset + options.size]
            if len(number) < options.size or len(data) > 0xFFFF:
                raise RefusedError("short_header", "no room for a number")
            sequence = int.from_bytes(number, "little" if options.little_endian else "big")
            session, count, messages = bytes(10), 1, [data]
            if options.size == 4 and self._session is not None:
                distance = (sequence - self.next + 2**31) % 2**32 - 2**31
                sequence = self.next + distance if self.next + distance >= 0 else sequence
        if sequence + len(messages) > ALL:
            raise RefusedError("trailing", "past 64 bits")
        return session, sequence, count, messages

    def push(self, data: bytes, line: int, now: int) -> None:
        """A payload of a line that arrived at `now`."""
        self._now = now = max(self._now, now)
        self._began = now if self._began is None else self._began
        self._pass_time(now - 1)
        if line != RECOVERY:
            self._last[line] = now
            self.silent[line] = False
        try:
            session, sequence, count, messages = self._parse(data)
        except RefusedError:
            self.frames["malformed"] += 1
            self._expire(now - 1)
            return
        self.messages["carried"] += len(messages)
        self._expire(now - 1)
        self._take(Packet(line, now, session, sequence, count, messages))
        self._expire(now - 1)  # it may have agreed with one that came long before

    def _take(self, packet: Packet) -> None:
        if self._session is None:
            self._begin_session(packet.session, packet.sequence)
        if packet.session == self._session:
            self._take_in_session(packet)
        elif packet.session in self._over:
            self._take_stale(packet)
        else:
            self._take_unknown(packet)

    def _take_stale(self, packet: Packet) -> None:
        self.frames["stale" if packet.messages else "control"] += 1
        self.messages["stale"] += len(packet.messages)

    def _uncount(self, packet: Packet) -> None:
        self.frames["held"] -= 1
        self.messages["held"] -= len(packet.messages)

    def _take_unknown(self, packet: Packet) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            self._uncount(candidate)
        if candidate is not None and candidate.session != packet.session:
            self.counts["strays"] += 1
            self._take_stale(candidate)
            candidate = None
        if candidate is None and not self._has_ended and self.options.agree > 1:
            self._candidate = packet
            self.frames["held"] += 1
            self.messages["held"] += len(packet.messages)
            return
        packets = [packet] if candidate is None else [candidate, packet]
        while self.next < self.top:
            self._declare(lambda sequence: True)
        self._begin_session(packet.session, min(one.sequence for one in packets))
        for one in packets:
            one.now = self._now  # what it tells is known from now on
            self._take(one)

    def _take_in_session(self, packet: Packet) -> None:
        if self._restarts(packet):
            self.counts["restarts"] += 1
            while self.next < self.top:
                self._declare(lambda sequence: True)
            self._begin_session(packet.session, packet.sequence)
        line = self.lines[packet.line]
        if packet.messages:
            line["packets"] += 1
            line["messages"] += len(packet.messages)
            line["late"] += packet.sequence < self._tops[packet.line]
        self._tops[packet.line] = max(self._tops[packet.line], packet.end)
        if packet.messages:
            self._take_messages(packet)
        else:
            self._take_control(packet)

    def _restarts(self, packet: Packet) -> bool:
        if self.options.restart is None or packet.sequence != 1 or not packet.messages or self._advanced is None:
            return False
        if self._is_fresh:  # nothing of the session has gone out
            return False
        return self.next > packet.end and packet.now - self._advanced >= self.options.restart

    def _take_control(self, packet: Packet) -> None:
        is_end = packet.count == mold.END_OF_SESSION
        self.frames["control"] += 1
        self.counts["ends_of_session" if is_end else "heartbeats"] += 1
        self._has_ended = self._has_ended or is_end
        if self._width is None or packet.sequence <= self.next + self._width:
            self._announce(packet.sequence, packet.now)
        else:
            self._note_far(packet.sequence, packet.now)

    def _announce(self, top: int, now: int) -> None:
        for sequence in range(self.top, top):
            self.known[sequence] = now
        self.top = max(self.top, top)

    def _note_far(self, sequence: int, now: int) -> None:
        assert self._width is not None
        lowest, since, packets = self._far or (sequence, now, 0)
        if abs(sequence - lowest) > self._width:
            lowest, since, packets = sequence, now, 0
        self._far = (min(lowest, sequence), since, packets + 1)

    # ---- Messages.

    def _is_missing(self, sequence: int) -> bool:
        return sequence >= self.next and sequence not in self.held

    def _was_lost(self, sequence: int) -> bool:
        return sequence < self.first or any(first <= sequence < end for first, end in self.lost)

    def _take_messages(self, packet: Packet) -> None:
        sequences = range(packet.sequence, packet.end)
        limit, position = self._limit(packet)
        taken = [sequence for sequence in sequences if self._is_missing(sequence) and sequence < limit]
        out = [sequence for sequence in sequences if self._is_missing(sequence) and sequence >= limit]
        stale = [sequence for sequence in sequences if sequence < self.next and self._was_lost(sequence)]
        self._compare(packet, set(taken), limit)
        self.lines[packet.line]["first"] += len(taken)
        self.messages["out_of_window"] += len(out)
        self.messages["stale"] += len(stale)
        self.messages["duplicate"] += len(sequences) - len(taken) - len(out) - len(stale)
        if not taken:
            self.frames["out_of_window" if out else "stale" if stale else "duplicate"] += 1
        advances = position > self.next
        far = not advances and self._width is not None and max(packet.sequence, self.next) >= self.next + self._width
        self._hold(packet, taken)
        if advances:
            self._advanced, self._far = packet.now, None
            if packet.line != RECOVERY:
                self.preference.advance(packet.line, packet.now)
        elif far:
            self._note_far(max(packet.sequence, self.next), packet.now)
        self._hand_out()

    def _limit(self, packet: Packet) -> tuple[int, int]:
        """Behind what of the packet is taken; and where the output stands once what is in order is out."""
        position = self.next
        while position in self.held or packet.sequence <= position < packet.end:
            position += 1
        if packet.end <= self.next:
            return packet.end, position
        is_straight = packet.sequence <= self.next and self.next == self.top
        if not is_straight:
            self._widen(packet.end - position)
        limit = packet.end if self._width is None else min(packet.end, position + self._width)
        is_full = self.options.pending_max is not None and self._packets_held() >= self.options.pending_max
        if is_full and limit > position:
            wanted = range(max(position, packet.sequence), limit)
            self.counts["pending_full"] += any(self._is_missing(sequence) for sequence in wanted)
            limit = position
        return max(limit, packet.sequence), position

    def _packets_held(self) -> int:
        return len({id(packet) for packet in self.held.values()})

    def _hold(self, packet: Packet, taken: list[int]) -> None:
        if not taken:
            return
        self._announce(packet.sequence, packet.now)
        self.top = max(self.top, max(taken) + 1)
        for sequence in taken:
            self.held[sequence] = packet
            self.known.pop(sequence, None)
        packet.waiting = len(taken)
        self.frames["held"] += 1
        self.messages["held"] += len(taken)

    # ---- The window's width.

    @property
    def width(self) -> int | None:
        """How far ahead of the output something is held."""
        return self._width

    def _widen(self, wanted: int) -> None:
        self._reach = max(self._reach, wanted)
        if self._width is None or self.options.window_max is None or wanted > self.options.window_max:
            return
        if wanted <= self._width:
            return
        while self._width < wanted:
            self._width *= 2
        self._width = min(self._width, self.options.window_max)
        self._shrinks = 0

    def _narrow(self) -> None:
        if self._width is None or self.options.window_max is None or self._reach == 0:
            return
        assert self.options.window is not None
        is_wide = self._reach <= self._width // 4 and self._width // 2 >= self.options.window
        self._shrinks = self._shrinks + 1 if is_wide else 0
        self._reach = 0
        if self._shrinks >= 64:
            self._width //= 2
            self._shrinks = 0

    # ---- Copies.

    def _compare(self, packet: Packet, taken: set[int], limit: int) -> None:
        if self.options.compared == 0:
            return
        for sequence in range(packet.sequence, min(packet.end, limit)):
            content = packet.messages[sequence - packet.sequence]
            if sequence in taken:
                self._note_first(packet, sequence, content)
            else:
                self._note_again(packet, sequence, content)

    def _note_first(self, packet: Packet, sequence: int, content: bytes) -> None:
        slot = sequence % self.options.compared
        if slot in self._records:
            self._put_out(self._records[slot])
        self._records[slot] = Copy(sequence, content, packet.now, packet.line, {packet.line})

    def _note_again(self, packet: Packet, sequence: int, content: bytes) -> None:
        record = self._records.get(sequence % self.options.compared)
        line = self.lines[packet.line]
        if record is None or record.sequence != sequence:
            return
        line["repeated" if packet.line in record.lines else "second"] += 1
        record.lines.add(packet.line)
        if content != record.content:
            line["disagreements"] += 1
            self.disagreements.append((sequence, packet.line, record.first_line))

    def _put_out(self, record: Copy) -> None:
        for line in (A, B):
            others = set(range(self.options.lines)) - {line}
            self.lines[line]["missing"] += line < self.options.lines and line not in record.lines
            self.lines[line]["rescued"] += line in record.lines and bool(others) and not others & record.lines
        self.lines[RECOVERY]["rescued"] += record.lines == {RECOVERY}

    def settle(self) -> None:
        """What is kept of copies is put out."""
        for record in self._records.values():
            self._put_out(record)
        self._records = {}

    # ---- What there is to see.

    @property
    def packets(self) -> int:
        """Packets that are held: the pool's frames that are out."""
        return self._packets_held() + (self._candidate is not None)

    @property
    def gaps(self) -> list[int]:
        """The sequences that are known to be missing."""
        return sorted(self.known)
