"""Histogram in HdrHistogram's layout, filled in C, written and merged by the public library.

>>> import numi_bypass as nb
>>> latency = nb.Histogram(highest=10_000_000, digits=3)
>>> latency.record_many([100, 200, 300, 40_000])
>>> latency.percentile(50), latency.max, latency.to_hdrh().get_value_at_percentile(50)
(200, 40000, 200)
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import checked, ffi, lib, whole
from numi_bypass._handle import Handle

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

HOUR_NS = 3_600_000_000_000


class Histogram(Handle):
    """Values 0 to `highest`, kept to `digits` decimal digits; others are counted in `out_of_range`. One writer."""

    def __init__(self, highest: int = HOUR_NS, digits: int = 3) -> None:
        self._histogram = ffi.new("struct numi_histogram *")
        whole("digits", digits, 1, 5)
        checked(lib.numi_histogram_open(self._histogram, whole("highest", highest, 2, 2**62), digits))
        self._histogram = ffi.gc(self._histogram, lib.numi_histogram_close)
        self.highest = highest
        self.digits = digits

    def record(self, value: int) -> None:
        """Counts one value."""
        self.record_many([value])

    def record_many(self, values: "Sequence[int] | NDArray[np.int64]") -> None:
        """Counts each value."""
        given = np.asarray(values)
        if given.dtype.kind not in "iu" and given.size:
            raise TypeError(f"values of {given.dtype}: allowed whole numbers of 64 bits")
        flat = np.ascontiguousarray(given, np.int64)
        lib.numi_histogram_record_many(self._histogram, ffi.from_buffer("int64_t[]", flat), flat.size)

    def reset(self) -> None:
        """Forgets everything."""
        lib.numi_histogram_reset(self._histogram)

    def add(self, other: "Histogram") -> None:
        """Adds what another histogram of the same range and digits holds."""
        checked(lib.numi_histogram_add(self._histogram, other._histogram))

    def __len__(self) -> int:
        return int(self._histogram.total_count)

    @property
    def min(self) -> int:
        """The smallest value recorded; 0 while empty."""
        return int(self._histogram.min) if len(self) else 0

    @property
    def max(self) -> int:
        """The largest value recorded, exactly; 0 while empty."""
        return int(self._histogram.max)

    @property
    def mean(self) -> float:
        """The mean, by the middle of each bucket."""
        return float(lib.numi_histogram_mean(self._histogram))

    @property
    def out_of_range(self) -> int:
        """Values below 0 or above `highest`, counted nowhere else."""
        return int(self._histogram.out_of_range)

    @property
    def counts(self) -> NDArray[np.int64]:
        """A copy of the counts array, laid out as every HdrHistogram library does."""
        return np.frombuffer(ffi.buffer(self._histogram.counts, self._counts_size()), np.int64).copy()

    def percentile(self, percentile: float) -> int:
        """The highest value equal, within the precision, to the one at `percentile` (0 to 100)."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile={percentile!r}: allowed 0 to 100")
        return int(lib.numi_histogram_percentile(self._histogram, percentile))

    def to_hdrh(self) -> "HdrHistogram":
        """The same as an HdrHistogram of the public library, to encode, merge or print."""
        from hdrh.histogram import HdrHistogram

        hdrh: Any = HdrHistogram(1, self.highest, self.digits)
        ffi.memmove(ffi.from_buffer(hdrh.counts, require_writable=True), self._histogram.counts, self._counts_size())
        hdrh.total_count = len(self)
        hdrh.min_value, hdrh.max_value = self.min if len(self) else 2**63 - 1, self.max
        return hdrh

    def _counts_size(self) -> int:
        return int(self._histogram.counts_count) * 8

    def write_hgrm(self, path: str | os.PathLike[str], *, unit_ns: int = 1) -> None:
        """Writes the percentile distribution that HdrHistogram's plotter reads, values divided by `unit_ns`."""
        if unit_ns < 1:
            raise ValueError(f"unit_ns={unit_ns}: allowed 1 and up")
        with Path(path).open("wb") as file:
            self.to_hdrh().output_percentile_distribution(file, unit_ns)

    def write_hlog(self, path: str | os.PathLike[str], *, start_s: float | None = None, length_s: float = 0.0) -> None:
        """Writes an interval log with this histogram as its one interval."""
        from hdrh.log import HistogramLogWriter

        start = time.time() if start_s is None else start_s
        hdrh = self.to_hdrh()
        with Path(path).open("w") as file:
            writer: Any = HistogramLogWriter(file)
            writer.output_log_format_version()
            file.write(f"#[StartTime: {start:.3f} (seconds since epoch)]\n")
            writer.output_legend()
            hdrh.set_start_time_stamp(start * 1000)
            hdrh.set_end_time_stamp((start + length_s) * 1000)
            writer.output_interval_histogram(hdrh, 0, 0)
