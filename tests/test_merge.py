"""Two lines in, one out: what the reader's merge delivers, held against sets of sequences and against whole days."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass.reading import Events
from numi_sim.model import capture, mold, packet

HEADERS = packet.Headers("10.0.0.1", "239.192.1.1", 26400, 26400)
SESSION, OTHER_SESSION = b"NUMI000001", b"NUMI000002"
NOON_NS = 1_700_000_000_000_000_000

Line = Sequence[tuple[int, bytes]]
"""Payloads with the us at which they arrived."""


def message(sequence: int, copy: int) -> bytes:
    """A cancel of order `sequence`; its quantity tells which copy of it this is."""
    return b"X" + bytes([0, 1]) + bytes(8) + sequence.to_bytes(8, "big") + copy.to_bytes(4, "big")


def block(first: int, count: int, copy: int = 0, session: bytes = SESSION) -> bytes:
    return mold.encode(session, first, [message(sequence, copy) for sequence in range(first, first + count)])


def write(path: Path, line: Line) -> Path:
    path.write_bytes(capture.write_pcap([(NOON_NS + 1000 * at, packet.build(HEADERS, data)) for at, data in line]))
    return path


def merge(folder: Path, *lines: Line, batch: int = 100) -> tuple[Events, list[np.ndarray]]:
    """The reader when it has ended, and its batches."""
    paths = [write(folder / name, line) for name, line in zip("ab", lines, strict=False)]
    events = Events(paths[0], batch=batch, other=paths[1] if len(paths) > 1 else None, merge=True)
    batches = [part.copy() for part in events]
    assert events.ledger.whole
    return events, batches


def sequences(batches: list[np.ndarray]) -> list[int]:
    found = [int(event["sequence"]) for part in batches for event in part if event["kind"]]
    assert found == [int(event["order"]) for part in batches for event in part if event["kind"]]
    return found


arrivals = st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(0, 30), st.booleans())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(arrivals, min_size=1, max_size=20), st.integers(1, 50))
def test_every_message_comes_once_and_in_order(
    tmp_path: Path, given: list[tuple[int, int, int, bool]], batch: int
) -> None:
    timed = sorted(given, key=lambda one: one[2])
    lines = [[(at, block(first, count)) for first, count, at, on_b in timed if on_b is line] for line in (False, True)]
    events, batches = merge(tmp_path, *[line for line in lines if line], batch=batch)
    carried = {sequence for first, count, _, _ in given for sequence in range(first, first + count)}
    assert sequences(batches) == sorted(carried)
    missing = set(range(min(carried), max(carried) + 1)) - carried
    assert {sequence for low, high in events.gaps for sequence in range(low, high + 1)} == missing
    assert events.counts()["missing"] == len(missing)


def test_the_first_copy_of_each_message_wins(tmp_path: Path) -> None:
    a = [(0, block(1, 2, copy=1)), (3, block(5, 4, copy=1)), (9, block(3, 4, copy=3))]
    b = [(4, block(4, 3, copy=2)), (20, block(1, 12, copy=4))]
    events, batches = merge(tmp_path, a, b)
    assert np.concatenate(batches)["quantity"].tolist() == [1, 1, 3, 2, 1, 1, 1, 1, 4, 4, 4, 4]
    assert events.ledger.frames["delivered"] == 5
    assert (events.ledger.messages["new"], events.ledger.messages["duplicate"]) == (12, 13)


def test_a_heartbeat_ahead_of_the_data_is_a_gap(tmp_path: Path) -> None:
    a = [(0, block(1, 3)), (5, mold.heartbeat(SESSION, 8))]
    events, batches = merge(tmp_path, a, [(1, block(2, 3))])
    assert (sequences(batches), events.gaps) == ([1, 2, 3, 4], [[5, 7]])
    gap = np.concatenate(batches)[-1]
    assert (gap["kind"], gap["order"], gap["aux"], gap["side"]) == (0, 5, 7, 255)


def test_a_new_session_begins_a_batch_and_the_old_one_is_stale(tmp_path: Path) -> None:
    a = [(0, block(1, 3)), (4, block(1, 2, session=OTHER_SESSION)), (8, block(3, 1, session=OTHER_SESSION))]
    b = [(2, block(6, 2)), (9, block(4, 2))]
    events, batches = merge(tmp_path, a, b)
    flat = [[int(event["sequence"]) for event in part if event["kind"]] for part in batches]
    assert flat == [[1, 2, 3, 6, 7], [1, 2, 3]]
    assert events.sessions == 2
    assert events.ledger.frames["stale"] == 1, "4 and 5 came after their session had ended"


def test_one_packet_alone_ends_no_session(tmp_path: Path) -> None:
    """Its name may have been damaged."""
    line = [(0, block(1, 3)), (4, block(1, 1, session=b"NUMI\x000X001")), (8, block(4, 2))]
    events, batches = merge(tmp_path, line)
    flat = [[int(event["sequence"]) for event in part if event["kind"]] for part in batches]
    assert flat == [[1, 2, 3, 4, 5], [1]], "at the end of the file it is believed"
    assert events.ledger.frames["stale"] == 0


def test_sessions_are_counted_as_they_are_handed_out(tmp_path: Path) -> None:
    line = [(0, block(1, 2)), (1, block(1, 2, session=OTHER_SESSION))]
    events = Events(write(tmp_path / "a", line), merge=True)
    assert [events.sessions for _ in events] == [1, 2]


def test_a_pipe_holds_what_lies_behind_a_gap(tmp_path: Path) -> None:
    line = [(0, block(1, 2)), (1, block(5, 2)), (2, block(9, 1)), (3, block(3, 1))]
    path = write(tmp_path / "a", line)
    code = "from numi_bypass.reading import Events; e = Events('-', merge=True); print([len(b) for b in e], e.gaps)"
    run = subprocess.run([sys.executable, "-c", code], input=path.read_bytes(), capture_output=True, check=True)
    assert run.stdout.decode().strip() == "[8] [[4, 4], [7, 8]]"
    with path.open("rb") as redirected:
        run = subprocess.run([sys.executable, "-c", code], stdin=redirected, capture_output=True, check=True)
    assert run.stdout.decode().strip() == "[8] [[4, 4], [7, 8]]"


def test_a_line_that_contradicts_itself_ends_and_the_other_goes_on(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [(0, block(1, 2)), (1, block(3, 2))])
    b = write(tmp_path / "b", [(2, block(5, 2)), (3, block(7, 1))])
    whole = a.read_bytes()
    a.write_bytes(whole + (2**31).to_bytes(4, "little") * 4)
    events = Events(a, other=b)
    parts = iter(events)
    assert sequences([next(parts)]) == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(nb.errors.CorruptError, match=r"a: a packet of .* \(offset \d+\)"):
        next(parts)


def test_bare_files_are_no_lines(tmp_path: Path) -> None:
    nb.make_itch(tmp_path / "day.itch", messages=2000, symbols=2, seed=1)
    line = write(tmp_path / "a", [(0, block(1, 2))])
    with pytest.raises(nb.errors.ArgumentError, match=r"day\.itch: a bare file is no line of a feed"):
        Events(line, other=tmp_path / "day.itch")
    with pytest.raises(nb.errors.ArgumentError, match=r"day\.itch: a bare file is no line of a feed"):
        nb.read(line, schema="raw", other=tmp_path / "day.itch")
    with pytest.raises(nb.errors.ArgumentError, match="merge='yes': allowed True or False"):
        nb.read(line, merge="yes")  # type: ignore[call-overload]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_whole_day_comes_through_loss_that_the_other_line_covers(tmp_path: Path, form: str) -> None:
    bare, out = tmp_path / "day.itch", tmp_path / f"lines.{form}"
    nb.make_itch(bare, messages=30_000, symbols=20, seed=9)
    words = ["--loss", "0.05", "--duplicates", "0.02", "--reorder", "0.1", "--packet-messages", "4,7"]
    day = ["--messages", "30000", "--symbols", "20", "--seed", "9"]
    subprocess.run([sys.executable, "-m", "numi_bypass", "make", "itch", out, *day, *words], check=True)
    if form == "pcap":
        events = Events(tmp_path / "lines-A.pcap", other=tmp_path / "lines-B.pcap")
    else:
        events = Events(out, merge=True)
    got = np.concatenate([part.copy() for part in events])
    wanted = np.concatenate([part.copy() for part in nb.read(bare)])
    names = [name for name in wanted.dtype.names or () if name not in ("rx_ns", "flags")]
    assert all(np.array_equal(got[name], wanted[name]) for name in names)
    assert events.gaps == []
