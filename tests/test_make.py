"""The generator, judged by the models: every field of every message, and what two lines with faults still carry."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import numi_bypass as nb
from numi_bypass import make
from numi_sim.model import capture, itch, mold, packet

HOUR_NS = 3_600_000_000_000
COMMAND = [sys.executable, "-m", "numi_bypass", "make", "itch"]


def messages_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    file = capture.read_itch(capture.gunzip(data)[0] if path.suffix == ".gz" else data)
    assert file.truncated_at is None
    return file.messages


def test_a_day_by_the_model(tmp_path: Path) -> None:
    made = nb.make_itch(tmp_path / "day.itch", messages=20_000, symbols=50, seed=3)
    messages = [itch.decode(data) for data in messages_of(tmp_path / "day.itch")]
    counted = Counter(message["message_type"] for message in messages)
    assert len(messages) == made.messages == 20_000
    assert set(counted) == set(itch.LAYOUTS)
    assert {kind.decode(): count for kind, count in counted.items()} == made.by_type
    times = [message["timestamp"] for message in messages]
    assert times == sorted(times)  # type: ignore[type-var]
    assert 3 * HOUR_NS <= times[0] <= times[-1] <= 20 * HOUR_NS  # type: ignore[operator]
    events = [message["event_code"] for message in messages if message["message_type"] == b"S"]
    assert b"".join(events) == b"OSQMEC"  # type: ignore[arg-type]
    assert made.files == {str(tmp_path / "day.itch"): made.itch_bytes}
    assert 0 < made.live <= made.live_peak


def test_every_order_message_is_of_its_symbol(tmp_path: Path) -> None:
    nb.make_itch(tmp_path / "day.itch", messages=5_000, symbols=30, seed=4)
    names: dict[object, object] = {}
    locate_of: dict[object, object] = {}
    for message in map(itch.decode, messages_of(tmp_path / "day.itch")):
        locate = message["stock_locate"]
        if message["message_type"] == b"R":
            names[locate] = message["stock"]
        elif "stock" in message:
            assert names[locate] == message["stock"]
        if message["message_type"] in (b"A", b"F"):
            locate_of[message["order_reference_number"]] = locate
        elif message["message_type"] == b"U":
            locate_of[message["new_order_reference_number"]] = locate_of[message["original_order_reference_number"]]
        elif message["message_type"] in (b"E", b"C", b"X", b"D"):
            assert locate_of[message["order_reference_number"]] == locate
    assert len(set(names.values())) == 30


def test_compressed_days_are_the_same(tmp_path: Path) -> None:
    for name in ("day.itch", "day.itch.gz"):
        nb.make_itch(tmp_path / name, messages=2_000, symbols=5, seed=1)
    assert messages_of(tmp_path / "day.itch.gz") == messages_of(tmp_path / "day.itch")
    nb.make_itch(tmp_path / "day.itch.zst", messages=2_000, symbols=5, seed=1)
    assert (tmp_path / "day.itch.zst").read_bytes()[:4] == bytes.fromhex("28b52ffd")


Lines = dict[str, list[tuple[int, mold.Packet]]]
GROUPS = {"239.192.1.1": "A", "239.192.2.1": "B"}


def lines_of(*paths: Path) -> Lines:
    """Time and packet, of each line in the file's order."""
    lines: Lines = {"A": [], "B": []}
    for path in paths:
        content = capture.read(path.read_bytes())
        assert content.truncated_at is None
        last = 0
        for record in content.records:
            headers, payload = packet.parse(record.data, record.link)
            assert packet.udp_checksum_ok(headers, payload)
            assert headers.destination_port == 26400
            assert record.ts_ns is not None
            assert record.ts_ns >= last
            last = record.ts_ns
            lines[GROUPS[headers.destination]].append((last, mold.decode(payload)))
    return lines


def merged(lines: Lines) -> list[bytes]:
    """The messages of both lines by their numbers; every copy is the same."""
    found: dict[int, bytes] = {}
    for _, (session, sequence, _, messages) in lines["A"] + lines["B"]:
        assert session == b"NUMI000001"
        for number, message in enumerate(messages, sequence):
            assert found.setdefault(number, message) == message
    assert sorted(found) == list(range(1, len(found) + 1))
    return [found[number] for number in sorted(found)]


