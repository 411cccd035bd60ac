"""The command decode on lines of a feed: every message once and in order, gaps told; each file for itself if asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import numi_bypass as nb
from numi_sim.model import capture, mold, packet
from tests.traffic import FIRST, HEADERS, NOON_NS, SECOND, add, bare, book, numi, recorded

SCHEMAS = pytest.mark.parametrize("schema", ["raw", "events"])


def payload(*orders: int) -> bytes:
    """Orders whose numbers are their messages'."""
    return mold.encode(FIRST, orders[0], [add(order) for order in orders])


def orders_of(stdout: str) -> list[int]:
    words = [word for line in stdout.splitlines() for word in line.split()]
    return [int(word.partition("=")[2]) for word in words if word.startswith(("order=", "order_reference_number="))]


def one(*words: object) -> tuple[dict[str, Any], list[int]]:
    """The only file of the document, and the orders of its rows."""
    run = numi("decode", *words, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    document = json.loads(run.stdout)
    [found] = document["files"]
    return found, [row.get("order", row.get("order_reference_number")) for row in document["rows"]]


@pytest.fixture
def lines(tmp_path: Path) -> list[Path]:
    """A lacks 3 and 4, B lacks 1 and 2 and has 6 before 5; both lack 7."""
    a = recorded(tmp_path / "a.pcap", payload(1, 2), payload(5), payload(6), payload(8))
    b = recorded(tmp_path / "b.pcap", payload(3, 4), payload(6), payload(5), payload(8, 9))
    return [a, b]


@SCHEMAS
def test_two_captures_are_two_lines(lines: list[Path], schema: str) -> None:
    found, orders = one(*lines, "--schema", schema)
    assert orders == [1, 2, 3, 4, 5, 6, 8, 9]
    assert [found["file"], found["other"]] == list(map(str, lines))
    assert (found["gaps"], found["rows"], found["by_type"]) == ([[7, 7]], 8, {"A": 8})
    run = numi("decode", *lines, "--schema", schema)
    assert (run.returncode, orders_of(run.stdout)) == (0, orders)
    assert run.stderr == f"numi-bypass decode: warning: {lines[0]}, {lines[1]}: missing: 7\n"


@SCHEMAS
def test_one_capture_may_hold_both(tmp_path: Path, schema: str) -> None:
    path = recorded(tmp_path / "x.pcap", payload(1), payload(1), payload(4), payload(2, 3), payload(2, 3), payload(4))
    found, orders = one(path, "--schema", schema)
    assert (orders, found["gaps"], "other" in found) == ([1, 2, 3, 4], [], False)
    assert found["ledger"]["messages"]["duplicate"] == 4


@SCHEMAS
def test_each_file_for_itself(lines: list[Path], tmp_path: Path, schema: str) -> None:
    run = numi("decode", "--no-merge", *lines, lines[0], "--schema", schema)
    assert (run.returncode, run.stderr) == (0, "")
    of_a, of_b = [1, 2, 5, 6, 8], [3, 4, 6, 5, 8, 9] if schema == "events" else [3, 4, 5, 6, 8, 9]
    assert orders_of(run.stdout) == of_a + of_b + of_a
    document = json.loads(numi("decode", "--no-merge", *lines, "--json").stdout)
    assert [(one["file"], one["rows"], "gaps" in one) for one in document["files"]] == [
        (str(path), count, False) for path, count in zip(lines, (5, 6), strict=True)
    ]
    day = [bare(tmp_path / f"{part}.itch", add(part)) for part in (1, 2, 3)]
    assert orders_of(numi("decode", "--no-merge", *day).stdout) == [1, 2, 3]


def test_it_reads_what_book_reads(tmp_path: Path) -> None:
    day: dict[str, Any] = {"messages": 20_000, "symbols": 8, "seed": 6}
    nb.make_itch(tmp_path / "day.pcap", **day, faults=nb.LineFaults(loss=0.05, duplicates=0.02, reorder=0.05))
    for paths in (["day-A.pcap", "day-B.pcap"], ["day-A.pcap"]):
        words = [*paths, "--json"]
        booked = json.loads(book(*words, cwd=tmp_path).stdout)
        for schema in ("raw", "events"):
            run = numi("decode", *words, "--schema", schema, "--out", f"{schema}.parquet", cwd=tmp_path)
            assert run.returncode == 0, run.stderr
            [found] = json.loads(run.stdout)["files"]
            assert (found["gaps"], found["by_type"]) == (booked["gaps"], booked["by_type"])
            assert found["rows"] == booked["messages"]
            told = np.array(pq.read_table(tmp_path / f"{schema}.parquet")["sequence"])
            assert np.array_equal(told, np.unique(told))
            lost = [sequence for first, last in found["gaps"] for sequence in range(first, last + 1)]
            assert np.array_equal(np.setdiff1d(np.arange(1, 20_001), told), lost)


def test_gaps_are_told_whatever_rows_are_asked_for(lines: list[Path]) -> None:
    run = numi("decode", lines[0], "--type", "D")
    assert (run.stdout, run.stderr) == ("", f"numi-bypass decode: warning: {lines[0]}: missing: 3-4 7\n")
    many = recorded(lines[0].with_name("many.pcap"), *(payload(1 + 2 * at) for at in range(20)))
    assert "12 14 16 and 11 gaps more, --json lists them\n" in numi("decode", many).stderr
    assert len(one(many)[0]["gaps"]) == 19


@SCHEMAS
def test_gaps_beyond_the_last_row_are_not_told(lines: list[Path], schema: str) -> None:
    for limit, gaps in ((0, []), (2, []), (3, [[3, 4]]), (4, [[3, 4]]), (5, [[3, 4], [7, 7]]), (9, [[3, 4], [7, 7]])):
        assert one(lines[0], "--schema", schema, "--limit", limit)[0]["gaps"] == gaps


def test_a_line_that_contradicts_itself_ends_and_the_other_goes_on(lines: list[Path]) -> None:
    lines[0].write_bytes(lines[0].read_bytes() + b"\xff" * 16)
    run = numi("decode", *lines)
    assert (run.returncode, orders_of(run.stdout)) == (1, [1, 2, 3, 4, 5, 6, 8, 9])
    assert f"{lines[0]}: " in run.stderr
    assert "(offset" in run.stderr


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b", "c"], "3 files: allowed one, or the two lines of a feed; --no-merge reads any number"),
        (
            ["a", "day"],
            "day: a bare file is no line of a feed: give it alone; --no-merge reads files one after another",
        ),
        (["day", "day"], "day: a bare file is no line of a feed: give it alone; --no-merge reads files one after"),
        (["-", "-"], "- and -: stdin can be named once"),
    ],
)
def test_what_are_no_two_lines_is_refused_with_what_would_do(tmp_path: Path, names: list[str], said: str) -> None:
    for name in "abc":
        recorded(tmp_path / name, payload(1))
    bare(tmp_path / "day", add(1))
    run = numi("decode", *names, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"numi-bypass decode: {said}")
    assert run.stderr.endswith(" (see numi-bypass decode --help)\n")


