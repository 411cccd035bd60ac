"""What this build and this machine can do: tried where trying is cheap, else asked of the kernel."""

import ctypes.util
import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from numi_bypass._ffi import lib
from numi_bypass.build import build_info
from numi_bypass.clock import Clock
from numi_bypass.cores import fifo, topology
from numi_bypass.errors import NumiError
from numi_bypass.pool import Pool


@dataclass(frozen=True)
class Feature:
    """One thing that may or may not be had. `compiled` is None where nothing needs to be compiled in."""

    kind: str
    name: str
    compiled: bool | None
    usable: bool
    note: str


AF_XDP = 44
_PORT_SOCKETS: dict[str, tuple[int, int, int, str]] = {
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, 0, ""),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0, "needs CAP_NET_RAW"),
    "xdp": (AF_XDP, socket.SOCK_RAW, 0, "needs CAP_NET_RAW and a kernel with AF_XDP"),
}
"""The socket that each port will open, and what it takes."""

_PLUGINS = {"verbs": "ibverbs", "dpdk": "rte_ethdev"}
"""Plugins and the shared library that each opens at run time."""


def _socket_opens(family: int, kind: int, protocol: int, need: str) -> tuple[bool, str]:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return False, f"{need}: {os.strerror(error.errno or errno.EINVAL)}"
    return True, "the kernel opens such a socket"


def _ports() -> Iterator[Feature]:
    for name, (family, kind, protocol, need) in _PORT_SOCKETS.items():
        _, note = _socket_opens(family, kind, protocol, need)
        yield Feature("port", name, False, False, f"no such port in this version; {note}")
    for name, library in _PLUGINS.items():
        found = ctypes.util.find_library(library)
        note = f"{found} is installed" if found else f"lib{library} is not installed"
        yield Feature("plugin", name, False, False, f"no such plugin in this version; {note}")


def _cpu() -> Iterator[Feature]:
    info = build_info()
    yield Feature("cpu", "crc32c", True, True, "instruction" if lib.numi_crc32c_is_hardware() else "portable tables")
    clock = Clock()
    fit = clock.fit("mono")
    note = f"{fit.hz / 1e9:.4f} GHz, within {fit.error_ns} ns of CLOCK_MONOTONIC"
    yield Feature("cpu", "tsc", True, clock.invariant, note if clock.invariant else f"not invariant; {note}")
    cpus = topology()
    isolated = [str(cpu.cpu) for cpu in cpus if cpu.isolated]
    allowed = ",".join(str(cpu.cpu) for cpu in cpus if cpu.allowed)
    note = f"{allowed} allowed, of {len(cpus)} online ({info['arch']})"
    yield Feature("cpu", "cores", None, True, note)
    yield Feature("cpu", "isolated", None, bool(isolated), ",".join(isolated) or "none (boot with isolcpus=)")


def _pages() -> Iterator[Feature]:
    for pages in ("transparent", "2m", "1g"):
        # One small pool tells, but 1 GiB pages only exist whole: ask the kernel's count instead of touching a gigabyte.
        if pages == "1g":
            free = Path("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages")
            count = int(free.read_text()) if free.exists() else 0
            note = f"{count} free" if count else "none reserved (hugepagesz=1G hugepages=N at boot)"
            yield Feature("memory", "huge pages 1g", None, count > 0, note)
            continue
        with Pool(1024, 2048, pages=pages) as pool:
            yield Feature("memory", f"huge pages {pages}", None, pool.pages == pages, pool.fallback or "got")


def _try(action: Callable[[], None], undo: Callable[[], None], granted: str) -> tuple[bool, str]:
    try:
        action()
    except NumiError as error:
        return False, error.detail
    undo()
    return True, granted


def _permissions() -> Iterator[Feature]:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft >> 10} KiB"
    may_lock = soft == resource.RLIM_INFINITY or _has_capability(14)
    note = f"memlock limit {limit}" + ("" if may_lock else "; give CAP_IPC_LOCK or raise ulimit -l")
    yield Feature("permission", "mlockall", None, may_lock, note)
    usable, note = _try(lambda: fifo(1), lambda: fifo(0), "granted")
    yield Feature("permission", "SCHED_FIFO", None, usable, note)
    for name, number in (("CAP_NET_RAW", 13), ("CAP_NET_ADMIN", 12), ("CAP_BPF", 39)):
        held = _has_capability(number)
        note = "held" if held else f"not held (setcap {name.lower()}+ep, or root)"
        yield Feature("permission", name, None, held, note)


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def probe() -> list[Feature]:
    """Every feature, by kind."""
    return [*_ports(), *_cpu(), *_pages(), *_permissions()]
