import pytest
from hypothesis import given
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass.clock import DOMAINS, UNKNOWN_ERROR_NS

KERNEL_CLOCKS = ["utc", "tai", "mono", "mono_raw"]


@pytest.fixture(scope="module")
def clock() -> nb.Clock:
    return nb.Clock()


@pytest.mark.parametrize("domain", KERNEL_CLOCKS)
def test_a_converted_reading_lies_between_two_of_the_kernel(clock: nb.Clock, domain: str) -> None:
    clock.sample()
    for _ in range(200):
        before = clock.kernel_ns(domain)
        stamp = clock.stamp(domain)
        after = clock.kernel_ns(domain)
        assert before - stamp.error_ns <= stamp.ns <= after + stamp.error_ns


@pytest.mark.parametrize("domain", KERNEL_CLOCKS)
def test_there_and_back_is_within_the_bounds(clock: nb.Clock, domain: str) -> None:
    start = clock.stamp("mono")
    there = clock.convert(start, domain)
    back = clock.convert(there, "mono")
    assert abs(back - start) <= back.error_ns
    assert back.error_ns >= there.error_ns >= start.error_ns


@given(st.sampled_from(sorted(DOMAINS)), st.sampled_from(sorted(DOMAINS)))
def test_only_calibrated_domains_convert(source: str, target: str) -> None:
    clock = nb.Clock(spend_ns=1)
    known = {*KERNEL_CLOCKS, "tsc"}
    stamp = nb.Stamp(clock.ticks() if source == "tsc" else clock.now("mono"), source)
    if (source in known and target in known) or (source == target != "none"):
        assert clock.convert(stamp, target).domain == target
    else:
        with pytest.raises(nb.errors.UncalibratedError, match=f"{source} and {target}"):
            clock.convert(stamp, target)


def test_an_unknown_bound_stays_unknown(clock: nb.Clock) -> None:
    stamp = nb.Stamp(clock.now("utc"), "utc", "hw_raw", UNKNOWN_ERROR_NS)
    assert clock.convert(stamp, "mono") == nb.Stamp(clock.convert(stamp, "mono").ns, "mono", "hw_raw", UNKNOWN_ERROR_NS)


def test_times_of_two_clocks_do_not_subtract() -> None:
    assert nb.Stamp(7, "phc") - nb.Stamp(9, "phc") == -2
    for left, right in (("utc", "tai"), ("mono", "virtual"), ("none", "none")):
        with pytest.raises(nb.errors.UncalibratedError) as caught:
            nb.Stamp(7, left) - nb.Stamp(9, right)
        assert caught.value.name == "NUMI_ERR_UNCALIBRATED"


def test_fits_say_what_they_rest_on(clock: nb.Clock) -> None:
    raw, mono = clock.fit("mono_raw"), clock.fit("mono")
    assert raw.drift_ppb == 0
    assert mono.sample_count >= 16
    assert 1e6 < mono.hz < 1e11
    assert abs(mono.hz / raw.hz - 1) < 0.01
    before = clock.fit("utc").sample_count
    clock.sample()
    assert clock.fit("utc").sample_count == min(64, before + 1)


def test_unknown_domains_are_refused(clock: nb.Clock) -> None:
    for call in (clock.fit, clock.now, clock.stamp, clock.kernel_ns):
        with pytest.raises(ValueError, match=r"allowed|keeps no"):
            call("lunar")
    with pytest.raises(ValueError, match="keeps no"):
        clock.now("phc")
    with pytest.raises(nb.errors.ArgumentError, match="allowed a whole number from 0 to 10000000000"):
        nb.Clock(spend_ns=10**11)
