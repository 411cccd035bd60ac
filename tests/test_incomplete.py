"""Files that end too early and messages that cannot be decoded: read as far as they go, and never without a word."""

import gzip
import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import numi_bypass as nb
from numi_bypass import reading
from numi_bypass.errors import InputWarning
from numi_sim.model import capture, mold
from tests.traffic import FIRST, S, add, bare, book, document, numi, recorded

ADDS = [add(order, at=order) for order in range(1, 11)]
FRAMED = 2 + len(ADDS[0])


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:-size])
    return path


def bare_cut(folder: Path) -> tuple[Path, str]:
    path = cut(bare(folder / "x.itch", *ADDS), 5)
    return path, f"ends within a message (offset {9 * FRAMED}): {FRAMED - 5} bytes there are left off"


def pcap_cut(folder: Path) -> tuple[Path, str]:
    path = recorded(folder / "x.pcap", mold.encode(FIRST, 1, ADDS[:9]), mold.encode(FIRST, 10, ADDS[9:]))
    whole = path.stat().st_size
    first = recorded(folder / "first.pcap", mold.encode(FIRST, 1, ADDS[:9])).stat().st_size
    return cut(path, 5), f"ends within a record (offset {first}): {whole - first - 5} bytes there are left off"


def gzip_cut(folder: Path) -> tuple[Path, str]:
    path = folder / "x.itch.gz"
    path.write_bytes(gzip.compress(capture.write_itch(ADDS), 0))
    whole = 9 * FRAMED
    path = cut(path, 8 + FRAMED - 3)  # the tail of the member, and all but 3 bytes of the last message
    return path, f"ends within a message and its gzip (offset {whole}, expanded): 3 bytes there are left off"


def gzip_cut_between(folder: Path) -> tuple[Path, str]:
    path = folder / "x.itch.gz"
    path.write_bytes(gzip.compress(capture.write_itch(ADDS[:9]), 0))
    return cut(path, 8), f"ends within its gzip (offset {9 * FRAMED}, expanded): what stands before is whole"


Cut = Callable[[Path], tuple[Path, str]]
each_cut = pytest.mark.parametrize("make", [bare_cut, pcap_cut, gzip_cut, gzip_cut_between])


@each_cut
def test_book_says_where_a_file_ends_too_early(tmp_path: Path, make: Cut) -> None:
    path, said = make(tmp_path)
    for words in ([], ["--json"]):
        run = book(path, *words)
        assert run.returncode == 0
        assert run.stderr == f"numi-bypass book: warning: {path}: {said}; copy it anew if more was there\n"
        if words:
            found = json.loads(run.stdout)
            assert (found["truncated"], found["messages"], "status" in found) == (1, 9, False)
        else:
            assert run.stdout.startswith("messages=9 ")
            assert " truncated=1 " in run.stdout.splitlines()[0]


@pytest.mark.parametrize("words", [["--out", "o.csv"], ["--schema", "events", "--out", "o.parquet"], ["--json"]])
def test_decode_says_where_a_file_ends_too_early(tmp_path: Path, words: list[str]) -> None:
    path, said = bare_cut(tmp_path)
    run = numi("decode", path, *words, cwd=tmp_path)
    assert run.returncode == 0
    assert run.stderr == f"numi-bypass decode: warning: {path}: {said}; copy it anew if more was there\n"


@each_cut
@pytest.mark.parametrize("reader", [reading.Events, reading.RawReader])
def test_every_reader_knows_where_a_file_ends_too_early(
    tmp_path: Path, make: Cut, reader: type[reading.Events | reading.RawReader]
) -> None:
    path, said = make(tmp_path)
    source = reader(path)
    assert source.warnings() == []
    for _ in source:
        pass
    assert source.warnings() == [f"{path}: {said}; copy it anew if more was there"]


@each_cut
def test_a_replay_warns_and_counts(tmp_path: Path, make: Cut) -> None:
    path, said = make(tmp_path)
    with pytest.warns(InputWarning) as caught:
        books = nb.replay(path)
    assert said in str(caught[0].message)
    assert caught[0].filename == __file__
    assert (books.counts()["truncated"], books.counts()["messages"]) == (1, 9)
    assert books.copy().counts() == books.counts()
    with pytest.warns(InputWarning, match="ends within"):
        nb.bbo(path)
    with pytest.warns(InputWarning, match="ends within"):
        list(nb.snapshots(path))


