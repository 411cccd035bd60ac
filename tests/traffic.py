"""Traffic by hand, and the commands that show it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from numi_sim.model import capture, itch, packet

HEADERS = packet.Headers("10.0.0.1", "239.192.1.1", 26400, 26400)
NOON_NS = 1_700_000_000_000_000_000
S = 10**9
FIRST, SECOND = b"NUMI000001", b"NUMI000002"
"""Two sessions."""

COMMAND = [sys.executable, "-m", "numi_bypass"]


def message(letter: str, **fields: Any) -> bytes:
    blank = {one.name: b"" if one.kind == "alpha" else 0 for one in itch.LAYOUTS[letter.encode()].fields}
    return itch.encode({**blank, "message_type": letter.encode(), **fields})


def add(order: int, at: float = 0, symbol: bytes = b"A", locate: int = 1, **fields: Any) -> bytes:
    given = {"stock_locate": locate, "stock": symbol, "timestamp": int(at * S), "order_reference_number": order}
    return message("A", **given, **{"shares": 10, "price": 1000, "buy_sell_indicator": b"B", **fields})


def bare(path: Path, *messages: bytes) -> Path:
    path.write_bytes(capture.write_itch(messages))
    return path


def recorded(path: Path, *payloads: bytes) -> Path:
    packets = [(NOON_NS + index, packet.build(HEADERS, payload)) for index, payload in enumerate(payloads)]
    path.write_bytes(capture.write_pcap(packets))
    return path


def numi(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "check": False, **options})


def book(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return numi("book", *words, **options)


def document(*words: object) -> dict[str, Any]:
    run = book(*words, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    found: dict[str, Any] = json.loads(run.stdout)
    return found