def test_a_pipe_is_read_once(lines: list[Path]) -> None:
    for words, orders in ((["-"], [1, 2, 5, 6, 8]), (["-", lines[1]], [1, 2, 3, 4, 5, 6, 8, 9])):
        run = numi("decode", *words, input=lines[0].read_bytes(), text=False)
        assert (run.returncode, orders_of(run.stdout.decode())) == (0, orders)


def test_several_feeds_in_one_capture_are_not_left_out_without_a_word(tmp_path: Path) -> None:
    payloads = [mold.encode(name, at, [add(at)]) for at in (1, 2, 3) for name in (FIRST, SECOND)]
    packets = [(NOON_NS + at, packet.build(HEADERS, one)) for at, one in enumerate(payloads)]
    path = tmp_path / "x.pcap"
    path.write_bytes(capture.write_pcap(packets))
    run = numi("decode", path)
    said = (
        f"{path}: 1 messages came when their session was over, and are left out; where a capture holds several feeds, "
    )
    assert run.stderr == f"numi-bypass decode: warning: {said}take them apart first\n"
    assert f"numi-bypass book: warning: {said}" in book(path).stderr
    assert orders_of(numi("decode", path, "--no-merge", "--schema", "events").stdout) == [1, 1, 2, 2, 3, 3]
