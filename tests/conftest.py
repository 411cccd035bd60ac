"""Refuses to test a core that was built otherwise than asked: a run that finds the wrong one proves nothing."""

import os

import pytest
from hypothesis import settings

import numi_bypass

# No clock decides a test: a shared machine pauses when it likes.
settings.register_profile("unhurried", deadline=None, print_blob=True)
settings.load_profile("unhurried")

EXPECTED: dict[str, dict[str, object]] = {
    "release": {"sanitize": "none", "checks": False, "guard": False, "plant": False, "lto": True, "optimization": "3"},
    "asan": {"sanitize": "address,undefined", "checks": True, "guard": False, "plant": False},
    "overflow": {"sanitize": "address,undefined", "plant": True},
    "guard": {"sanitize": "none", "guard": True, "plant": True},
}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compare what is loaded with NUMI_EXPECT_BUILD."""
    wanted = os.environ.get("NUMI_EXPECT_BUILD", "release")
    info = numi_bypass.build_info()
    wrong = {key: info[key] for key, value in EXPECTED[wanted].items() if info[key] != value}  # type: ignore[literal-required]
    if wrong:
        pytest.exit(f"asked for a {wanted} core, found {wrong} in {numi_bypass.__file__}", returncode=4)


def pytest_report_header() -> str:
    """Say which core is under test."""
    return f"numi-bypass core: {numi_bypass.build_info()}"
