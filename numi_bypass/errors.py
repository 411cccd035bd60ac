"""What can go wrong: one exception a code of the core, each also the builtin that Python users would catch.

>>> import numi_bypass as nb
>>> try:
...     nb.Pool(0)
... except ValueError as error:
...     print(error.name, "-", error.detail)
NUMI_ERR_ARGUMENT - frame_count=0: allowed a whole number from 1 to 16777216
"""


class NumiError(Exception):
    """An error of the core: `code` and `name` as in base/error.h, `detail` with the place and the remedy."""

    def __init__(self, code: int, name: str, detail: str, number: int = 0) -> None:
        super().__init__(f"{name}: {detail}")
        self.code = code
        self.name = name
        self.detail = detail
        self._number = number
        if isinstance(self, OSError) and number:
            OSError.__setattr__(self, "errno", number)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.name, self.detail, self._number)

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


class ArgumentError(NumiError, ValueError):
    """An argument is out of its range."""


class OutOfMemoryError(NumiError, MemoryError):
    """The memory asked for cannot be had."""


class SystemCallError(NumiError, OSError):
    """A system call failed."""


class PermissionMissingError(NumiError, PermissionError):
    """The process lacks a permission."""


class UnsupportedError(NumiError):
    """Not possible on this machine."""


class CorruptError(NumiError, ValueError):
    """The data contradict themselves."""


class VersionError(NumiError, ValueError):
    """Written by another version of the format."""


class ForeignError(NumiError, ValueError):
    """The object belongs to somebody else."""


class DoubleGiveError(NumiError, ValueError):
    """The frame has been given back already."""


class BusyError(NumiError, BlockingIOError):
    """Held by another process."""


class NotFoundError(NumiError, FileNotFoundError):
    """There is no such thing."""


class ExistsError(NumiError, FileExistsError):
    """It exists already."""


class UncalibratedError(NumiError, ValueError):
    """No calibration joins these clock domains."""


class UnknownSymbolError(KeyError):
    """No instrument is called so: `symbols` are those asked for, `near` what may have been meant."""

    def __init__(self, symbols: list[str], near: list[str], instrument_count: int) -> None:
        super().__init__(symbols, near, instrument_count)
        self.symbols = symbols
        self.near = near
        self._instrument_count = instrument_count

    def __str__(self) -> str:
        near = f"; near: {', '.join(map(repr, self.near))}" if self.near else ""
        return (
            f"none of the {self._instrument_count} instruments is called {' or '.join(map(repr, self.symbols))}{near}"
        )


class InputWarning(UserWarning):
    """A file was read, but not all of it: where it ends too early, or which messages could not be decoded."""


BY_NAME: dict[str, type[NumiError]] = {
    "NUMI_ERR_ARGUMENT": ArgumentError,
    "NUMI_ERR_NO_MEMORY": OutOfMemoryError,
    "NUMI_ERR_SYSTEM": SystemCallError,
    "NUMI_ERR_PERMISSION": PermissionMissingError,
    "NUMI_ERR_UNSUPPORTED": UnsupportedError,
    "NUMI_ERR_CORRUPT": CorruptError,
    "NUMI_ERR_VERSION": VersionError,
    "NUMI_ERR_FOREIGN": ForeignError,
    "NUMI_ERR_DOUBLE_GIVE": DoubleGiveError,
    "NUMI_ERR_BUSY": BusyError,
    "NUMI_ERR_NOT_FOUND": NotFoundError,
    "NUMI_ERR_EXISTS": ExistsError,
    "NUMI_ERR_UNCALIBRATED": UncalibratedError,
}


def exception_of(code: int, name: str, detail: str, number: int = 0) -> NumiError:
    """The exception for a code that the core returned; `number` is the errno behind it, if there was one."""
    return BY_NAME.get(name, NumiError)(code, name, detail, number)
