"""Option types for the command line: each refuses with the value and what is allowed."""

import argparse
from collections.abc import Callable
from datetime import date


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number in a range; underscores between digits are fine."""

    def parse(word: str) -> int:
        allowed = f"{word!r}: allowed a whole number from {lowest} to {highest}"
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(allowed) from None
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(allowed)
        return value

    return parse


def power_of_two(lowest: int, highest: int) -> Callable[[str], int]:
    """A power of two in a range."""

    def parse(word: str) -> int:
        allowed = f"{word!r}: allowed a power of two from {lowest} to {highest}"
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(allowed) from None
        if not lowest <= value <= highest or value & (value - 1):
            raise argparse.ArgumentTypeError(allowed)
        return value

    return parse


def day(word: str) -> date:
    """A day as YYYY-MM-DD."""
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r}: allowed a day as YYYY-MM-DD") from None
