"""The tape of the core against the naive one: what was recorded comes back, in its order, and what was not is told."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import numi_bypass as nb
from numi_bypass import tape as core
from numi_bypass.clock import DOMAINS, SOURCES
from numi_sim.model import tape as model

SMALL = {"ring_size": 1 << 10, "block_size": 256, "segment_size": 2048, "pages": "4k"}
"""Sizes at which a few records fill a ring, a block and a segment."""

NS = st.integers(-(2**63), 2**63 - 1)
U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
ROWS = st.dictionaries(st.text("abcdefgh_é", min_size=1, max_size=11), U64, max_size=4)


@st.composite
def frames(draw: st.DrawFn, size_max: int = 100) -> model.Frame:
    return model.Frame(
        line=draw(st.integers(0, 255)),
        port=draw(U16),
        rx_ns=draw(NS),
        error_ns=draw(U32),
        source=draw(st.sampled_from(sorted(SOURCES.values()))),
        domain=draw(st.sampled_from(sorted(DOMAINS.values()))),
        taken_ns=draw(NS),
        wire_size=draw(U32),
        flags=draw(st.integers(0, 255)),
        headers=draw(st.binary(max_size=size_max // 2)),
        payload=draw(st.binary(max_size=size_max)),
    )


STEPS = st.builds(model.Step, NS, U32, U32)
COUNTERS = st.builds(
    lambda port, now_ns, rows: model.Counters(port, now_ns, tuple((k.encode(), v) for k, v in rows.items())),
    U16,
    NS,
    ROWS,
)
RECORDS = st.lists(st.one_of(frames(), STEPS, COUNTERS), max_size=30)

DOMAIN_NAMES = {number: name for name, number in DOMAINS.items()}
SOURCE_NAMES = {number: name for name, number in SOURCES.items()}


def record(tape: nb.Tape, one: model.Record) -> bool:
    """Hands one record to the core's recorder."""
    match one:
        case model.Frame():
            rx = nb.Stamp(one.rx_ns, DOMAIN_NAMES[one.domain], SOURCE_NAMES[one.source], one.error_ns)
            return tape.frame(
                one.payload,
                rx=rx,
                taken_ns=one.taken_ns,
                line=one.line,
                port=one.port,
                headers=one.headers,
                wire_size=one.wire_size,
                flags=one.flags,
            )
        case model.Step(now_ns, budget, returned):
            return tape.step(now_ns, budget=budget, count=returned)
        case model.Counters(port, now_ns, rows):
            return tape.counters(port, now_ns, {name.decode(): value for name, value in rows})
    raise AssertionError(one)


def as_model(one: core.Record) -> model.Record:
    """The same record in the model's words."""
    match one:
        case core.Begin():
            return model.Begin(one.identity, one.segment, int(one.from_open), one.config)
        case core.Frame():
            rx = one.rx
            clock = (rx.ns, rx.error_ns, SOURCES[rx.source], DOMAINS[rx.domain])
            return model.Frame(
                one.line, one.port, *clock, one.taken_ns, one.wire_size, one.flags, one.headers, one.payload
            )
        case core.Step():
            return model.Step(one.now_ns, one.budget, one.count)
        case core.Counters():
            return model.Counters(one.port, one.now_ns, tuple((name.encode(), v) for name, v in one.rows.items()))
        case core.Clocks():
            fits = tuple((DOMAINS[name], 0, *vars(fit).values()) for name, fit in one.fits.items())
            return model.Clock(fits)
        case core.Lost():
            return model.Lost(one.frames, one.frame_bytes, one.steps, one.others)
        case core.Missing():
            return model.Missing(one.records)
        case core.End():
            return model.End()


def read_by_core(path: str | Path) -> tuple[list[model.Record], core.TapeInfo | None, str | None]:
    """The records, what is said of them, and what reading failed with."""
    records: list[model.Record] = []
    try:
        reader = nb.read_tape(path)
    except nb.errors.NumiError as error:
        return records, None, str(error)
    try:
        records += map(as_model, reader)
    except nb.errors.NumiError as error:
        detail = str(error)
        with pytest.raises(type(error), match="offset") as again:
            next(reader)
        assert str(again.value) == detail
        return records, reader.info(), detail
    return records, reader.info(), None


def files_of(folder: str | Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in sorted(Path(folder).glob("*.tape"))}


