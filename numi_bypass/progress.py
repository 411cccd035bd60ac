"""How far a long command has come: one line on stderr, on a terminal only."""

import sys
import time
from collections.abc import Callable

_INTERVAL_S = 0.2


class Progress:
    """Rate and time left."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def show(self, messages: int, part: Callable[[], tuple[int, int]]) -> None:
        """At most five times a second. `part` says how much is done of how much; below 0: nobody knows."""
        now = time.monotonic()
        if not self._on or now - self._shown < _INTERVAL_S:
            return
        self._shown = now
        (done, of), elapsed = part(), now - self._started
        left = f", {elapsed * (of - done) / done:.0f} s left" if 0 < done <= of else ""
        sys.stderr.write(f"\r{messages:,} messages, {messages / elapsed / 1e6:.2f} M/s{left}\x1b[K")

    def end(self) -> None:
        """Clear the line."""
        if self._on:
            sys.stderr.write("\r\x1b[K")
