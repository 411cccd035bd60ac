"""The instruments of a session: what each is called, and its number on the wire."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from numi_bypass._ffi import CData, ffi, lib


@dataclass(frozen=True)
class Directory:
    """As far as messages have named them, by instrument: within a session more come, and none changes its place."""

    session: int
    padded: bytes
    """The symbols as the wire has them, eight letters each; spaces where no message named it."""
    locates: NDArray[np.uint16] = field(compare=False)

    @classmethod
    def of(cls, decoder: CData, session: int = 0) -> "Directory":
        """A copy of what a decoder knows now."""
        count = int(decoder.instrument_count)
        locates = np.frombuffer(ffi.buffer(decoder.locate_of, 2 * count), np.uint16).copy()
        return cls(session, ffi.buffer(decoder.symbol_of, int(lib.NUMI_ITCH_SYMBOL_SIZE) * count)[:], locates)

    @cached_property
    def symbols(self) -> NDArray[np.bytes_]:
        """The symbol of each, stripped; empty where no message named it."""
        return np.strings.rstrip(np.frombuffer(self.padded, "S8"), b" ")

    def instrument_of_locate(self) -> NDArray[np.int64]:
        """The instrument of each locate; -1 where it was not met."""
        table = np.full(int(lib.NUMI_ITCH_LOCATE_COUNT), -1, np.int64)
        table[self.locates] = np.arange(len(self.locates))
        return table
