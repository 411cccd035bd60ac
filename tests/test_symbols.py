"""Symbols that are asked for: those no message names are an error that says so, those named later have empty books."""

import json
import pickle
from pathlib import Path

import pytest

import numi_bypass as nb
from numi_bypass.errors import UnknownSymbolError
from numi_sim.model import mold
from tests.traffic import FIRST, S, add, bare, book, document, numi, recorded

NAMES = (b"NVDA", b"AAPL", b"A")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """NVDA from second 1 on, AAPL from 2, A from 3."""
    adds = [add(number, at=number, symbol=name, locate=number) for number, name in enumerate(NAMES, 1)]
    return bare(tmp_path / "x.itch", *adds)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (["NVDIA"], "none of the 3 instruments is called 'NVDIA'; near: 'NVDA'"),
        (["nvda", b"A", "aap"], "none of the 3 instruments is called 'nvda' or 'aap'; near: 'NVDA', 'AAPL'"),
        ("ZZZZ", "none of the 3 instruments is called 'ZZZZ'"),
    ],
)
def test_unknown_symbols_are_named_with_those_that_are_near(
    named: Path, symbols: str | list[str | bytes], said: str
) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        nb.bbo(named, symbols=symbols)
    assert str(caught.value) == said
    assert str(pickle.loads(pickle.dumps(caught.value))) == said
    parts = nb.snapshots(named, symbols=symbols, every="1s")
    with pytest.raises(UnknownSymbolError, match=said):
        list(parts)


def test_books_tell_what_is_near_too(named: Path) -> None:
    with pytest.raises(KeyError) as caught:
        nb.replay(named)["APPL"]
    assert str(caught.value) == "none of the 3 instruments is called 'APPL'; near: 'AAPL'"


def test_the_commands_say_the_same(named: Path) -> None:
    words = ("--symbol", "NVDIA", "--symbol", "A")
    said = "--symbol NVDIA: none of the 3 instruments is called 'NVDIA'; near: 'NVDA'"
    run = book(named, *words)
    assert (run.returncode, run.stdout, run.stderr) == (1, "", f"numi-bypass book: {said}\n")
    run = numi("decode", named, *words)
    assert (run.returncode, run.stderr) == (1, f"numi-bypass decode: {said}\n")
    assert len(run.stdout.splitlines()) == 1


def test_decode_asks_all_its_files_and_only_those_it_read(named: Path, tmp_path: Path) -> None:
    other = bare(tmp_path / "other.itch", add(1, symbol=b"ZZZZ"))
    assert numi("decode", "--no-merge", named, other, "--symbol", "ZZZZ", "--symbol", "A").returncode == 0
    assert numi("decode", named, "--symbol", "A", "--symbol", "LATER", "--limit", 1).returncode == 0


# --- before anything names them


@pytest.mark.parametrize("words", [["--at", "00:00"], ["--at-seq", "0"], ["--at", "00:00:02"]])
def test_a_book_before_its_first_message_is_empty(named: Path, words: list[str]) -> None:
    found = document(named, "--symbol", "A", *words)
    assert found["books"] == {"A": {"bids": [], "asks": []}}
    assert found["messages"] == (2 if words[1] == "00:00:02" else 0)
    assert book(named, "--symbol", "A", *words).stdout.splitlines()[1:] == ["", "without orders: A"]
    assert book(named, "--symbol", "B", *words).returncode == 1


def test_later_messages_are_looked_at_for_names_alone(tmp_path: Path) -> None:
    day = tmp_path / "day.itch"
    nb.make_itch(day, messages=20_000, symbols=8, seed=6)
    late = bare(tmp_path / "late.itch", add(10**9, at=57_000, symbol=b"LATE", locate=999))
    day.write_bytes(day.read_bytes() + late.read_bytes())
    words = ("--at", "10:00")
    asked, without = document(day, "--symbol", "LATE", *words), document(day, *words)
    assert asked.pop("books") == {"LATE": {"bids": [], "asks": []}}
    assert "LATE" not in without.pop("books")
    assert asked == without


def test_of_merged_lines_too(tmp_path: Path) -> None:
    packets = [mold.encode(FIRST, number, [add(number, symbol=name)]) for number, name in ((1, b"A"), (2, b"B"))]
    path = recorded(tmp_path / "x.pcap", *packets)
    assert document(path, path, "--symbol", "A", "--at-seq", 0)["books"] == {"A": {"bids": [], "asks": []}}


def test_damage_on_the_way_to_a_name_is_told(tmp_path: Path) -> None:
    broken = recorded(tmp_path / "x.pcap", mold.encode(FIRST, 1, [add(1, at=1)]))
    broken.write_bytes(broken.read_bytes() + b"\xff" * 16)
    run = book(broken, "--symbol", "B", "--at-seq", 0, "--json")
    assert run.returncode == 1
    assert "--symbol B: none of the 1 instruments is called 'B'; " in run.stderr
    assert "(offset" in json.loads(run.stdout)["error"]
    assert document(broken, "--symbol", "A", "--at-seq", 0)["messages"] == 0


def test_snapshots_before_the_error_are_handed_out(named: Path) -> None:
    parts = nb.snapshots(named, symbols=["A", "NONE"], every="1s")
    assert [len(part) for part in (next(parts), next(parts), next(parts))] == [0, 0, 1]
    assert next(nb.snapshots(named, symbols=["NVDA"], every="1s"))["time"].tolist() == [S]
    with pytest.raises(UnknownSymbolError):
        next(parts)
