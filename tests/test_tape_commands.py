"""`numi-bypass tape`, and a tape's frames as a capture."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import numi_bypass as nb
from numi_sim.model import capture, packet

COMMAND = [sys.executable, "-m", "numi_bypass", "tape"]
HEADERS = packet.Headers("10.1.2.3", "239.192.1.1", 26400, 26401)


def numi(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)


def own_headers(payload: bytes) -> bytes:
    whole = packet.build(HEADERS, payload)
    return whole[: len(whole) - len(payload)]


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path, clock = tmp_path / "tape", nb.Clock(1000)
    with nb.Tape(path, config={"lines": 2}, clock=clock, identity=9) as recorder:
        for number in range(6):
            utc = nb.Stamp(1_700_000_000_000_000_000 + number, "utc", "software")
            payload = b"payload %d, long enough to need no padding" % number
            headers = own_headers(payload) if number % 2 == 0 else b""
            recorder.frame(payload, rx=utc, taken_ns=10 * number, line=number % 2, headers=headers)
            recorder.step(10 * number, count=1)
        recorder.counters(0, 60, {"received": 6})
    return path


def test_info_tells_what_is_there(tape: Path) -> None:
    result = numi("info", tape)
    assert (result.returncode, result.stderr) == (0, "")
    assert "records=14 frames=6 " in result.stdout
    assert "line=1 frames=3" in result.stdout
    assert "first_ns=0 last_ns=60 span_s=0.000000060" in result.stdout
    assert "from_open=true replayable=true" in result.stdout
    assert "closed=true torn=false" in result.stdout
    assert 'config={"lines": 2}' in result.stdout
    document = json.loads(numi("info", tape, "--json").stdout)
    told = {name: document[name] for name in ("identity", "lines", "config", "span_ns", "replayable", "torn", "clocks")}
    assert told == {
        "identity": 9,
        "lines": {"0": 3, "1": 3},
        "config": {"lines": 2},
        "span_ns": 60,
        "replayable": True,
        "torn": None,
        "clocks": 1,
    }


def test_info_of_a_cut_and_of_a_damaged_segment(tape: Path) -> None:
    [segment] = tape.iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-3])
    result = numi("info", segment)
    assert result.returncode == 0
    assert "closed=false torn=" in result.stdout
    segment.write_bytes(whole[:-3] + b"xyz")
    result = numi("info", segment)
    assert result.returncode == 1
    assert "records=13 " in result.stdout
    assert result.stderr.count("\n") == 1
    assert "0000000000.tape: " in result.stderr
    assert "(offset " in result.stderr
    document = json.loads(numi("info", segment, "--json").stdout)
    assert (document["status"], document["error"] in result.stderr) == ("error", True)


def test_export_keeps_headers_and_makes_up_those_that_lack(tape: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    result = numi("export", tape, "--out", out)
    assert (result.returncode, result.stdout) == (0, "frames=6 made_up=3 cut=0 unconverted=0 interfaces=2\n")
    got = capture.read(out.read_bytes())
    assert [interface.name for interface in got.interfaces] == [b"line 0", b"line 1"]
    assert {interface.tsresol for interface in got.interfaces} == {9}
    assert [record.ts_ns for record in got.records] == [1_700_000_000_000_000_000 + number for number in range(6)]
    assert [record.interface for record in got.records] == [0, 1] * 3
    for number, record in enumerate(got.records):
        headers, payload = packet.parse(record.data)
        assert payload == b"payload %d, long enough to need no padding" % number
        assert headers.destination == ("239.192.1.1" if number % 2 == 0 else "239.255.0.1")
    assert json.loads(numi("export", tape, "--out", out, "--json").stdout)["frames"] == 6


def test_times_of_another_clock_become_utc_where_the_tape_joins_them(tmp_path: Path) -> None:
    clock = nb.Clock(1000)
    stamps = [clock.stamp(domain) for domain in ("mono", "tai", "tsc", "utc")]
    with nb.Tape(tmp_path / "joined", clock=clock) as recorder:
        for stamp in stamps:
            recorder.frame(b"x", rx=stamp, taken_ns=0)
    assert nb.export_tape(tmp_path / "joined", tmp_path / "joined.pcapng").unconverted == 0
    times = [record.ts_ns for record in capture.read((tmp_path / "joined.pcapng").read_bytes()).records]
    assert times == [clock.convert(stamp, "utc").ns for stamp in stamps]


def test_times_that_nothing_joins_with_utc_stand_as_they_are_and_that_is_said(tmp_path: Path) -> None:
    with nb.Tape(tmp_path / "apart") as recorder:
        for ns in (5, -7):
            recorder.frame(bytes(65535), rx=nb.Stamp(ns, "virtual"), taken_ns=0)
    exported = nb.export_tape(tmp_path / "apart", tmp_path / "apart.pcapng")
    assert (exported.frames, exported.cut, exported.unconverted) == (2, 2, 2)
    got = capture.read((tmp_path / "apart.pcapng").read_bytes())
    assert [record.ts_ns for record in got.records] == [5, 0]
    assert got.comments == [b"no clock on the tape joins virtual and utc: times as they stand"]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ([], 2, "ACTION"),
        (["export", "x"], 2, "--out"),
        (["info", "nothing-here"], 1, "nothing-here"),
        (["info", "."], 1, "without a segment"),
    ],
)
def test_wrong_usage_and_missing_files_are_one_line(words: list[str], code: int, named: str, tmp_path: Path) -> None:
    result = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr


def test_a_capture_that_cannot_be_written_says_so(tape: Path, tmp_path: Path) -> None:
    result = numi("export", tape, "--out", tmp_path / "no" / "such.pcapng")
    assert result.returncode == 1
    assert "such.pcapng" in result.stderr


def test_the_programs_of_the_documentation_run(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "tape.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    words = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 {0: 1} True True None" in result.stdout


def test_the_bench_reads_back_what_it_recorded(tmp_path: Path) -> None:
    words = [*COMMAND[:-1], "bench", "tape", "--frames", "5000", "--out", str(tmp_path), "--json"]
    document = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert document["status"] == "ok"
    assert len(document["rows"]) == 4
