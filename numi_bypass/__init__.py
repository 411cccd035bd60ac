"""Market data from the NIC's queue to an order-by-order book: a C core, driven from Python.

Everything here is imported when first used, so that `import numi_bypass` costs next to nothing.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if find_spec("numi_bypass._core") is None:
    # Now, not when a name of it is used: the folder of the sources came before what is installed.
    raise ImportError(
        f"{__path__[0]} has no compiled core: run from another folder or with python -P; where numi-bypass is not "
        "installed, ./ci/setup or pip install . does it"
    )

if TYPE_CHECKING:
    from numi_bypass import errors
    from numi_bypass.book import Book, Books
    from numi_bypass.build import build_info
    from numi_bypass.carry import RequestCarry, SoupCarry
    from numi_bypass.checksum import crc32c
    from numi_bypass.clock import Clock, ClockFit, Stamp
    from numi_bypass.cores import Faults, faults, fifo, lock_memory, pin, topology, unlock_memory, unpin
    from numi_bypass.feeding import Feed, PcapPort, SimPort, TapeFeed
    from numi_bypass.glimpse import Glimpse
    from numi_bypass.histogram import Histogram
    from numi_bypass.ledger import Ledger
    from numi_bypass.make import Cut, LineFaults, MadeDay, Packing, make_itch
    from numi_bypass.merging import Disagreement, LineCounts, Merge, Run
    from numi_bypass.pool import Lease, Pool
    from numi_bypass.reading import Events, Raw, read
    from numi_bypass.recover import Recover
    from numi_bypass.recovery import Recovery
    from numi_bypass.replaying import bbo, replay, snapshots
    from numi_bypass.ring import Ring
    from numi_bypass.soup_client import SoupClient
    from numi_bypass.tape import Tape, TapeInfo, TapeReader, export_tape, read_tape, tape_info

_HOMES = {
    "Book": "book",
    "Books": "book",
    "Clock": "clock",
    "ClockFit": "clock",
    "Cut": "make",
    "Disagreement": "merging",
    "Events": "reading",
    "Faults": "cores",
    "Feed": "feeding",
    "Glimpse": "glimpse",
    "Histogram": "histogram",
    "Lease": "pool",
    "Ledger": "ledger",
    "LineCounts": "merging",
    "LineFaults": "make",
    "MadeDay": "make",
    "Merge": "merging",
    "Packing": "make",
    "PcapPort": "feeding",
    "Pool": "pool",
    "Raw": "reading",
    "Recover": "recover",
    "Recovery": "recovery",
    "RequestCarry": "carry",
    "Ring": "ring",
    "Run": "merging",
    "SimPort": "feeding",
    "SoupCarry": "carry",
    "SoupClient": "soup_client",
    "Stamp": "clock",
    "Tape": "tape",
    "TapeFeed": "feeding",
    "TapeInfo": "tape",
    "TapeReader": "tape",
    "bbo": "replaying",
    "build_info": "build",
    "crc32c": "checksum",
    "export_tape": "tape",
    "faults": "cores",
    "fifo": "cores",
    "lock_memory": "cores",
    "make_itch": "make",
    "pin": "cores",
    "read": "reading",
    "read_tape": "tape",
    "replay": "replaying",
    "snapshots": "replaying",
    "tape_info": "tape",
    "topology": "cores",
    "unlock_memory": "cores",
    "unpin": "cores",
}

__all__ = [
    "Book",
    "Books",
    "Clock",
    "ClockFit",
    "Cut",
    "Disagreement",
    "Events",
    "Faults",
    "Feed",
    "Glimpse",
    "Histogram",
    "Lease",
    "Ledger",
    "LineCounts",
    "LineFaults",
    "MadeDay",
    "Merge",
    "Packing",
    "PcapPort",
    "Pool",
    "Raw",
    "Recover",
    "Recovery",
    "RequestCarry",
    "Ring",
    "Run",
    "SimPort",
    "SoupCarry",
    "SoupClient",
    "Stamp",
    "Tape",
    "TapeFeed",
    "TapeInfo",
    "TapeReader",
    "bbo",
    "build_info",
    "crc32c",
    "errors",
    "export_tape",
    "faults",
    "fifo",
    "lock_memory",
    "make_itch",
    "pin",
    "read",
    "read_tape",
    "replay",
    "snapshots",
    "tape_info",
    "topology",
    "unlock_memory",
    "unpin",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("numi-bypass")
    if name == "errors":
        return import_module("numi_bypass.errors")
    if name in _HOMES:
        return getattr(import_module(f"numi_bypass.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'numi_bypass' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
