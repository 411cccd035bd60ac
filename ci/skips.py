"""Prints the skipped tests of a meson test log (exit 77) as pytest prints its own, with the last line each one said."""

import json
import sys
from pathlib import Path

for line in Path(sys.argv[1]).read_text().splitlines():
    test = json.loads(line)
    if test["result"] == "SKIP":
        said = (test.get("stdout", "") + test.get("stderr", "")).strip().splitlines() or ["no reason given"]
        print(f"SKIPPED [1] {test['name'].rpartition(':')[2]}: {said[-1].removeprefix('skipped: ')}")