FAULTS = nb.LineFaults(
    loss=(0.05, 0.2),
    duplicates=0.05,
    reorder=0.1,
    cuts=[nb.Cut("A", 36_000_000, 600_000), nb.Cut("B", 39_000_000, 600_000)],
    skew_ns=40_000,
)


@pytest.mark.parametrize("name", ["day.pcap", "day.pcapng", "day.pcap.gz"])
@pytest.mark.parametrize("faults", [None, FAULTS])
def test_two_lines_carry_the_day(tmp_path: Path, name: str, faults: nb.LineFaults | None) -> None:
    nb.make_itch(tmp_path / "day.itch", messages=6_000, symbols=20, seed=9)
    packing = nb.Packing(messages=(0, 3), heartbeat_ms=60_000)
    made = nb.make_itch(tmp_path / name, messages=6_000, symbols=20, seed=9, faults=faults, packing=packing)
    lines = lines_of(*map(Path, made.files))
    assert merged(lines) == messages_of(tmp_path / "day.itch")
    for line, packets in lines.items():
        assert len(packets) == made.lines[line]["packets"]
        numbers = {number for _, (_, first, _, found) in packets for number in range(first, first + len(found))}
        assert 6_000 - len(numbers) == made.lines[line]["lost_messages"] + made.lines[line]["cut_messages"]
        assert (faults is None) == (len(numbers) == 6_000)
        counts = Counter(count for _, (_, _, count, _) in packets)
        assert counts[mold.HEARTBEAT] > 100
        assert counts[mold.END_OF_SESSION] >= 3
    assert max(len(messages) for _, (_, _, _, messages) in lines["B"]) <= 3


def test_names_of_files() -> None:
    assert make.file_names("./x.y/day.pcap.zst", "pcap") == ["./x.y/day-A.pcap.zst", "./x.y/day-B.pcap.zst"]
    assert make.file_names("day", "pcap") == ["day-A", "day-B"]
    assert make.file_names("day.pcapng", "pcapng") == ["day.pcapng"]
    assert [make.format_of(name) for name in ("a.pcap", "a.pcapng.gz", "a.itch", "a")] == [
        "pcap",
        "pcapng",
        "itch",
        "itch",
    ]


def test_stamps_are_of_the_day_in_new_york(tmp_path: Path) -> None:
    day = datetime(2024, 7, 1, tzinfo=UTC).date()
    made = nb.make_itch(tmp_path / "d.pcap", messages=1_000, symbols=5, packing=nb.Packing(day=day))
    first_ns, (_, sequence, _, messages) = lines_of(Path(next(iter(made.files))))["A"][0]
    assert sequence == 1
    wire_ns = itch.decode(messages[0])["timestamp"]
    midnight = datetime(2024, 7, 1, tzinfo=ZoneInfo("America/New_York"))
    assert isinstance(wire_ns, int)
    assert 20_000 <= first_ns - int(midnight.timestamp()) * 10**9 - wire_ns < 100_000
    content = capture.read(
        (nb.make_itch(tmp_path / "d.pcapng", messages=1_000, symbols=5), tmp_path / "d.pcapng")[1].read_bytes()
    )
    assert [interface.name for interface in content.interfaces] == [b"A", b"B"]


def test_a_cut_is_silence_and_nothing_else(tmp_path: Path) -> None:
    cut = nb.Cut("A", 36_000_000, 3_600_000)
    made = nb.make_itch(tmp_path / "d.pcapng", messages=4_000, symbols=5, faults=nb.LineFaults(cuts=[cut]))
    lines = lines_of(tmp_path / "d.pcapng")
    start = min(ns for ns, _ in lines["B"]) - 3 * HOUR_NS - 120 * 10**9  # the first message is at 03:02
    inside = {line: sum(36_000 <= (ns - start) / 1e9 < 39_600 for ns, _ in packets) for line, packets in lines.items()}
    assert inside["A"] == 0
    assert inside["B"] > 100
    assert made.lines["A"]["cut"] > 100
    assert made.lines["B"]["cut"] == 0


