"""Kinds of pages, by name."""

from numi_bypass._ffi import lib, text

PAGES: dict[str, int] = {text(lib.numi_pages_name(kind)): kind for kind in range(int(lib.NUMI_PAGES_COUNT))}
"""What a pool or a ring may ask for: auto, 4k, transparent, 2m, 1g."""

PAGE_NAMES: dict[int, str] = {kind: name for name, kind in PAGES.items()}


def pages_of(name: str) -> int:
    """The C constant for a kind of pages."""
    if name not in PAGES:
        raise ValueError(f"pages={name!r}: allowed {', '.join(PAGES)}")
    return PAGES[name]
