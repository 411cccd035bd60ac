"""Writes the cffi module's C source from the public headers: the one definition of every struct and function."""

import argparse
import subprocess
from pathlib import Path

import cffi

UMBRELLA = Path(__file__).with_name("numi.h")


def preprocess(compiler: list[str]) -> str:
    """The declarations of the umbrella header as cffi reads them: no system include, no inline function, no macro."""
    command = [*compiler, "-E", "-P", "-DNUMI_CDEF", f"-I{UMBRELLA.parent}", str(UMBRELLA)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Called by the build with the file to write and, after `--`, the compiler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("compiler", nargs="+")
    options = parser.parse_args()
    ffi = cffi.FFI()
    ffi.cdef(preprocess(options.compiler))
    ffi.set_source("numi_bypass._core", '#include "numi.h"')
    ffi.emit_c_code(str(options.output))


if __name__ == "__main__":
    main()
