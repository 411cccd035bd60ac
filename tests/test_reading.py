"""Files of every form, read by the core, against the naive models: event by event, field by field."""

import gzip
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass import reading
from numi_bypass.layout import dtype_of
from numi_bypass.reading import midnight_ns
from numi_sim.model import capture, itch, mold, packet
from numi_sim.model import event as event_model
from tests import strategies_wire as wire

on_files = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
HEADERS = packet.Headers("10.0.0.1", "239.192.1.1", 26400, 26400)
NOON_NS = 1_700_000_000_000_000_000


def packets_of(messages: list[bytes], sizes: list[int]) -> list[bytes]:
    """The messages in Mold packets of these many messages each, the last ones in one packet."""
    payloads, at = [], 0
    for size in [*sizes, len(messages)]:
        chunk = messages[at : at + size]
        payloads.append(mold.encode(b"NUMI000001", 1 + at, chunk))
        at += len(chunk)
    return [packet.build(HEADERS, payload) for payload in payloads]


FORMS = st.sampled_from(["itch", "pcap", "pcapng"])


def timed(packets: list[bytes]) -> list[tuple[int, bytes]]:
    return [(NOON_NS + 1000 * index, data) for index, data in enumerate(packets)]


def as_pcapng(packets: list[bytes]) -> bytes:
    writer = capture.NgWriter("little")
    writer.section()
    writer.interface(capture.Interface(name=b"A"))
    for ns, data in timed(packets):
        writer.packet(0, ns, data)
    return bytes(writer.out)


def without_receive_time(events: np.ndarray) -> list[bytes]:
    bare = events.copy()
    bare["rx_ns"] = 0
    bare["flags"] &= 0xFF00
    return [event.tobytes() for event in bare]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic"


@on_files
@given(
    wire.streams(), st.lists(st.integers(0, 9), max_size=6), st.sampled_from(["itch", "pcap", "pcapng"]), st.booleans()
)
def test_events_of_every_form_are_the_model_s(
    path: Path, messages: list[bytes], sizes: list[int], form: str, zipped: bool
) -> None:
    packets = packets_of(messages, sizes)
    data = {
        "itch": lambda: capture.write_itch(messages),
        "pcap": lambda: capture.write_pcap(timed(packets)),
        "pcapng": lambda: as_pcapng(packets),
    }[form]()
    if not data:
        return
    path.write_bytes(gzip.compress(data, 1) if zipped else data)
    events = nb.read(path, batch=5)
    rows = np.concatenate([np.empty(0, dtype_of("numi_event")), *events])
    assert without_receive_time(rows) == [event_model.pack(e) for e in event_model.events_of(messages)]
    assert events.ledger.whole
    assert events.ledger.messages["new"] == len(messages)
    if form != "itch" and messages:
        assert set(rows["flags"] & 0xFF) == {0x10}
        assert NOON_NS <= rows["rx_ns"].min() <= rows["rx_ns"].max() < NOON_NS + 10_000


@on_files
@given(wire.streams().filter(bool), st.integers(1, 60))
def test_raw_arrays_hold_every_field(path: Path, messages: list[bytes], room: int) -> None:
    path.write_bytes(capture.write_itch(messages, end=True))
    pieces = list(reading.RawReader(path, records=room))
    seen: dict[int, itch.Message] = {}
    for piece in pieces:
        for letter, rows in piece.items():
            for row in rows:
                fields: itch.Message = {"message_type": letter.encode()}
                for field in reading.fields_of(letter):
                    value = row[field.name]
                    fields[field.name] = value.tobytes() if field.kind == "alpha" else int(value)
                seen[int(row["sequence"])] = fields
    assert [seen[sequence] for sequence in sorted(seen)] == [itch.decode(message) for message in messages]


def test_raw_arrays_grow_without_losing_a_record(path: Path) -> None:
    nb.make_itch(path, messages=30_000, symbols=20, seed=5)
    whole = nb.read(path, schema="raw")
    pieces: dict[str, list[np.ndarray]] = {letter: [] for letter in whole}
    for piece in reading.RawReader(path, records=1000):
        for letter, rows in piece.items():
            pieces[letter].append(rows)
    assert whole["A"].nbytes > 4 * 65536, "too few to grow more than once"
    for letter, rows in whole.items():
        assert np.array_equal(rows, np.concatenate([rows[:0], *pieces[letter]])), letter


