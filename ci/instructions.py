"""Counts the instructions of each guarded hot path under callgrind and holds them against benches/instructions.json.

    ci/instructions.py PROGRAM            more than 5% above the record: exit 1; another compiler: exit 77
    ci/instructions.py PROGRAM --record   writes what was counted

PROGRAM is tests/c/count_paths, built without link-time optimisation, so that the functions keep their names.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RECORD = Path(__file__).resolve().parent.parent / "benches" / "instructions.json"
PATHS = {
    "decode": "numi_itch_decode_run",
    "records": "numi_itch_decode",
    "book": "numi_books_apply",
    "book-ahead": "numi_books_apply",
    "merge": "numi_bench_merge",
    "merge-faults": "numi_bench_merge",
    "feed": "numi_feed_step",
}
ALLOWED = 1.05


def compiler() -> str:
    """Instructions are a property of the compiler, too."""
    return subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()


def count(program: Path, path: str, function: str) -> float:
    """Instructions a message inside a function and what it calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        command = ["valgrind", "--tool=callgrind", f"--toggle-collect={function}", f"--callgrind-out-file={out}"]
        run = subprocess.run([*command, str(program), path], capture_output=True, text=True, check=True)
        total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
    assert total is not None, run.stderr
    return int(total[1]) / int(run.stdout)


def main() -> int:
    """Count, and record or judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    counted = {path: round(count(options.program, path, function), 2) for path, function in PATHS.items()}
    if options.record:
        RECORD.write_text(json.dumps({"gcc": compiler(), "instructions_a_message": counted}, indent=2) + "\n")
        return 0
    record = json.loads(RECORD.read_text())
    if record["gcc"] != compiler():
        print(f"instructions were recorded with gcc {record['gcc']}, this is {compiler()}")
        return 77
    worse = {p: n for p, n in counted.items() if n > record["instructions_a_message"][p] * ALLOWED}
    print(f"counted {counted}, recorded {record['instructions_a_message']}")
    if worse:
        print(f"more than 5% above the record: {worse}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