def read_by_model(folder: str | Path) -> model.Read:
    files = files_of(folder)
    return model.read(list(files.values()), list(files))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tape"


def without_frame(records: Sequence[model.Record]) -> list[model.Record]:
    """Without what the tape says of itself."""
    return [one for one in records if not isinstance(one, model.Begin | model.End | model.Clock)]


def loss_of(records: Sequence[model.Record]) -> model.Lost:
    lost_frames = [one for one in records if isinstance(one, model.Frame)]
    steps = sum(isinstance(one, model.Step) for one in records)
    size = sum(len(one.headers) + len(one.payload) for one in lost_frames)
    return model.Lost(len(lost_frames), size, steps, len(records) - len(lost_frames) - steps)


class Drops:
    """What a tape should hold: each record, or in its place one that says how many are missing there."""

    def __init__(self) -> None:
        self.expected: list[model.Record] = []
        self._dropped: list[model.Record] = []

    def add(self, one: model.Record, was_kept: bool) -> None:
        if not was_kept:
            self._dropped.append(one)
            return
        self.settle()
        self.expected.append(one)

    def settle(self) -> None:
        if self._dropped:
            self.expected.append(loss_of(self._dropped))
        self._dropped = []


@given(RECORDS, st.sampled_from([256, 512, 1024, 4096]), st.sampled_from([64, 200, 1000]), st.data())
def test_what_was_recorded_comes_back_in_its_order(
    records: list[model.Record], ring_size: int, block_size: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        drops, config = Drops(), {"lines": ["a", "b"]}
        sizes = {"ring_size": ring_size, "block_size": block_size, "segment_size": 5000, "flush_ns": 0, "pages": "4k"}
        tape = nb.Tape(folder, config=config, identity=7, **sizes)
        for now, one in enumerate(records):
            drops.add(one, record(tape, one))
            if data.draw(st.integers(0, 3)) == 0:
                tape.write(now)
        tape.close()
        drops.settle()
        got, info, error = read_by_core(folder)
        assert error is None
        assert without_frame(got) == drops.expected
        assert got[0] == model.Begin(7, 0, 1, json.dumps(config).encode())
        assert got[-1] == model.End()
        assert info is not None
        assert (info.from_open, info.closed, info.torn) == (True, True, None)
        assert read_by_model(folder).records == got


class TapeMachine(RuleBasedStateMachine):
    """A tape in a small ring and small segments, recorded and written in any order, against the list of its records."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.tape = nb.Tape(self.folder, identity=1, flush_ns=10, **SMALL)  # type: ignore[arg-type]
        self.drops = Drops()
        self.now = 0

    @rule(one=st.one_of(frames(300), STEPS, COUNTERS))
    def record(self, one: model.Record) -> None:
        self.drops.add(one, record(self.tape, one))

    @rule(count=st.integers(1, 30))
    def record_many(self, count: int) -> None:
        for number in range(count):
            one = model.Step(number, count, 0)
            self.drops.add(one, record(self.tape, one))

    @rule(later=st.integers(0, 10), budget=st.integers(0, 3))
    def write(self, later: int, budget: int) -> None:
        self.now += later
        assert self.tape.write(self.now, budget) <= budget

    @rule()
    def flush(self) -> None:
        self.tape.flush()
        assert self.on_disk()[-1:] == without_frame(self.drops.expected)[-1:]

    def on_disk(self) -> list[model.Record]:
        read = read_by_model(self.folder)
        assert (read.error, read.torn) == (None, None)
        return without_frame(read.records)

    @invariant()
    def what_is_there_is_the_beginning_of_what_should_be(self) -> None:
        there = self.on_disk()
        assert there == self.drops.expected[: len(there)]
        written = self.tape.written()
        assert written.records == len(there)
        assert written.kept_bytes == written.file_bytes == sum(map(len, files_of(self.folder).values()))

    def teardown(self) -> None:
        recorded = self.tape.recorded()
        self.tape.close()
        self.drops.settle()
        got, info, error = read_by_core(self.folder)
        assert (error, without_frame(got)) == (None, self.drops.expected)
        assert info is not None
        assert (info.lost, info.frames, info.steps) == (recorded.lost, recorded.frames, recorded.steps)
        assert all(len(data) <= SMALL["segment_size"] for data in files_of(self.folder).values())  # type: ignore[operator]
        shutil.rmtree(self.folder)


TestTapeMachine = TapeMachine.TestCase
TestTapeMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# --- files as they should not be


BLOCKS = st.lists(st.lists(st.one_of(frames(30), STEPS, COUNTERS), min_size=1, max_size=4), max_size=3)


@st.composite
def tapes(draw: st.DrawFn) -> list[bytes]:
    segments = []
    for number in range(draw(st.integers(1, 3))):
        begin: list[model.Record] = [model.Begin(5, number, int(number == 0), b"{}")]
        if draw(st.booleans()):
            begin.append(model.Clock(((1, 0, 10, 20, 1 << 32, 10, 5, 1, -3, 8, 0, 7),)))
        segments.append([begin, *draw(BLOCKS)])
    return model.write(segments)


def put(files: Sequence[bytes], folder: str) -> None:
    for number, data in enumerate(files):
        (Path(folder) / f"{number:010}.tape").write_bytes(data)


def compare(files: Sequence[bytes]) -> None:
    """The core and the model read the same out of files, good or bad."""
    with tempfile.TemporaryDirectory() as folder:
        put(files, folder)
        expected = model.read(files, range(len(files)))
        got, info, error = read_by_core(folder)
        if info is None:
            assert expected.error is not None
            assert expected.records == []
            assert error is not None
            assert f"(offset {expected.error.offset})" in error
            return
        assert got == expected.records
        assert (info.torn and (info.torn.offset, info.torn.size)) == expected.torn
        assert (error is None) == (expected.error is None)
        if error is not None and expected.error is not None:
            assert f"{expected.error.file:010}.tape" in error
            assert f"(offset {expected.error.offset})" in error


@given(tapes())
def test_the_models_files_are_read(files: list[bytes]) -> None:
    compare(files)


@given(tapes(), st.data())
def test_a_flipped_bit_is_told_with_its_place(files: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(files) - 1))
    bent = bytearray(files[number])
    bent[data.draw(st.integers(0, len(bent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    files[number] = bytes(bent)
    assert model.read(files, range(len(files))).error is not None
    compare(files)


@given(tapes(), st.data())
def test_bytes_laid_over_cut_out_and_appended(files: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(files) - 1))
    whole = files[number]
    at = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(at, min(len(whole), at + 50)))
    files[number] = whole[:at] + data.draw(st.one_of(st.binary(max_size=50), st.just(bytes(60)))) + whole[end:]
    compare(files)


@settings(max_examples=10)
@given(tapes())
def test_contents_that_contradict_themselves_under_right_checksums(files: list[bytes]) -> None:
    begin, other = model.Begin(5, 0, 1, b""), model.Begin(6, 1, 0, b"")
    step = model.Step(1, 2, 3)
    for segments in (
        [[[begin], [begin]]],
        [[[step]]],
        [[[begin]], [[other]]],
        [[[begin]], [[model.Begin(5, 2, 0, b"")]]],
        [[[begin], [model.Clock(((9, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),))]]],
        [[[begin], [model.Clock(((1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1),))]]],
        [[[begin], [model.Counters(0, 0, ((b"x" * 24, 1),))]]],
    ):
        bad = model.write(segments)
        assert model.read(bad, range(len(bad))).error is not None
        compare(bad)
        compare(files[:1] + bad[1:])


def test_cut_at_every_byte_of_the_last_block() -> None:
    frame = model.Frame(1, 2, 3, 4, 2, 1, 7, 80, 0, b"head", b"payload")
    [whole] = model.write([[[model.Begin(1, 0, 1, b"{}")], [model.Step(1, 2, 3)], [frame, model.Step(2, 0, 0)]]])
    last = len(whole) - len(model.block(2, 1, [frame, model.Step(2, 0, 0)]))
    for end in range(len(whole) + 1):
        compare([whole[:end]])
        read = model.read([whole[:end]])
        if end >= last:
            assert read.records[:2] == [model.Begin(1, 0, 1, b"{}"), model.Step(1, 2, 3)]
            assert read.torn == ((last, end - last) if last < end < len(whole) else None)


def test_a_torn_block_before_a_later_segment_is_an_error() -> None:
    begins = [[[model.Begin(1, number, 0, b"")], [model.Step(number, 0, 0)]] for number in range(2)]
    files = model.write(begins)
    for end in range(1, len(files[0])):
        compare([files[0][:end], files[1]])
    for end in range(len(files[1])):
        compare([files[0], files[1][:end]])


def test_zeros_at_the_end_are_what_a_power_failure_leaves() -> None:
    [whole] = model.write([[[model.Begin(1, 0, 1, b"{}")], [model.Step(1, 2, 3)]]])
    for zeros in (1, 39, 40, 41, 5000):
        compare([whole + bytes(zeros)])
        assert model.read([whole + bytes(zeros)]).torn == (len(whole), zeros)
    compare([whole + bytes(50) + b"x"])


def test_another_version_says_so(tmp_path: Path) -> None:
    [whole] = model.write([[[model.Begin(1, 0, 1, b"{}")]]])
    path = tmp_path / "0000000000.tape"
    path.write_bytes(whole[:4] + b"\x02" + whole[5:])
    with pytest.raises(nb.errors.VersionError, match="version 2: read is 1"):
        nb.read_tape(path)


def test_what_is_no_tape_is_refused(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty", tmp_path / "other.tape"
    empty.mkdir()
    other.write_text("something else entirely, and long enough to be a block")
    with pytest.raises(nb.errors.NotFoundError, match="without a segment"):
        nb.read_tape(empty)
    with pytest.raises(nb.errors.NotFoundError):
        nb.read_tape(tmp_path / "nothing")
    with pytest.raises(nb.errors.CorruptError, match=r"no tape \(offset 0\)"):
        nb.read_tape(other)


# --- a tape's life


def steps_of(records: Sequence[model.Record]) -> list[int]:
    return [one.now_ns for one in records if isinstance(one, model.Step)]


def test_a_single_segment_is_read_alone(folder: Path) -> None:
    with nb.Tape(folder, config="c", **SMALL) as tape:  # type: ignore[arg-type]
        for now in range(300):
            tape.step(now)
            tape.flush()
    paths = sorted(folder.iterdir())
    assert len(paths) > 5
    alone = [read_by_core(path) for path in paths]
    assert [now for records, _, _ in alone for now in steps_of(records)] == list(range(300))
    assert [info.from_open for _, info, _ in alone if info] == [True] + [False] * (len(paths) - 1)
    assert all(isinstance(records[0], model.Begin) and records[0].config == b'"c"' for records, _, _ in alone)


def test_segments_in_the_middle_begin_with_the_clock_as_it_was_last(folder: Path) -> None:
    clock = nb.Clock(1000)
    with nb.Tape(folder, clock=clock, **SMALL) as tape:  # type: ignore[arg-type]
        for now in range(100):
            tape.step(now)
            tape.flush()
        clock.sample()
        assert tape.clock(clock)
        for now in range(100):
            tape.step(now)
            tape.flush()
    records = list(nb.read_tape(folder))
    behind = [records[at + 1] for at, one in enumerate(records) if isinstance(one, core.Begin)]
    assert isinstance(behind[0], core.Clocks)
    assert set(behind[0].fits) == {"mono", "mono_raw", "utc", "tai"}
    last = behind[-1]
    assert isinstance(last, core.Clocks)
    assert last.fits["utc"].base_ns == read_fit(clock)
    assert read_by_model(folder).records == list(map(as_model, records))


def read_fit(clock: nb.Clock) -> int:
    return int(clock._fit("utc").base_ns)


def test_files_in_gzip_and_cut_in_gzip(folder: Path) -> None:
    import gzip

    with nb.Tape(folder) as tape:
        for now in range(50):
            tape.step(now)
    [path] = folder.iterdir()
    packed = gzip.compress(path.read_bytes(), mtime=0)
    path.write_bytes(packed)
    assert steps_of(read_by_core(folder)[0]) == list(range(50))
    path.write_bytes(packed[:-20])
    _, info, error = read_by_core(folder)
    assert error is None
    assert info is not None
    assert info.torn is not None


def test_a_record_too_large_for_the_ring_is_dropped_and_told(folder: Path) -> None:
    rx = nb.Stamp(0, "virtual")
    with nb.Tape(folder, **SMALL) as tape:  # type: ignore[arg-type]
        assert not tape.frame(bytes(600), rx=rx, taken_ns=0)
        assert tape.step(1)
    assert without_frame(read_by_core(folder)[0]) == [model.Lost(1, 600, 0, 0), model.Step(1, 0, 0)]


def test_losses_at_the_end_are_told_too(folder: Path) -> None:
    tape = nb.Tape(folder, **SMALL)  # type: ignore[arg-type]
    while tape.step(1):
        pass
    tape.close()
    assert read_by_core(folder)[0][-2:] == [model.Lost(0, 0, 1, 0), model.End()]
    info = nb.tape_info(folder)
    assert (info.replayable, info.losses, info.lost.records) == (False, 1, 1)


def test_a_block_waits_until_it_is_full_or_old(folder: Path) -> None:
    with nb.Tape(folder, flush_ns=100, block_size=240) as tape:
        tape.step(1)
        assert [tape.write(0), tape.write(99), tape.write(100)] == [0, 0, 1]
        for now in range(11):
            tape.step(now)
        assert [tape.write(100, 0), tape.write(100), tape.write(199), tape.write(200)] == [0, 1, 0, 1]


def test_a_folder_that_holds_a_tape_is_left_alone(folder: Path) -> None:
    nb.Tape(folder).close()
    before = files_of(folder)
    with pytest.raises(nb.errors.ExistsError, match="choose another folder"):
        nb.Tape(folder)
    assert files_of(folder) == before


def test_wrong_sizes_name_the_value_and_what_is_allowed(folder: Path) -> None:
    for wrong in (
        {"ring_size": 1000},
        {"ring_size": 128},
        {"block_size": 63},
        {"block_size": 1 << 21},
        {"segment_size": 1 << 18},
        {"keep_size": 1 << 26},
        {"config": "x" * (1 << 17)},
    ):
        with pytest.raises(nb.errors.ArgumentError, match=r"allowed|at least|at most"):
            nb.Tape(folder, **wrong)  # type: ignore[arg-type]
    assert not folder.exists()
    with pytest.raises(nb.errors.NotFoundError):
        nb.Tape(folder / "deeper")
    with nb.Tape(folder) as tape, pytest.raises(ValueError, match="at most 23 bytes"):
        tape.counters(0, 0, {"x" * 24: 1})
    with pytest.raises(ValueError, match="closed"):
        tape.step(0)


def recording(tape: nb.Tape, count: int) -> Iterator[bool]:
    rx = nb.Stamp(1, "virtual")
    for number in range(count):
        yield tape.frame(number.to_bytes(8, "little"), rx=rx, taken_ns=number)


def test_one_thread_records_and_another_writes(folder: Path) -> None:
    tape = nb.Tape(folder, ring_size=1 << 14, block_size=1000, flush_ns=0)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            tape.write(0)

    writer = threading.Thread(target=write)
    writer.start()
    kept = sum(recording(tape, 20_000))
    done.set()
    writer.join()
    tape.close()
    info = nb.tape_info(folder)
    assert (info.frames, info.frames + info.lost.frames, info.error) == (kept, 20_000, None)
    last = -1
    for one in nb.read_tape(folder):
        if isinstance(one, core.Lost):
            last += one.frames
        elif isinstance(one, core.Frame):
            last += 1
            assert int.from_bytes(one.payload, "little") == last


KILLED = """
import os, sys, numi_bypass as nb
tape = nb.Tape(sys.argv[1], ring_size=1 << 16, block_size=1000, segment_size=70_000, flush_ns=0)
rx, now = nb.Stamp(1, "virtual"), 0
while True:
    tape.frame(now.to_bytes(8, "little") * 20, rx=rx, taken_ns=now)
    tape.step(now, count=1)
    tape.write(now)
    now += 1
    if now == 500:
        print("going", flush=True)
"""


def test_a_killed_recorder_leaves_a_tape_up_to_its_last_write(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        beside = read_by_core(folder)  # a reader beside the living writer
        process.kill()
    assert beside[2] is None
    assert steps_of(beside[0])[:499] == list(range(499))
    got, info, error = read_by_core(folder)
    assert error is None
    assert info is not None
    assert (info.from_open, info.closed, info.lost.records) == (True, False, 0)
    steps = steps_of(got)
    assert steps == list(range(len(steps)))
    assert len(steps) >= 500
    assert got == read_by_model(folder).records


FULL_DISK = """
import resource, sys, numi_bypass as nb
tape = nb.Tape(sys.argv[1], ring_size=1 << 12, block_size=512, flush_ns=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
now, failed = 0, 0
for now in range(1000):
    tape.step(now)
    try:
        tape.write(now)
    except OSError as error:
        failed += 1
        assert "write at offset" in str(error), error
lost = tape.recorded().lost
assert failed > 500 and tape.written().failures == failed and lost.steps > 500
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if sys.argv[2] == "freed":
    tape.close()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        tape.close()
    except OSError:
        pass
    else:
        raise AssertionError("closed without an error")
print(lost.steps)
"""


@pytest.mark.parametrize("end", ["freed", "full"])
def test_a_full_disk_loses_only_what_the_ring_cannot_hold_and_says_so(folder: Path, end: str) -> None:
    result = subprocess.run([sys.executable, "-c", FULL_DISK, folder, end], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lost = int(result.stdout)
    got, info, error = read_by_core(folder)
    assert error is None
    assert info is not None
    if end == "freed":
        assert steps_of(got) == list(range(1000 - lost))
        assert without_frame(got)[-1] == model.Lost(0, 0, lost, 0)
        assert (info.closed, info.torn) == (True, None)
    else:
        steps = steps_of(got)
        assert steps == list(range(len(steps)))
        assert (info.closed, info.torn is not None) == (False, True)


# --- bounds


def test_a_tape_bounded_by_size_never_takes_more(folder: Path) -> None:
    tape = nb.Tape(folder, keep_size=8192, **SMALL)  # type: ignore[arg-type]
    for now in range(2000):
        tape.step(now)
        tape.flush()
        kept = sum(map(len, files_of(folder).values()))
        assert kept <= 8192
        assert kept == tape.written().kept_bytes
    assert tape.written().thrown_away > 10
    tape.close()
    got, info, error = read_by_core(folder)
    assert error is None
    assert info is not None
    assert (info.from_open, info.replayable, info.closed) == (False, False, True)
    steps = steps_of(got)
    assert steps == list(range(2000 - len(steps), 2000))
    assert len(steps) * (24 + 40) > 4096


def test_a_tape_bounded_by_time_keeps_at_least_that_and_little_more(folder: Path) -> None:
    with nb.Tape(folder, keep_ns=800, flush_ns=0, ring_size=1 << 14, block_size=64) as tape:
        for now in range(0, 10_000, 10):
            tape.step(now)
            tape.write(now)
            if now % 500 == 0 and now > 2000:
                steps = steps_of(read_by_core(folder)[0])
                assert steps == list(range(steps[0], now + 1, 10))
                assert 800 <= now - steps[0] <= 800 + 3 * 110


def test_a_reader_that_is_overtaken_says_what_is_missing(folder: Path) -> None:
    tape = nb.Tape(folder, keep_size=8192, **SMALL)  # type: ignore[arg-type]
    for now in range(100):
        tape.step(now)
        tape.flush()
    reader = nb.read_tape(folder)
    got = [as_model(next(reader)) for _ in range(5)]
    for now in range(100, 1000):
        tape.step(now)
        tape.flush()
    tape.close()
    got += map(as_model, reader)
    missing = sum(one.records for one in got if isinstance(one, model.Missing))
    steps = steps_of(got)
    assert missing > 500
    gap = next(at for at in range(len(steps)) if steps[at] != at)
    assert steps[gap:] == list(range(gap + missing, missing + len(steps)))
    assert len(steps) > gap
    assert reader.info().missing == missing


def test_a_reader_beside_reads_to_the_end_of_what_was_the_last_segment(folder: Path) -> None:
    tape = nb.Tape(folder, **SMALL)  # type: ignore[arg-type]
    tape.step(0)
    tape.flush()
    reader = nb.read_tape(folder)
    got = [next(reader), next(reader)]
    for now in range(1, 200):
        tape.step(now)
        tape.flush()
    tape.close()
    got += reader
    [first, *_] = files_of(folder).values()
    assert list(map(as_model, got)) == model.read([first]).records


def test_a_forked_child_does_not_write_its_parents_tape(folder: Path) -> None:
    tape = nb.Tape(folder, **SMALL)  # type: ignore[arg-type]
    tape.step(1)
    child = os.fork()
    if child == 0:
        try:
            tape.step(2)
        except nb.errors.BusyError:
            del tape
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    tape.close()
    assert steps_of(read_by_core(folder)[0]) == [1]
