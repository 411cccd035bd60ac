import errno
import os
import pickle
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import numi_bypass as nb

RECORD = np.dtype([("sequence", "<u8"), ("price", "<i8"), ("tail", "u1", 3)])


def records(first: int, count: int) -> np.ndarray:
    out = np.zeros(count, RECORD)
    out["sequence"] = np.arange(first, first + count)
    out["price"] = -out["sequence"].astype(np.int64)
    out["tail"] = (out["sequence"] % 251).astype(np.uint8)[:, None]
    return out


class RingMachine(RuleBasedStateMachine):
    """The ring against a queue."""

    @initialize(count=st.sampled_from([2, 4, 8, 64]))
    def open(self, count: int) -> None:
        self.ring = nb.Ring(RECORD, count, pages="4k")
        self.model: deque[bytes] = deque()
        self.pushed = 0

    @rule(count=st.integers(0, 80))
    def push(self, count: int) -> None:
        batch = records(self.pushed, count)
        pushed = self.ring.push(batch)
        assert pushed == min(count, self.ring.record_count - len(self.model))
        self.model.extend(record.tobytes() for record in batch[:pushed])
        self.pushed += pushed

    @rule(count=st.integers(0, 80))
    def pop(self, count: int) -> None:
        popped = self.ring.pop(count)
        assert len(popped) == min(count, len(self.model))
        for record in popped:
            assert record.tobytes() == self.model.popleft()

    @invariant()
    def size_agrees(self) -> None:
        if hasattr(self, "ring"):
            assert len(self.ring) == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            self.ring.close()


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


POPPER = """
import sys
import numpy as np
import numi_bypass as nb
ring = nb.Ring.attach(sys.argv[1], "pop", np.uint64)
expected = 0
while expected < int(sys.argv[2]):
    popped = ring.pop(64)
    assert (popped == np.arange(expected, expected + len(popped), dtype=np.uint64)).all()
    expected += len(popped)
print("in order", expected)
"""


def test_two_processes_through_a_file(path: Path) -> None:
    count = 20_000
    nb.Ring.create(path, np.uint64, 128)
    popper = subprocess.Popen([sys.executable, "-c", POPPER, str(path), str(count)], stdout=subprocess.PIPE, text=True)
    with nb.Ring.attach(path, "push", np.uint64) as ring:
        pushed = 0
        while pushed < count and popper.poll() is None:
            pushed += ring.push(np.arange(pushed, min(pushed + 50, count), dtype=np.uint64))
        assert popper.communicate()[0].split() == ["in", "order", str(count)]


def test_a_file_goes_on_where_its_last_holders_left_off(path: Path) -> None:
    nb.Ring.create(path, RECORD, 8)
    with nb.Ring.attach(path, "both", RECORD) as ring:
        ring.push(records(0, 5))
        ring.pop(2)
    with nb.Ring.attach(path, "push", RECORD) as push, nb.Ring.attach(path, "pop", RECORD) as pop:
        assert push.push(records(5, 9)) == 5
        assert pop.pop(99)["sequence"].tolist() == list(range(2, 10))


def test_each_end_has_one_holder(path: Path) -> None:
    nb.Ring.create(path, RECORD, 8)
    with nb.Ring.attach(path, "push", RECORD):
        with pytest.raises(nb.errors.BusyError, match="push end"):
            nb.Ring.attach(path, "both", RECORD)
        nb.Ring.attach(path, "pop", RECORD).close()
    nb.Ring.attach(path, "push", RECORD).close()


def test_an_end_does_only_its_own_work(path: Path) -> None:
    nb.Ring.create(path, RECORD, 8)
    with nb.Ring.attach(path, "pop", RECORD) as ring, pytest.raises(nb.errors.ArgumentError, match="pop end only"):
        ring.push(records(0, 1))


@pytest.mark.parametrize(
    ("offset", "bytes_there", "error"),
    [
        (0, b"X", nb.errors.CorruptError),
        (8, b"\x09", nb.errors.VersionError),
        (12, b"\xff", nb.errors.CorruptError),
        (24, b"\xff", nb.errors.CorruptError),
        (128, b"\x09", nb.errors.CorruptError),
        (256, b"\x01", nb.errors.CorruptError),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    path: Path, offset: int, bytes_there: bytes, error: type[Exception]
) -> None:
    nb.Ring.create(path, RECORD, 8)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes_there)
    with pytest.raises(error, match=str(path)):
        nb.Ring.attach(path, "both", RECORD)


