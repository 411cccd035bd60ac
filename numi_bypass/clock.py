"""Clocks: the TSC in nanoseconds of any kernel clock, with an error bound; and times that say what they are.

>>> import numi_bypass as nb
>>> clock = nb.Clock()
>>> later = clock.stamp("mono")
>>> clock.convert(later, "utc").domain
'utc'
>>> nb.Stamp(5, "utc") - nb.Stamp(3, "utc")
2
>>> nb.Stamp(5, "utc") - nb.Stamp(3, "tai")
Traceback (most recent call last):
    ...
numi_bypass.errors.UncalibratedError: NUMI_ERR_UNCALIBRATED: utc - tai: convert one with a Clock first
"""

from dataclasses import dataclass

from numi_bypass import errors
from numi_bypass._ffi import CData, checked, ffi, lib, text, whole
from numi_bypass._handle import Handle, Turn

DOMAINS: dict[str, int] = {text(lib.numi_domain_name(domain)): domain for domain in range(int(lib.NUMI_DOMAIN_COUNT))}
SOURCES: dict[str, int] = {
    text(lib.numi_stamp_source_name(source)): source for source in range(int(lib.NUMI_STAMP_SOURCE_COUNT))
}
_DOMAIN_NAMES = {number: name for name, number in DOMAINS.items()}
_SOURCE_NAMES = {number: name for name, number in SOURCES.items()}

UNKNOWN_ERROR_NS = 2**32 - 1
"""The error bound of a stamp of which nobody knows one."""


def _domain(name: str) -> int:
    if name not in DOMAINS:
        raise ValueError(f"domain={name!r}: allowed {', '.join(DOMAINS)}")
    return DOMAINS[name]


@dataclass(frozen=True)
class Stamp:
    """A time, the clock it was read from, by whom, and how far the truth may lie. In the domain tsc, `ns` is ticks."""

    ns: int
    domain: str
    source: str = "none"
    error_ns: int = 0

    def __sub__(self, other: "Stamp") -> int:
        """Nanoseconds between two times of one clock; between two clocks there is no such number."""
        if self.domain != other.domain or self.domain == "none":
            code = int(lib.NUMI_ERR_UNCALIBRATED)
            raise errors.UncalibratedError(
                code, text(lib.numi_error_name(code)), f"{self.domain} - {other.domain}: convert one with a Clock first"
            )
        return self.ns - other.ns


@dataclass(frozen=True)
class ClockFit:
    """How one kernel clock follows from the ticks."""

    hz: float
    error_ns: int
    wander_ppb: int
    drift_ppb: int
    sample_count: int
    step_count: int
    bracket_ns: int


class Clock(Handle):
    """A TSC clock, calibrated for `spend_ns` (0: 20 ms) at the start and better with every `sample()`."""

    def __init__(self, spend_ns: int = 0) -> None:
        out = ffi.new("struct numi_clock **")
        checked(lib.numi_clock_open(out, whole("spend_ns", spend_ns, 0, 10**10)))
        self._turn = Turn("clock")
        self._clock = ffi.gc(out[0], lib.numi_clock_close)

    @property
    def invariant(self) -> bool:
        """Whether the TSC runs at one rate in all power states and on all cores."""
        return bool(lib.numi_clock_invariant())

    def sample(self) -> None:
        """Samples every kernel clock once and fits anew. About once a second keeps the bounds narrow."""
        with self._turn:
            checked(lib.numi_clock_sample(self._clock))

    def _fit(self, domain: str) -> CData:
        fit = lib.numi_clock_fit_of(self._clock, _domain(domain))
        if fit == ffi.NULL:
            raise ValueError(f"domain={domain!r}: the kernel keeps no such clock")
        return fit

    def fit(self, domain: str) -> ClockFit:
        """The calibration of utc, tai, mono or mono_raw."""
        c = self._fit(domain)
        return ClockFit(
            hz=1e9 * 2.0**32 / c.scale,
            error_ns=c.error_ns,
            wander_ppb=c.wander_ppb,
            drift_ppb=c.drift_ppb,
            sample_count=c.sample_count,
            step_count=c.step_count,
            bracket_ns=c.bracket_ns,
        )

    def now(self, domain: str = "mono") -> int:
        """Now, in nanoseconds of a kernel clock, without a system call."""
        self._fit(domain)
        with self._turn:
            return int(lib.numi_clock_now(self._clock, DOMAINS[domain]))

    def ticks(self) -> int:
        """The TSC now."""
        return int(lib.numi_clock_ticks())

    def stamp(self, domain: str = "tsc") -> Stamp:
        """Now, with its bound."""
        return self.convert(Stamp(self.ticks(), "tsc", "tsc_at_poll"), domain)

    def convert(self, stamp: Stamp, domain: str) -> Stamp:
        """The same moment on another clock, its bound widened by the conversion's."""
        source = ffi.new("struct numi_stamp *")
        source.ns, source.error_ns = stamp.ns, stamp.error_ns
        if stamp.source not in SOURCES:
            raise ValueError(f"source={stamp.source!r}: allowed {', '.join(SOURCES)}")
        source.source, source.domain = SOURCES[stamp.source], _domain(stamp.domain)
        target = ffi.new("struct numi_stamp *")
        with self._turn:
            checked(lib.numi_clock_convert(self._clock, source, _domain(domain), target))
        return Stamp(target.ns, _DOMAIN_NAMES[target.domain], _SOURCE_NAMES[target.source], target.error_ns)

    @staticmethod
    def kernel_ns(domain: str) -> int:
        """What the kernel itself says, with its own call."""
        out = ffi.new("int64_t *")
        checked(lib.numi_clock_kernel_ns(_domain(domain), out))
        return int(out[0])
