"""Benchmark scenarios: what `numi-bypass bench` runs.

Each scenario is a module with `add_arguments(parser)` and `run(options, report, quick)`. It reports rows of key=value
pairs as it measures them, and ends with a row that carries its status: `ok` says that everything was correct, whether
or not this machine is fast enough for the targets, which have keys of their own.
"""

import argparse
from typing import Protocol

SCENARIOS = {
    "decode-book": "ns a message through decoder and books with full queues; one message alone; the bare probe",
    "hot-paths": "ns an operation of ring, pool, histogram, CRC32C and clock; the ring against a C++ one",
    "local-core": "pool, ring, merge, decoder and books on one core, a packet a message, frames from memory",
    "merge": "ns a packet through the merge, two lines, with and without faults, against copying the payloads",
    "pool-soak": "frames taken and given back without end: no miss, no return drop",
    "tape": "ns to record a frame on a tape, and to write it to a file",
}

Value = str | int | float | bool


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Report:
    """What a scenario measured, printed line by line unless it is kept for a JSON document."""

    def __init__(self, scenario: str, *, echo: bool) -> None:
        self.scenario = scenario
        self.rows: list[dict[str, Value]] = []
        self.summary: dict[str, Value] = {}
        self.status = "running"
        self._echo = echo

    def _print(self, pairs: dict[str, Value]) -> None:
        if self._echo:
            print(" ".join(f"{key}={_text(value)}" for key, value in pairs.items()), flush=True)

    def row(self, **pairs: Value) -> None:
        """One line of figures."""
        self.rows.append(pairs)
        self._print(pairs)

    def finish(self, status: str, **pairs: Value) -> None:
        """The last line: the scenario's own figures and its status."""
        self.status = status
        self.summary = {**pairs, "status": status}
        self._print(self.summary)

    def document(self) -> dict[str, object]:
        """The same as a JSON object."""
        return {"scenario": self.scenario, "rows": self.rows, **self.summary}


class Scenario(Protocol):
    """What a module of this package offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, options: argparse.Namespace, report: Report, quick: bool) -> None:
        """Measure, and finish the report."""
