"""What is asked for again, message by message: slow, plain, and obviously right.

Ranges are an economy of the core; here each missing message has a fate of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from numi_sim.model import mold

MASK = 2**64 - 1
Gap = tuple[int, int, int]  # from, the first one behind, since when it is known
Asked = tuple[int, int, int]  # sequence, count, server


@dataclass(frozen=True)
class Options:
    """The options of the core by the same names; how many ranges fit is no concern of a model."""

    servers: int = 1
    policy: str = "round_robin"
    request_max: int = 64
    coalesce: int = 8
    outstanding: int = 8
    attempts_max: int = 8
    failures_max: int = 3
    patience_ns: int = 1_000_000
    timeout_ns: int = 10_000_000
    backoff_ns: int = 2_000_000
    backoff_max_ns: int = 200_000_000
    jitter_ns: int = 500_000
    rest_ns: int = 1_000_000_000
    give_up_ns: int = 2_000_000_000
    seed: int = 0


@dataclass
class Fate:
    """Of one missing message."""

    known: int
    due: int
    attempts: int = 0
    request: "Request | None" = None
    failed: int | None = None
    given_up: bool = False
    told: bool = False


@dataclass(eq=False)
class Request:
    """One that waits for an answer."""

    server: int
    first: int
    behind: int
    timeout: int


def jitter(seed: int, sequence: int, attempts: int, most: int) -> int:
    """Chance that depends on nothing else."""
    z = (seed + sequence * 0x9E3779B97F4A7C15 + attempts) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return z % (most + 1)


@dataclass
class RecoverModel:
    """Says what the core should ask, and what it should make of a reply."""

    options: Options
    session: bytes | None = None
    missing: dict[int, Fate] = field(default_factory=dict)
    waiting: list[Request] = field(default_factory=list)
    rests: dict[int, int] = field(default_factory=dict)
    failures: Counter[int] = field(default_factory=Counter)
    turn: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def step(self, now: int, session: bytes, gaps: Sequence[Gap], room: int) -> list[Asked]:
        """What is asked now."""
        if session != self.session:
            self.session, self.missing, self.waiting = session, {}, []
            self.counts["sessions"] += 1
        listed = {number: known for first, behind, known in gaps for number in range(first, behind)}
        self.missing = {
            number: self.missing.get(number) or Fate(known, known + self.options.patience_ns)
            for number, known in sorted(listed.items())
        }
        self._drop_overtaken()
        for request in [one for one in self.waiting if one.timeout <= now]:
            self._time_out(request, now)
        self._give_up(now)
        asked: list[Asked] = []
        while len(asked) < room and len(self.waiting) < self.options.outstanding:
            one = self._ask(now)
            if one is None:
                break
            asked.append(one)
        return asked

    def _drop_overtaken(self) -> None:
        wanted = [fate.request for fate in self.missing.values()]
        overtaken = [request for request in self.waiting if request not in wanted]
        self.waiting = [request for request in self.waiting if request in wanted]
        self.counts["overtaken"] += len(overtaken)

    def _backoff(self, attempts: int) -> int:
        return int(min(self.options.backoff_max_ns, self.options.backoff_ns * 2 ** min(attempts - 1, 64)))

    def _time_out(self, request: Request, now: int) -> None:
        self.waiting.remove(request)
        for fate in self._of(request):
            chance = jitter(self.options.seed, request.first, fate.attempts, self.options.jitter_ns)
            fate.request, fate.failed = None, request.server
            fate.due = now + self._backoff(fate.attempts) + chance
        self.counts["timeouts"] += 1
        self.failures[request.server] += 1
        if self.failures[request.server] == self.options.failures_max:
            self.failures[request.server] = 0
            self.rests[request.server] = now + self.options.rest_ns
            self.counts["rests"] += 1

    def _of(self, request: Request) -> list[Fate]:
        return [fate for fate in self.missing.values() if fate.request is request]

    def _give_up(self, now: int) -> None:
        for fate in self.missing.values():
            tried = fate.request is None and fate.attempts >= self.options.attempts_max
            if not fate.given_up and (tried or now >= fate.known + self.options.give_up_ns):
                fate.given_up = True
                self.counts["given_up"] += 1

    def _is_due(self, fate: Fate, now: int) -> bool:
        return fate.request is None and not fate.given_up and fate.due <= now

    def _choose(self, failed: int | None, now: int) -> int:
        every = range(self.options.servers)
        order = [(self.turn + i) % len(every) for i in every] if self.options.policy == "round_robin" else list(every)
        awake = [server for server in order if server not in self.rests or self.rests[server] <= now]
        others = [server for server in awake if server != failed]
        return (others or awake or [min(order, key=lambda server: self.rests[server])])[0]

    def _ask(self, now: int) -> Asked | None:
        numbers = sorted(self.missing)
        first = next((number for number in numbers if self._is_due(self.missing[number], now)), None)
        if first is None:
            return None
        server = self._choose(self.missing[first].failed, now)
        chosen = [first]
        for number in numbers[numbers.index(first) + 1 :]:
            near = number - (chosen[-1] + 1) <= self.options.coalesce and number < first + self.options.request_max
            if not near or not self._is_due(self.missing[number], now):
                break
            chosen.append(number)
        request = Request(server, first, chosen[-1] + 1, now + self.options.timeout_ns)
        self.counts["repeated"] += any(self.missing[number].attempts for number in chosen)
        for number in chosen:
            self.missing[number].attempts += 1
            self.missing[number].request = request
        self.waiting.append(request)
        self.turn = (server + 1) % self.options.servers
        self.counts["requests"] += 1
        self.counts["asked"] += request.behind - first
        return first, request.behind - first, server

    def reply(self, now: int, server: int, payload: bytes) -> str:
        """What a packet from a server is."""
        reply, count, request = self._judge(server, payload)
        self.counts[f"reply_{reply}"] += 1
        if request is not None:
            self._settle(request, request.first + count, now)
        return reply

    def _judge(self, server: int, payload: bytes) -> tuple[str, int, Request | None]:
        try:
            session, sequence, _, messages = mold.decode(payload)
        except mold.MoldError as error:
            return error.reason, 0, None
        if session != self.session:
            return "other_session", 0, None
        if not messages:
            return "empty", 0, None
        there = [request for request in self.waiting if request.first == sequence]
        mine = [request for request in there if request.server == server]
        if not mine:
            return "other_server" if there else "unasked", 0, None
        if len(messages) > mine[0].behind - sequence:
            return "too_many", 0, None
        return "ok", len(messages), mine[0]

    def _settle(self, request: Request, end: int, now: int) -> None:
        for number, fate in self.missing.items():
            if fate.request is request:
                fate.request = fate.failed = None
                fate.due = now + self._backoff(fate.attempts) if number < end else now
                fate.attempts -= number >= end
        self.waiting.remove(request)
        self.failures[request.server] = 0
        self.rests.pop(request.server, None)
        self.counts["answered"] += end - request.first
        self.counts["partial"] += end < request.behind

    def given_up(self) -> set[int]:
        """Messages that nobody has been told of yet."""
        new = {number for number, fate in self.missing.items() if fate.given_up and not fate.told}
        for number in new:
            self.missing[number].told = True
        return new


def gaps_of(missing: Iterable[tuple[int, int]]) -> list[Gap]:
    """Messages and since when they are known to be missing, as gaps: neighbours of the same moment are one."""
    gaps: list[Gap] = []
    for number, known in sorted(missing):
        if gaps and gaps[-1][1] == number and gaps[-1][2] == known:
            gaps[-1] = (gaps[-1][0], number + 1, known)
        else:
            gaps.append((number, number + 1, known))
    return gaps
