from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

import numi_bypass as nb
from numi_sim.model import histogram as model

HIGHEST = 10_000_000
values = st.lists(st.integers(0, HIGHEST), min_size=1, max_size=200)


@given(values, st.integers(1, 4), st.floats(0, 100))
def test_percentiles_agree_with_the_sorted_values(recorded: list[int], digits: int, percentile: float) -> None:
    histogram = nb.Histogram(HIGHEST, digits)
    histogram.record_many(recorded)
    assert histogram.percentile(percentile) == model.percentile(recorded, percentile, digits)
    if percentile:
        assert histogram.percentile(percentile) == histogram.to_hdrh().get_value_at_percentile(percentile)
    assert (len(histogram), histogram.min, histogram.max) == (len(recorded), min(recorded), max(recorded))


@given(values, st.integers(1, 4))
def test_counts_are_those_of_the_public_library(recorded: list[int], digits: int) -> None:
    ours, theirs = nb.Histogram(HIGHEST, digits), HdrHistogram(1, HIGHEST, digits)
    ours.record_many(recorded)
    for value in recorded:
        theirs.record_value(value)
    assert ours.counts.tolist() == list(theirs.counts)
    loaded = ours.to_hdrh()
    assert loaded.encode() == theirs.encode()
    assert loaded.get_value_at_percentile(99) == theirs.get_value_at_percentile(99)


@given(values, values)
def test_adding_is_recording_both(first: list[int], second: list[int]) -> None:
    one, other, both = (nb.Histogram(HIGHEST) for _ in range(3))
    one.record_many(first)
    other.record_many(second)
    both.record_many(first + second)
    one.add(other)
    assert one.counts.tolist() == both.counts.tolist()
    assert (len(one), one.min, one.max, one.mean) == (len(both), both.min, both.max, both.mean)


def test_mean_is_within_the_precision() -> None:
    histogram = nb.Histogram(HIGHEST)
    recorded = np.arange(0, HIGHEST, 997)
    histogram.record_many(recorded)
    assert histogram.mean == pytest.approx(recorded.mean(), rel=1e-3)


def test_what_is_out_of_range_is_counted_apart() -> None:
    histogram = nb.Histogram(1000)
    histogram.record_many([-1, 1001, 2**62, 500])
    assert (len(histogram), histogram.out_of_range, histogram.max) == (1, 3, 500)
    histogram.reset()
    assert (len(histogram), histogram.out_of_range, histogram.percentile(50), histogram.mean) == (0, 0, 0, 0.0)


def test_files_are_read_back_by_the_public_library(tmp_path: Path) -> None:
    histogram = nb.Histogram()
    histogram.record_many(np.arange(1000) * 1000)
    histogram.write_hlog(tmp_path / "latency.hlog", start_s=1_700_000_000, length_s=2)
    reader = HistogramLogReader(str(tmp_path / "latency.hlog"), HdrHistogram(1, nb.Histogram().highest, 3))
    assert reader.get_next_interval_histogram().get_total_count() == 1000
    reader.close()
    histogram.write_hgrm(tmp_path / "latency.hgrm", unit_ns=1000)
    lines = (tmp_path / "latency.hgrm").read_text().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert any("Max" in line for line in lines)


@pytest.mark.parametrize(("highest", "digits"), [(1, 3), (2**62 + 1, 3), (1000, 0), (1000, 6)])
def test_bad_sizes_name_what_is_allowed(highest: int, digits: int) -> None:
    with pytest.raises(nb.errors.ArgumentError, match="allowed"):
        nb.Histogram(highest, digits)


def test_only_equals_add() -> None:
    with pytest.raises(nb.errors.ArgumentError, match="only equals"):
        nb.Histogram(1000).add(nb.Histogram(1000, 2))


def test_size_is_as_documented() -> None:
    assert nb.Histogram().counts.nbytes == 264 * 1024 or nb.Histogram().counts.nbytes // 1024 == 264
    assert nb.Histogram(digits=2).counts.nbytes // 1024 == 36


def test_only_whole_numbers_are_recorded_and_only_percentiles_asked() -> None:
    histogram = nb.Histogram(1000)
    for wrong in ([0.4, 0.9], [float("nan")], ["1"]):
        with pytest.raises(TypeError, match="allowed whole numbers"):
            histogram.record_many(wrong)  # type: ignore[arg-type]
    for percentile in (float("nan"), -1, 101):
        with pytest.raises(ValueError, match="allowed 0 to 100"):
            histogram.percentile(percentile)
