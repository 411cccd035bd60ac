"""`numi-bypass lines`: what each line brought, minute by minute, against counting it by hand."""

import json
from pathlib import Path

import pytest

import numi_bypass as nb
from numi_bypass.cli import main
from numi_sim.model import mold, packet
from numi_sim.model.capture import read_pcap


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lines")
    faults = nb.LineFaults(loss=(0.01, 0.03), duplicates=0.01, skew_ns=30_000, both_loss=True)
    nb.make_itch(folder / "day.pcap", messages=20_000, symbols=20, seed=3, faults=faults)
    return [folder / "day-A.pcap", folder / "day-B.pcap"]


def carried(path: Path) -> list[int]:
    """Every sequence that a line carried, in its order."""
    found: list[int] = []
    for one in read_pcap(path.read_bytes()).records:
        _, first, _, messages = mold.decode(packet.parse(one.data)[1])
        found += range(first, first + len(messages))
    return found


def test_what_each_line_brought(lines: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lines", *map(str, lines), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    a, b = (carried(path) for path in lines)
    union = set(a) | set(b)
    for name, own, other in (("A", a, b), ("B", b, a)):
        told = document["lines"][name]
        assert told["messages"] == len(own)
        assert told["missing"] == len(union) - len(set(own))
        assert told["rescued"] == len(set(own) - set(other))
        assert told["first"] + told["second"] + told["repeated"] == len(own)
        assert told["disagreements"] == 0
    assert document["lines"]["A"]["first"] + document["lines"]["B"]["first"] == len(union)
    assert document["lost"] == max(union) - min(union) + 1 - len(union) > 0
    assert document["lines"]["B"]["lag"]["p50_ns"] > 0
    for name in "AB":
        for key in ("packets", "messages", "first", "missing", "rescued"):
            assert sum(one["lines"][name][key] for one in document["minutes"]) == document["lines"][name][key]
    assert sum(one["lost"] for one in document["minutes"]) == document["lost"]


def test_the_table_ends_with_a_row_for_each_line(lines: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lines", *map(str, lines)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[:3] == ["minute", "line", "packets"]
    assert [row.split()[0] for row in rows[-3:]] == ["line=A", "line=B", f"gaps={rows[-1].split()[0][5:]}"]


def test_the_same_capture_twice_and_a_bare_file(
    lines: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lines", str(lines[0]), str(lines[0]), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lines"]["B"]["first"] == document["lines"]["B"]["missing"] == 0
    bare = tmp_path / "day.itch"
    nb.make_itch(bare, messages=1000, symbols=5)
    assert main(["lines", str(bare), str(bare)]) == 2
    assert "a bare file has no packets" in capsys.readouterr().err


def test_the_plot(lines: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["lines", *map(str, lines), "--plot", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["lines", *map(str, lines), "--plot", str(tmp_path / "x.bmp")]) == 2
    assert "allowed a name that ends in" in capsys.readouterr().err
