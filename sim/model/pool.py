"""A pool of frames as a set of names: slow, plain, and obviously right."""

from dataclasses import dataclass, field


@dataclass
class PoolModel:
    """Which frames are where; indices are what the pool hands out, in whatever order."""

    size: int
    held: set[int] = field(default_factory=set)
    lent: set[int] = field(default_factory=set)
    misses: int = 0
    return_drops: int = 0

    @property
    def available(self) -> int:
        """Frames that are neither held nor lent."""
        return self.size - len(self.held) - len(self.lent)

    def take(self, wanted: int, got: list[int]) -> None:
        """The pool was asked for `wanted` and said `got`: is that what it should have said?"""
        assert len(got) == min(wanted, self.available), "took fewer than there were, or more"
        assert len(set(got)) == len(got), "took one frame twice"
        assert not set(got) & (self.held | self.lent), "took a frame that was out already"
        assert all(0 <= index < self.size for index in got), "took a frame of nowhere"
        self.misses += wanted - len(got)
        self.held |= set(got)

    def give(self, index: int) -> bool:
        """Whether a checking pool takes this frame back."""
        if index not in self.held:
            self.return_drops += 1
            return False
        self.held.remove(index)
        return True

    def lend(self, index: int) -> bool:
        """Whether this frame can be lent."""
        if index not in self.held:
            return False
        self.held.remove(index)
        self.lent.add(index)
        return True

    def reclaim(self, index: int) -> bool:
        """Whether this frame can come home."""
        if index not in self.lent:
            return False
        self.lent.remove(index)
        self.held.add(index)
        return True
