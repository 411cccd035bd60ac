"""Cores and pages: where the calling thread runs, what it may page, what it has faulted."""

from dataclasses import dataclass

from numi_bypass._ffi import checked, ffi, lib, whole


@dataclass(frozen=True)
class Cpu:
    """One logical CPU as the kernel describes it."""

    cpu: int
    core: int
    package: int
    node: int
    allowed: bool
    isolated: bool


@dataclass(frozen=True)
class Faults:
    """Page faults so far."""

    process_minor: int
    process_major: int
    thread_minor: int
    thread_major: int


def topology() -> list[Cpu]:
    """The online CPUs, ascending."""
    cpus = ffi.new("struct numi_cpu[]", int(lib.NUMI_CPU_MAX))
    count = min(checked(lib.numi_core_topology(cpus, len(cpus))), len(cpus))
    return [Cpu(c.cpu, c.core, c.package, c.node, bool(c.allowed), bool(c.isolated)) for c in cpus[0:count]]


def pin(cpu: int) -> None:
    """The calling thread runs on `cpu` only."""
    checked(lib.numi_core_pin(whole("cpu", cpu, 0, 2**32 - 1)))


def unpin() -> None:
    """The calling thread may run again wherever the process could at its start."""
    checked(lib.numi_core_unpin())


def fifo(priority: int) -> None:
    """The calling thread runs before all ordinary ones (SCHED_FIFO, 1 to 99); 0 goes back."""
    checked(lib.numi_core_fifo(whole("priority", priority, 0, 2**32 - 1)))


def lock_memory() -> None:
    """Every page of the process, now and later, stays in memory."""
    checked(lib.numi_core_lock_memory())


def unlock_memory() -> None:
    """Pages may be evicted again."""
    checked(lib.numi_core_unlock_memory())


def faults() -> Faults:
    """Page faults of the process and of the calling thread so far."""
    c = ffi.new("struct numi_faults *")
    checked(lib.numi_core_faults(c))
    return Faults(c.process_minor, c.process_major, c.thread_minor, c.thread_major)
