"""A histogram as the list of its values: what every percentile must agree with."""

import math
from collections.abc import Sequence


def width_at(value: int, digits: int) -> int:
    """How many neighbours share a value's bucket when `digits` decimal digits are kept."""
    sub_buckets = 1 << math.ceil(math.log2(2 * 10**digits))
    width = 1
    while value >= sub_buckets * width:
        width *= 2
    return width


def highest_equal(value: int, digits: int) -> int:
    """The highest value of the same bucket."""
    width = width_at(value, digits)
    return value // width * width + width - 1


def percentile(values: Sequence[int], wanted: float, digits: int) -> int:
    """The value at a percentile, as coarse as the histogram keeps it."""
    ranked = sorted(values)
    rank = max(1, math.floor(wanted * len(ranked) / 100 + 0.5))
    return highest_equal(ranked[rank - 1], digits)
