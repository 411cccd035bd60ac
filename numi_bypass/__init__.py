"""Market data from the NIC's queue to an order-by-order book: a C core, driven from Python.

Everything here is imported when first used, so that `import numi_bypass` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numi_bypass import errors
    from numi_bypass.book import Book, Books
    from numi_bypass.build import build_info
    from numi_bypass.carry import RequestCarry, SoupCarry
    from numi_bypass.checksum import crc32c
    from numi_bypass.clock import Clock, ClockFit, Stamp
    from numi_bypass.cores import Faults, faults, fifo, lock_memory, pin, topology, unlock_memory, unpin
    from numi_bypass.glimpse import Glimpse
    from numi_bypass.histogram import Histogram
    from numi_bypass.ledger import Ledger
    from numi_bypass.make import Cut, LineFaults, MadeDay, Packing, make_itch
    from numi_bypass.pool import Lease, Pool
    from numi_bypass.reading import Events, Raw, read
    from numi_bypass.recover import Recover
    from numi_bypass.replaying import bbo, replay, snapshots
    from numi_bypass.ring import Ring
    from numi_bypass.soup_client import SoupClient

_HOMES = {
    "Book": "book",
    "Books": "book",
    "Clock": "clock",
    "ClockFit": "clock",
    "Cut": "make",
    "Events": "reading",
    "Faults": "cores",
    "Glimpse": "glimpse",
    "Histogram": "histogram",
    "Lease": "pool",
    "Ledger": "ledger",
    "LineFaults": "make",
    "MadeDay": "make",
    "Packing": "make",
    "Pool": "pool",
    "Raw": "reading",
    "Recover": "recover",
    "RequestCarry": "carry",
    "Ring": "ring",
    "SoupCarry": "carry",
    "SoupClient": "soup_client",
    "Stamp": "clock",
    "bbo": "replaying",
    "build_info": "build",
    "crc32c": "checksum",
    "faults": "cores",
    "fifo": "cores",
    "lock_memory": "cores",
    "make_itch": "make",
    "pin": "cores",
    "read": "reading",
    "replay": "replaying",
    "snapshots": "replaying",
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
    "Events",
    "Faults",
    "Glimpse",
    "Histogram",
    "Lease",
    "Ledger",
    "LineFaults",
    "MadeDay",
    "Packing",
    "Pool",
    "Raw",
    "Recover",
    "RequestCarry",
    "Ring",
    "SoupCarry",
    "SoupClient",
    "Stamp",
    "bbo",
    "build_info",
    "crc32c",
    "errors",
    "faults",
    "fifo",
    "lock_memory",
    "make_itch",
    "pin",
    "read",
    "replay",
    "snapshots",
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