def test_a_failure_leaves_no_half_file_and_touches_no_other(tmp_path: Path) -> None:
    kept = tmp_path / "kept.pcapng"
    kept.write_bytes(b"mine")
    both = [nb.Cut("A", 0, 1_000), nb.Cut("B", 500, 1_000)]
    with pytest.raises(nb.errors.ArgumentError, match="both_loss"):
        nb.make_itch(kept, messages=1_000, symbols=2, faults=nb.LineFaults(cuts=both))
    with pytest.raises(nb.errors.ArgumentError, match="333"):
        nb.make_itch(kept, messages=1_000, symbols=2, live=334)
    assert kept.read_bytes() == b"mine"

    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    for name in ("half.itch", "half.pcap"):
        with pytest.raises(KeyboardInterrupt):
            nb.make_itch(tmp_path / name, messages=1_000, symbols=2, tell=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.pcapng"]
    with pytest.raises(nb.errors.NotFoundError):
        nb.make_itch(tmp_path / "no" / "folder.itch", messages=1_000, symbols=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"format": "csv"}, "csv"),
        ({"seed": -1}, "seed=-1"),
        ({"symbols": 2**32}, "symbols"),
        ({"faults": nb.LineFaults()}, "need packets"),
        ({"format": "pcap", "faults": nb.LineFaults(loss=1.5)}, "loss=1.5"),
        ({"format": "pcap", "faults": nb.LineFaults(cuts=[nb.Cut("C", 0, 1)])}, "'C'"),
        ({"format": "pcap", "faults": nb.LineFaults(cuts=[nb.Cut("A", 0, 1)] * 17)}, "17 cuts"),
        ({"format": "pcap", "faults": nb.LineFaults(cuts=[nb.Cut("A", -1, 1)])}, "from 0 on"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        nb.make_itch(tmp_path / "x", **{"messages": 1_000, "symbols": 2, **arguments})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def numi(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], capture_output=True, check=False)


def test_command_writes_and_says_what(tmp_path: Path) -> None:
    out = str(tmp_path / "day.pcap")
    words = ["--messages", "3_000", "--symbols", "10", "--seed", "2", "--loss", "0.1,0", "--cut", "A:36000000:1000"]
    result = numi(out, *words, "--skew-ns", "-5000", "--date", "2024-01-02", "--heartbeat-ms", "0", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["messages"] == sum(document["by_type"].values()) == 3000
    assert document["lines"]["A"]["lost"] > 0 == document["lines"]["B"]["lost"]
    assert document["lines"]["A"]["heartbeats"] == 0
    assert document["files"] == {name: Path(name).stat().st_size for name in make.file_names(out, "pcap")}
    assert result.stderr == b""


def test_command_prints_pairs_and_writes_to_stdout(tmp_path: Path) -> None:
    result = numi(str(tmp_path / "day.itch"), "--messages", "1000", "--symbols", "2")
    pairs = dict(pair.split(b"=", 1) for pair in result.stdout.split())
    assert pairs[b"messages"] == b"1000"
    assert pairs[b"S"] == b"6"
    assert int(pairs[b"bytes"]) == (tmp_path / "day.itch").stat().st_size
    assert result.stderr == b""
    streamed = numi("-", "--messages", "1000", "--symbols", "2")
    assert streamed.stdout == (tmp_path / "day.itch").read_bytes()
    assert b"messages=1000" in streamed.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--messages", "99"], b"--messages: '99'"),
        (["--loss", "2"], b"'2'"),
        (["--loss", "0.1"], b"need packets"),
        (["--cut", "C:1:1"], b"'C:1:1'"),
        (["--cut", "A:1"], b"LINE:FROM_MS:LENGTH_MS"),
        (["--packet-messages", "1,2,3"], b"'1,2,3'"),
        (["--live", "90000000"], b"90000000"),
        (["--date", "today"], b"YYYY-MM-DD"),
        (["--format", "pcap", "--cut", "A:1:9", "--cut", "B:5:9"], b"both_loss"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path: Path, words: list[str], named: bytes) -> None:
    result = numi(str(tmp_path / "x"), *words)
    assert result.returncode == 2
    assert result.stdout == b""
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr
    assert list(tmp_path.iterdir()) == []