def test_a_replay_that_ends_before_the_cut_knows_nothing_of_it(tmp_path: Path) -> None:
    path, _ = bare_cut(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nb.replay(path, until_sequence=3, batch=2).counts()["truncated"] == 0


def test_each_line_that_ends_too_early_is_named(tmp_path: Path) -> None:
    packets = [mold.encode(FIRST, 1 + at, [one]) for at, one in enumerate(ADDS)]
    paths = [cut(recorded(tmp_path / name, *packets), 5) for name in ("a.pcap", "b.pcap")]
    run = book(*paths, "--json")
    assert json.loads(run.stdout)["truncated"] == 2
    assert [str(path) in line for path, line in zip(paths, run.stderr.splitlines(), strict=True)] == [True, True]


def test_a_whole_file_lacks_nothing(tmp_path: Path) -> None:
    path = bare(tmp_path / "x.itch", *ADDS)
    found = document(path)
    assert (found["truncated"], found["undecodable"]) == (0, {})
    assert " undecodable=0 truncated=0 " in book(path).stdout.splitlines()[0]
    counts = nb.replay(path).counts()
    assert (counts["truncated"], counts["undecodable"]) == (0, {})
    assert "truncated" not in nb.Books().counts()


# --- messages that are none

BROKEN = [*ADDS[:3], b"?" + ADDS[3][1:], *ADDS[4:6], ADDS[6][:-1], ADDS[7], ADDS[8] + b"!", ADDS[9]]
SAID = "undecodable messages are left out: unknown_type=1 bad_length=2; the first is message 4"


@pytest.fixture(params=["itch", "pcap", "one packet each"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "itch":
        return bare(tmp_path / "x.itch", *BROKEN)
    sizes = [10] if request.param == "pcap" else [1] * 10
    ends = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    return recorded(tmp_path / "x.pcap", *(mold.encode(FIRST, 1 + at, BROKEN[at:to]) for at, to in pairwise(ends)))


def test_book_shows_messages_that_are_none(broken: Path) -> None:
    run = book(broken)
    assert run.returncode == 0
    assert run.stderr == f"numi-bypass book: warning: {broken}: {SAID}\n"
    lines = run.stdout.splitlines()
    assert lines[0].startswith("messages=7 ")
    assert " undecodable=3 truncated=0 " in lines[0]
    assert lines[1] == "undecodable: unknown_type=1 bad_length=2"
    found = json.loads(book(broken, "--json").stdout)
    assert found["undecodable"] == {"unknown_type": 1, "bad_length": 2}


@pytest.mark.parametrize("reader", [reading.Events, reading.RawReader])
def test_every_reader_knows_the_first_message_that_is_none(
    broken: Path, reader: type[reading.Events | reading.RawReader]
) -> None:
    source = reader(broken)
    for _ in source:
        pass
    assert source.warnings() == [f"{broken}: {SAID}"]


def test_decode_says_which_messages_are_none(tmp_path: Path) -> None:
    path = bare(tmp_path / "x.itch", *BROKEN)
    run = numi("decode", path)
    assert (run.returncode, len(run.stdout.splitlines())) == (0, 7)
    assert run.stderr == f"numi-bypass decode: warning: {path}: {SAID}\n"


def test_a_replay_counts_messages_that_are_none(broken: Path) -> None:
    with pytest.warns(InputWarning, match=SAID):
        books = nb.replay(broken, batch=1)
    assert books.counts()["undecodable"] == {"unknown_type": 1, "bad_length": 2}
    with pytest.warns(InputWarning, match=SAID):
        nb.replay(broken, books=books, resume=True)
    assert books.counts()["undecodable"] == {"unknown_type": 2, "bad_length": 4}


def test_the_end_mark_of_a_bare_file_is_no_message(tmp_path: Path) -> None:
    path = tmp_path / "x.itch"
    path.write_bytes(capture.write_itch([ADDS[0], b"?" + ADDS[1][1:]], end=True))
    for source in (reading.Events(path, batch=1), reading.RawReader(path, records=1)):
        for _ in source:
            pass
        assert source.warnings()[0].endswith("unknown_type=1; the first is message 2")


def test_a_gap_is_no_message(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.pcap", mold.encode(FIRST, 1, ADDS[:2]), mold.encode(FIRST, 8, ADDS[2:4]))
    counts: dict[str, Any] = nb.replay(path, until=5 * S).counts()
    assert (counts["messages"], counts["gaps"]) == (4, 1)
    assert document(path)["messages"] == 4