def test_a_peer_that_breaks_its_cursor_stops_us_and_nothing_else(path: Path) -> None:
    nb.Ring.create(path, RECORD, 8)
    with nb.Ring.attach(path, "pop", RECORD) as ring:
        with path.open("r+b") as file:
            file.seek(128)
            file.write(b"\xff" * 8)
        for _ in range(3):
            with pytest.raises(nb.errors.CorruptError, match="contradict"):
                ring.pop(1)


def test_short_missing_and_existing_files(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(path)):
        nb.Ring.attach(path, "pop", RECORD)
    path.write_bytes(b"numiring")
    with pytest.raises(nb.errors.CorruptError, match="too short"):
        nb.Ring.attach(path, "pop", RECORD)
    with pytest.raises(FileExistsError):
        nb.Ring.create(path, RECORD, 8)
    path.unlink()
    nb.Ring.create(path, RECORD, 8)
    os.truncate(path, 400)
    with pytest.raises(nb.errors.CorruptError, match="cut short"):
        nb.Ring.attach(path, "pop", RECORD)


def test_wrong_records_are_refused(path: Path) -> None:
    with nb.Ring(np.uint64, 8) as ring, pytest.raises(TypeError, match="carries uint64"):
        ring.push(np.zeros(1, np.float64))
    nb.Ring.create(path, RECORD, 8)
    with pytest.raises(ValueError, match="19 bytes"):
        nb.Ring.attach(path, "pop", np.uint64)


@pytest.mark.parametrize(("size", "count"), [(0, 8), (4097, 8), (8, 0), (8, 3), (8, 2**29)])
def test_bad_sizes_name_what_is_allowed(size: int, count: int) -> None:
    with pytest.raises(nb.errors.ArgumentError, match="allowed"):
        nb.Ring(np.dtype(f"V{size}"), count)


def test_a_closed_ring_says_so() -> None:
    ring = nb.Ring(np.uint64, 8)
    ring.close()
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        len(ring)


def test_stalls_are_counted() -> None:
    with nb.Ring(np.uint64, 2) as ring:
        ring.pop(1)
        ring.push(np.zeros(3, np.uint64))
        assert ring.stalls == (1, 1)


def test_records_hold_no_python_objects(path: Path) -> None:
    nb.Ring.create(path, np.uint64, 8)
    for wrong in (object, np.dtype([("a", "O"), ("b", "u8")]), None, np.dtype(("<u8", (4,)))):
        for use in (
            lambda w: nb.Ring(w, 8),
            lambda w: nb.Ring.attach(path, "pop", w),
            lambda w: nb.Ring.create(path, w, 8),
        ):
            with pytest.raises(TypeError, match="without Python objects"):
                use(wrong)


def test_a_second_thread_on_an_end_is_refused() -> None:
    ring = nb.Ring(np.uint64, 8)
    with ring._push_turn:
        ring.pop(1)
        for use in (lambda: ring.push(np.zeros(1, np.uint64)), ring.close):
            with pytest.raises(nb.errors.BusyError, match="push end is in use"):
                use()


def test_a_forked_child_is_refused() -> None:
    ring = nb.Ring(np.uint64, 8)
    child = os.fork()
    if child == 0:
        try:
            ring.pop(1)
        except nb.errors.BusyError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_file_with_room_behind_it_is_mapped_only_as_far_as_the_ring_goes(path: Path) -> None:
    nb.Ring.create(path, np.uint64, 8)
    os.truncate(path, 64 << 20)
    nb.Ring.attach(path, "both", np.uint64).close()
    assert path.stat().st_blocks < 1000
    assert sorted(path.parent.iterdir()) == [path]


def test_errors_are_told_as_the_system_tells_them(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        nb.Ring.attach(os.fsencode(path) + b"\xff", "pop", np.uint64)
    assert caught.value.errno == errno.ENOENT
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.errno) == (type(caught.value), str(caught.value), errno.ENOENT)
    with pytest.raises(ValueError, match="zero byte"):
        nb.Ring.create("a\0b", np.uint64, 8)
