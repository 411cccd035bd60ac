"""The ledgers: what came in is what went out, by name, with no remainder."""

from dataclasses import dataclass, field

from numi_bypass._ffi import CData, ffi, lib, text


def _names(name_of: CData) -> tuple[str, ...]:
    names: list[str] = []
    while (name := name_of(len(names))) != ffi.NULL:
        names.append(text(name))
    return tuple(names)


FRAME_ROWS = _names(lib.numi_ledger_frame_row_name)
MESSAGE_ROWS = _names(lib.numi_ledger_message_row_name)


@dataclass(frozen=True)
class Ledger:
    """Frames and messages, by what became of them.

    >>> ledger = Ledger({"received": 3, "delivered": 2, "duplicate": 1}, {"carried": 5, "new": 4})
    >>> ledger.frames_remainder, ledger.messages_remainder, ledger.whole
    (0, 1, False)
    """

    frames: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = (set(self.frames) - set(FRAME_ROWS)) | (set(self.messages) - set(MESSAGE_ROWS))
        if unknown:
            raise ValueError(f"no such row: {', '.join(sorted(unknown))}")

    @classmethod
    def of(cls, ledger: CData) -> "Ledger":
        """A copy of a C ledger, every row by its name."""
        frames = dict(zip(FRAME_ROWS, ledger.frames, strict=True))
        return cls(frames, dict(zip(MESSAGE_ROWS, ledger.messages, strict=True)))

    def _as_c(self) -> CData:
        ledger = ffi.new("struct numi_ledger *")
        ledger.frames = [self.frames.get(row, 0) for row in FRAME_ROWS]
        ledger.messages = [self.messages.get(row, 0) for row in MESSAGE_ROWS]
        return ledger

    @property
    def frames_remainder(self) -> int:
        """Frames that no row explains."""
        return int(lib.numi_ledger_check_frames(self._as_c()))

    @property
    def messages_remainder(self) -> int:
        """Messages that no row explains."""
        return int(lib.numi_ledger_check_messages(self._as_c()))

    @property
    def whole(self) -> bool:
        """Whether both ledgers close without remainder."""
        return self.frames_remainder == 0 and self.messages_remainder == 0


@dataclass(frozen=True)
class PoolLedger:
    """Where the frames of a pool are: size = available + held + lent."""

    size: int
    available: int
    held: int
    lent: int
    misses: int
    return_drops: int

    @property
    def remainder(self) -> int:
        """Frames that are nowhere."""
        return self.size - self.available - self.held - self.lent