def some_messages(count: int = 200) -> list[bytes]:
    blank = {
        letter: {f.name: b"" if f.kind == "alpha" else 0 for f in itch.LAYOUTS[letter].fields}
        for letter in (b"A", b"D")
    }
    out = []
    for index in range(count):
        letter = b"A" if index % 2 == 0 else b"D"
        fields: dict[str, Any] = {
            **blank[letter],
            "message_type": letter,
            "stock_locate": 1 + index % 3,
            "timestamp": 34_200_000_000_000 + index,
            "order_reference_number": 2**63 + index // 2,
        }
        if letter == b"A":
            fields |= {
                "stock": b"SYM%d" % (index % 3),
                "buy_sell_indicator": b"BS"[index // 2 % 2 :][:1],
                "price": 1_702_500,
            }
        out.append(itch.encode(fields))
    return out


def test_batches_that_are_kept_keep_their_content(path: Path) -> None:
    messages = some_messages()
    path.write_bytes(capture.write_itch(messages))
    kept = [batch[::2] for batch in nb.read(path, batch=10)]
    assert [int(row["sequence"]) for rows in kept for row in rows] == list(range(1, 200, 2))


def test_batches_that_are_not_kept_share_their_memory(path: Path) -> None:
    path.write_bytes(capture.write_itch(some_messages(1000)))
    places = {batch.__array_interface__["data"][0] for batch in nb.read(path, batch=10)}
    assert len(places) <= 3


def test_every_packet_is_in_the_ledger(path: Path) -> None:
    good = packets_of(some_messages(9), [3, 3, 3])
    tcp = bytearray(good[0])
    tcp[23] = 6
    fragment = bytearray(good[0])
    fragment[20] = 0x20
    short = packet.build(HEADERS, b"no mold")
    bad_block = packet.build(HEADERS, mold.encode(b"NUMI000001", 10, [b"D" * 19])[:-1])
    jumped = packet.build(HEADERS, mold.encode(b"NUMI000001", 20, [b"D" * 19, b"?"]))
    ended = packet.build(HEADERS, mold.end_of_session(b"NUMI000001", 22))
    data = [*good, bytes(tcp), bytes(fragment), short, bad_block, b"\x08", jumped, jumped, ended]
    path.write_bytes(capture.write_pcap(timed(data)))
    events = nb.read(path)
    assert sum(len(batch) for batch in events) == 11
    ledger, counts = events.ledger, events.counts()
    assert ledger.whole
    # the last of `good` has no message: a heartbeat
    expected = {"received": 12, "delivered": 5, "control": 2, "malformed": 4, "not_ours": 1}
    assert {row: count for row, count in ledger.frames.items() if count} == expected
    names = ("not_udp", "fragment", "truncated", "short_header", "short_block", "unknown_type")
    assert {name: counts[name] for name in names} == dict(zip(names, (1, 1, 1, 1, 1, 2), strict=True))
    assert (counts["heartbeats"], counts["ends_of_session"], counts["missing"], counts["repeated"]) == (1, 1, 10, 2)
    assert counts["rejected"] == 2


def test_a_torn_tail_is_counted_and_what_stands_before_it_is_read(path: Path) -> None:
    whole = capture.write_itch(some_messages(20))
    path.write_bytes(whole[:-5])
    events = nb.read(path)
    assert sum(len(batch) for batch in events) == 19
    assert events.counts()["truncated_records"] == 1


def test_what_is_no_capture_is_refused_with_its_place(path: Path) -> None:
    path.write_bytes(b"root:x:0:0\n" * 20)
    with pytest.raises(nb.errors.CorruptError, match="offset 0"):
        nb.read(path)
    with pytest.raises(FileNotFoundError):
        nb.read(path.with_name("nothing"))
    path.write_bytes(capture.write_itch(some_messages(2)))
    for wrong in ({"schema": "columns"}, {"decoder": "fix"}, {"batch": 0}):
        with pytest.raises(ValueError, match="allowed"):
            nb.read(path, **wrong)  # type: ignore[call-overload]


def test_tables_join_symbols_and_keep_the_wire_s_integers(path: Path) -> None:
    path.write_bytes(capture.write_itch(some_messages(6)))
    table = nb.read(path).to_arrow()
    assert (
        table["symbol"].to_pylist() == ["SYM0", "SYM1", "SYM2", "SYM0", "SYM1", "SYM2"]
        or table["symbol"][1].as_py() is None
    )
    assert table["order"].to_pylist()[0] == 2**63
    assert table["side"].to_pylist()[:3] == ["bid", None, "ask"]
    assert table.schema.field("price").metadata == {b"scale": b"4"}
    assert table["exchange_ns"].to_pylist()[0] == 34_200_000_000_000
    dated = nb.read(path).to_arrow(date(2024, 7, 1))
    assert str(dated["time"][0].as_py()) == "2024-07-01 13:30:00+00:00"
    assert nb.read(path).to_pandas()["price"].tolist()[0] == 1_702_500
    assert nb.read(path).to_polars()["kind"].to_list()[:2] == ["A", "D"]
    raw = nb.read(path, schema="raw").to_arrow()
    assert raw["A"]["buy_sell_indicator"].to_pylist() == ["B", "S", "B"]
    assert raw["D"]["symbol"].to_pylist() == ["SYM1", "SYM0", "SYM2"]


def test_midnight_follows_new_york_s_clock() -> None:
    assert midnight_ns(date(2024, 1, 2)) == 1_704_171_600_000_000_000
    assert midnight_ns(date(2024, 7, 2)) == 1_719_892_800_000_000_000


def decode(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numi_bypass", "decode", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def recorded(path: Path) -> Path:
    path.write_bytes(capture.write_pcap(timed(packets_of(some_messages(30), [10, 10]))))
    return path


def test_decode_prints_rows_with_their_time(recorded: Path) -> None:
    result = decode(recorded, "--limit", 2)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert len(lines) == 2
    assert lines[0].startswith(
        "message_type=A time=2023-11-14T14:30:00.000000000Z rx_time=2023-11-14T22:13:20.000000000Z"
    )
    assert "order_reference_number=9223372036854775808" in lines[0]


def test_decode_json_is_one_document(recorded: Path) -> None:
    result = decode(recorded, "--schema", "events", "--json", "--type", "D")
    document = json.loads(result.stdout)
    assert document["files"][0]["by_type"] == {"D": 15}
    assert len(document["rows"]) == 15
    assert document["rows"][0]["order"] == 2**63


def test_decode_chooses_types_symbols_and_limits(recorded: Path) -> None:
    assert len(decode(recorded, "--type", "A,D", "--symbol", "SYM1").stdout.splitlines()) == 10
    assert len(decode(recorded, "--symbol", "SYM1", "--symbol", "SYM2", "--limit", 7).stdout.splitlines()) == 7
    assert decode(recorded, "--limit", 0).stdout == ""
    assert decode(recorded, "--symbol", "NONE").stdout == ""


def test_decode_writes_files(recorded: Path, tmp_path: Path) -> None:
    assert decode(recorded, "--out", tmp_path / "types").returncode == 0
    assert sorted(file.name for file in (tmp_path / "types").iterdir()) == ["A.parquet", "D.parquet"]
    assert pq.read_table(tmp_path / "types" / "A.parquet")["price"].to_pylist() == [1_702_500] * 15
    for schema in ("raw", "events"):
        for ending in ("parquet", "csv", "jsonl"):
            out = tmp_path / f"{schema}.{ending}"
            result = decode(recorded, "--schema", schema, "--out", out)
            assert result.returncode == 0, result.stderr
            assert result.stdout == ""
    assert pq.read_table(tmp_path / "raw.parquet")["sequence"].to_pylist() == list(range(1, 31))
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 31
    first = json.loads((tmp_path / "raw.jsonl").read_text().splitlines()[0])
    assert (first["message_type"], first["symbol"], first["price"]) == ("A", "SYM0", 1_702_500)


def test_decode_without_rows_writes_the_columns(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "none.parquet"
    assert decode(recorded, "--type", "Q", "--out", out).returncode == 0
    assert pq.read_table(out).num_rows == 0


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--out", "x.xlsx"], 2, ".parquet, .csv or .jsonl"),
        (["--type", "A,z"], 2, "'z': allowed S,R"),
        (["--limit", "-1"], 2, "allowed a whole number from 0"),
        (["--date", "yesterday"], 2, "YYYY-MM-DD"),
        (["--schema", "columns"], 2, "columns"),
        (["/nonexistent"], 1, "/nonexistent"),
    ],
)
def test_decode_refuses_in_one_line(recorded: Path, words: list[str], code: int, named: str) -> None:
    result = decode(recorded, "--limit", 1, *words) if code == 2 else decode(*words)
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr


def test_decode_of_a_broken_file_shows_what_it_could_and_exits_1(path: Path) -> None:
    good = capture.write_pcap(timed(packets_of(some_messages(10), [5])))
    path.write_bytes(good + (2**31).to_bytes(4, "little") * 4)
    result = decode(path)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 10
    assert f"offset {len(good)}" in result.stderr


PEAK_MEMORY = """
import resource, sys
import numi_bypass as nb
nb.read(sys.argv[1]).to_parquet(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(nb.build_info()["sanitize"] != "none", reason="a sanitizer keeps freed memory")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks_kib = []
    for messages in (300_000, 1_500_000):
        path = tmp_path / f"{messages}.itch"
        nb.make_itch(path, messages=messages, symbols=100, seed=1)
        words = [sys.executable, "-c", PEAK_MEMORY, str(path), str(tmp_path / "out.parquet")]
        peaks_kib.append(int(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    # five times the file, 36 MiB more of it; a writer keeps a footer line for each row group
    assert peaks_kib[1] < peaks_kib[0] + 12 * 1024


def test_a_limit_holds_where_sequences_repeat(path: Path) -> None:
    twice = [data for data in packets_of(some_messages(10), [5]) for _ in range(2)]
    path.write_bytes(capture.write_pcap(timed(twice)))
    for limit in (0, 1, 5, 19, 20, 99):
        assert len(decode(path, "--no-merge", "--limit", limit).stdout.splitlines()) == min(limit, 20)


def test_a_second_thread_on_a_reader_is_refused(path: Path) -> None:
    path.write_bytes(capture.write_itch(some_messages(2)))
    for reader in (nb.read(path), reading.RawReader(path)):
        with reader._turn, pytest.raises(nb.errors.BusyError, match="reader is in use"):
            next(iter(reader))
