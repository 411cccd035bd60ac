"""What several commands tell of what they read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAPS_SHOWN = 8


def kinds_of(kinds: NDArray[np.uint8]) -> dict[str, int]:
    """How many messages of each type; a declared gap is none."""
    numbers = np.bincount(kinds, minlength=256)
    numbers[0] = 0
    return {chr(kind): int(numbers[kind]) for kind in numbers.nonzero()[0]}


def missing(gaps: list[list[int]]) -> str:
    """Which messages are missing, the first gaps in full."""
    shown = [f"{first}-{last}" if first < last else str(first) for first, last in gaps[:_GAPS_SHOWN]]
    more = len(gaps) - len(shown)
    return " ".join(["missing:", *shown, *([f"and {more} gaps more, --json lists them"] if more else [])])


def pairs(values: dict[str, Any]) -> str:
    """Names and values on one line."""
    return " ".join(f"{name}={value}" for name, value in values.items())
