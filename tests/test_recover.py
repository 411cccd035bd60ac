"""The planner of recovery against its model, message by message, and each promise of its header by itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import numi_bypass as nb
from numi_bypass.layout import dtype_of
from numi_bypass.recover import Request
from numi_sim.model import mold
from numi_sim.model.recover import Options, RecoverModel, gaps_of

SESSION, OTHER_SESSION = b"NUMI000001", b"NUMI000002"
MS = 1_000_000
LAST = 60
"""Messages of the small sessions here."""


def messages(first: int, count: int, session: bytes = SESSION) -> bytes:
    return mold.encode(session, first, [b"message %d" % number for number in range(first, first + count)])


def planner(**options: Any) -> nb.Recover:
    recover = nb.Recover(**{"jitter_ns": 0, "patience_ns": 0, **options})
    recover.session = SESSION
    return recover


def asked(requests: list[Request]) -> list[tuple[int, int, int]]:
    for one in requests:
        assert mold.decode_request(one.payload)[1:] == (one.sequence, one.count)
    return [(one.sequence, one.count, one.server) for one in requests]


choices = st.fixed_dictionaries(
    {
        "servers": st.integers(1, 3),
        "policy": st.sampled_from(["round_robin", "fail_over"]),
        "request_max": st.integers(1, 12),
        "coalesce": st.integers(0, 4),
        "outstanding": st.integers(1, 4),
        "attempts_max": st.integers(1, 4),
        "failures_max": st.integers(1, 3),
        "patience_ns": st.integers(0, 3),
        "timeout_ns": st.integers(1, 6),
        "backoff_ns": st.integers(0, 4),
        "backoff_max_ns": st.integers(4, 12),
        "jitter_ns": st.integers(0, 3),
        "rest_ns": st.integers(0, 20),
        "give_up_ns": st.sampled_from([0, 10, 40, 10**9]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


class RecoverMachine(RuleBasedStateMachine):
    """Gaps come and go, servers answer, lie, or are silent; after each step the core asks what the model asks."""

    @initialize(options=choices, start=st.sampled_from([0, -5, 10**15]))
    def open(self, options: dict[str, Any], start: int) -> None:
        self.core, self.model = nb.Recover(**options), RecoverModel(Options(**options))
        self.options, self.now, self.session = Options(**options), start, SESSION
        self.missing: dict[int, int] = {}
        self.sent: list[tuple[int, int, int]] = []

    @rule(first=st.integers(0, LAST), count=st.integers(1, 20))
    def lose(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.missing.setdefault(number, self.now)

    @rule(first=st.integers(0, LAST), count=st.integers(1, 9))
    def fill(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.missing.pop(number, None)

    @rule(passed=st.integers(0, 8))
    def step(self, passed: int) -> None:
        self.now += passed
        gaps = gaps_of(self.missing.items())
        got = asked(self.core.step(self.now, gaps, session=self.session))
        assert got == self.model.step(self.now, self.session, gaps, self.options.outstanding)
        self.sent += got
        told = {number for first, behind in self.core.given_up() for number in range(first, behind)}
        assert told == self.model.given_up()

    @rule(data=st.data(), merged=st.booleans())
    def answer(self, data: st.DataObject, merged: bool) -> None:
        if not self.sent:
            return
        first, count, server = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        fit = data.draw(st.integers(1, count))
        if self.reply(messages(first, fit, self.session), server) == "ok" and merged:
            self.fill(first, fit)

    @rule(data=st.data())
    def lie(self, data: st.DataObject) -> None:
        first, count, server = data.draw(st.sampled_from(self.sent)) if self.sent else (3, 4, 0)
        payload = messages(first, count, self.session)
        lies = {
            "wrong range": messages(first + 1, count, self.session),
            "more": messages(first, count + 1, self.session),
            "session": messages(first, count, b"SOMEBODY  "),
            "cut": payload[:-1],
            "trailing": payload + b"x",
            "short": payload[:19],
            "heartbeat": mold.heartbeat(self.session, first),
            "end": mold.end_of_session(self.session, first),
        }
        self.reply(lies[data.draw(st.sampled_from(sorted(lies)))], server)
        self.reply(payload, (server + 1) % self.options.servers)

    def reply(self, payload: bytes, server: int) -> str:
        got = self.core.reply(payload, self.now, server)
        assert got == self.model.reply(self.now, server, payload)
        return got

    @rule(new=st.integers(0, 9))
    def begin_session(self, new: int) -> None:
        if new == 0:
            self.session = OTHER_SESSION if self.session == SESSION else SESSION
            self.missing.clear()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "core"):
            return
        counts = self.core.counts()
        assert {name: n for name, n in counts.items() if n} == {name: n for name, n in self.model.counts.items() if n}
        assert self.core.outstanding == len(self.model.waiting)


TestRecoverMachine = RecoverMachine.TestCase
TestRecoverMachine.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_the_other_line_gets_its_time() -> None:
    recover = planner(patience_ns=MS)
    assert recover.step(5 * MS, [(10, 12, 5 * MS)]) == []
    assert recover.step(6 * MS - 1, [(10, 12, 5 * MS)]) == []
    assert asked(recover.step(6 * MS, [(10, 12, 5 * MS)])) == [(10, 2, 0)]


def test_an_answer_s_rest_is_asked_for_at_once_and_is_no_failure() -> None:
    recover = planner(attempts_max=1)
    assert asked(recover.step(0, [(1, 41, 0)])) == [(1, 40, 0)]
    for end in range(11, 41, 10):
        assert recover.reply(messages(end - 10, 10), 1) == "ok"
        assert asked(recover.step(1, [(end, 41, 0)])) == [(end, 41 - end, 0)]
    assert recover.given_up() == []
    assert (recover.counts()["partial"], recover.counts()["answered"]) == (3, 30)


def test_silence_is_asked_again_with_growing_patience_and_then_given_up() -> None:
    recover = planner(timeout_ns=10, backoff_ns=4, backoff_max_ns=10, attempts_max=4, failures_max=100)
    times = [now for now in range(200) if recover.step(now, [(7, 9, 0)])]
    assert times == [0, 14, 32, 52], "10 of silence, then 4, 8, 10 of back-off"
    assert recover.given_up() == [(7, 9)]
    assert recover.given_up() == [], "each message is told once"
    assert recover.counts()["given_up"] == 2


def test_time_alone_gives_up() -> None:
    recover = planner(give_up_ns=100)
    recover.step(99, [(7, 9, 0)])
    assert recover.given_up() == []
    recover.step(100, [(7, 9, 0)])
    assert recover.given_up() == [(7, 9)]
    assert recover.reply(messages(7, 2), 101) == "ok", "an answer may still come, and is as good"


def test_long_gaps_are_asked_in_parts_at_once() -> None:
    recover = planner(request_max=100, outstanding=3)
    assert asked(recover.step(0, [(1, 1001, 0)])) == [(1, 100, 0), (101, 100, 0), (201, 100, 0)]
    assert recover.step(1, [(1, 1001, 0)]) == []
    assert recover.reply(messages(101, 100), 2) == "ok"
    assert asked(recover.step(3, [(1, 101, 0), (201, 1001, 0)])) == [(301, 100, 0)]


def test_near_gaps_are_asked_as_one() -> None:
    recover = planner(coalesce=3, request_max=20)
    gaps = [(1, 3, 0), (6, 8, 0), (12, 13, 0), (30, 31, 0)]
    assert asked(recover.step(0, gaps)) == [(1, 7, 0), (12, 1, 0), (30, 1, 0)]


def test_what_the_lines_bring_meanwhile_is_not_waited_for() -> None:
    recover = planner(outstanding=1)
    recover.step(0, [(1, 3, 0), (50, 51, 0)])
    assert asked(recover.step(1, [(50, 51, 0)])) == [(50, 1, 0)]
    assert recover.counts()["overtaken"] == 1
    assert recover.reply(messages(1, 2), 2) == "unasked"


def test_a_silent_server_rests_and_the_others_are_asked() -> None:
    recover = planner(servers=2, policy="fail_over", timeout_ns=10, backoff_ns=0, failures_max=1, rest_ns=100)
    assert asked(recover.step(0, [(1, 2, 0)])) == [(1, 1, 0)]
    assert asked(recover.step(10, [(1, 2, 0)])) == [(1, 1, 1)]
    assert asked(recover.step(11, [(1, 2, 0), (100, 101, 0)])) == [(100, 1, 1)], "the first one rests"
    assert recover.reply(messages(1, 1), 12, server=1) == "ok"
    assert asked(recover.step(110, [(200, 201, 0)])) == [(200, 1, 0)], "and is asked again then"


def test_where_all_rest_the_one_that_wakes_first_is_asked() -> None:
    recover = planner(servers=2, policy="fail_over", timeout_ns=10, backoff_ns=0, failures_max=1, rest_ns=1000)
    times = [one.server for now in range(0, 50, 10) for one in recover.step(now, [(1, 2, 0)])]
    assert times == [0, 1, 0, 1, 0]


def test_the_servers_take_turns() -> None:
    recover = planner(servers=3, request_max=1)
    assert [one.server for one in recover.step(0, [(1, 6, 0)])] == [0, 1, 2, 0, 1]


def test_a_reply_that_is_not_merged_is_not_asked_for_in_a_circle() -> None:
    recover = planner(attempts_max=3, backoff_ns=10, backoff_max_ns=10)
    times = []
    for now in range(100):
        if recover.step(now, [(1, 2, 0)]):
            times.append(now)
            assert recover.reply(messages(1, 1), now) == "ok"
    assert times == [0, 10, 20]
    assert recover.given_up() == [(1, 2)]


def test_chance_follows_from_the_seed_alone() -> None:
    def times(seed: int, others: int) -> list[int]:
        recover = planner(seed=seed, timeout_ns=10, jitter_ns=1000, request_max=1, failures_max=100, outstanding=64)
        gaps = [(1, 2, 0), *[(10 * i, 10 * i + 1, 0) for i in range(1, others)]]
        return [now for now in range(0, 3 * MS, 50) if any(one.sequence == 1 for one in recover.step(now, gaps))]

    assert times(1, 0) == times(1, 20) != times(2, 0)


def test_more_ranges_than_there_is_room_for_come_later() -> None:
    recover = planner(range_max=4, coalesce=0, outstanding=256)
    missing = list(range(0, 400, 2))
    for now in range(200):
        got = recover.step(now, gaps_of((number, 0) for number in missing))
        assert all(one.sequence in missing[:4] for one in got)
        for one in got:
            assert recover.reply(messages(one.sequence, one.count), now) == "ok"
            missing.remove(one.sequence)
    assert missing == []
    assert recover.counts()["deferred"] > 0


def test_numbers_to_the_last_one() -> None:
    top, late = 2**64 - 1, 2**63 - 1
    recover = planner(request_max=10)
    assert recover.step(late, [(top - 15, top, -(2**63))]) == [], "known since ever: given up"
    assert recover.given_up() == [(top - 15, top)]
    now = late - 4 * 3600 * 1000 * MS
    recover = planner(request_max=10, give_up_ns=3600 * 1000 * MS)
    assert asked(recover.step(now, [(top - 15, top, now)])) == [(top - 15, 10, 0), (top - 5, 5, 0)]
    assert recover.reply(messages(top - 5, 5), now) == "ok"
    assert recover.step(late, [(top - 15, top - 5, now)]) == []
    assert recover.given_up() == [(top - 15, top - 5)]


def test_gaps_out_of_order_are_refused_by_place_and_change_nothing() -> None:
    recover = planner()
    recover.step(0, [(1, 5, 0)])
    for wrong in ([(5, 5, 0)], [(5, 4, 0)], [(1, 5, 0), (4, 6, 0)]):
        with pytest.raises(nb.errors.ArgumentError, match=rf"gap {len(wrong) - 1}, from"):
            recover.step(1, wrong)
    assert recover.outstanding == 1
    with pytest.raises(TypeError, match="allowed"):
        recover.step(1, np.zeros(3))
    rows = np.array([(1, 5, 0)], dtype_of("numi_gap"))
    assert recover.step(1, rows) == []


def test_options_out_of_range_are_named() -> None:
    for name, value in {"servers": 17, "request_max": 65535, "timeout_ns": 0, "backoff_max_ns": 1}.items():
        with pytest.raises(nb.errors.ArgumentError, match=f"{name}={value}: allowed"):
            nb.Recover(**{name: value})
    with pytest.raises(TypeError, match="no such option: patience; there are servers"):
        nb.Recover(patience=1)
    with pytest.raises(ValueError, match="policy='x': allowed round_robin"):
        nb.Recover(policy="x")
    with pytest.raises(nb.errors.ArgumentError, match="server 1 of 1"):
        planner().reply(b"", 0, server=1)
    with pytest.raises(ValueError, match="at most 10"):
        planner().step(0, [], session=b"eleven bytes")
