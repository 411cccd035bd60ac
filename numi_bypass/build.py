"""How the compiled core was built."""

import json
from typing import TypedDict

from numi_bypass._ffi import lib, text


class BuildInfo(TypedDict):
    """The build options that change what the core does."""

    version: str
    compiler: str
    arch: str
    optimization: str
    lto: bool
    sanitize: str
    checks: bool
    guard: bool
    plant: bool


def build_info() -> BuildInfo:
    """Compiler, optimisation, sanitizers, checks, guard and planted faults of the core that is loaded.

    >>> build_info()["version"]
    '0.1.0'
    """
    info = json.loads(text(lib.numi_build_info()))
    info.update({key: bool(info[key]) for key in ("lto", "checks", "guard", "plant")})
    result: BuildInfo = info
    return result
