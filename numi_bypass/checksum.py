"""CRC32C, by the CPU's own instruction where it has one."""

from typing import TYPE_CHECKING

from numi_bypass._ffi import ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Buffer


def crc32c(data: "Buffer", crc: int = 0) -> int:
    """The checksum of `data` after what `crc` covers.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    view = ffi.from_buffer(data)
    return int(lib.numi_crc32c(crc, view, len(view)))


def portable_crc32c(data: "Buffer", crc: int = 0) -> int:
    """The same without any instruction beyond the baseline."""
    view = ffi.from_buffer(data)
    return int(lib.numi_crc32c_portable(crc, view, len(view)))
