"""What is made from the compiled core is up to date, and what the documentation shows runs."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import numi_bypass

ROOT = Path(__file__).parent.parent
MODULES = [module.name for module in pkgutil.walk_packages(numi_bypass.__path__, "numi_bypass.")]


def test_stub_and_struct_tables_follow_the_core() -> None:
    result = subprocess.run(
        [sys.executable, "-P", ROOT / "ci" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "name", [name for name in MODULES if "_peer" not in name and not name.endswith(("_core", "__main__"))]
)
def test_doctests(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_public_name_is_there() -> None:
    for name in numi_bypass.__all__:
        assert getattr(numi_bypass, name) is not None
    assert dir(numi_bypass) == numi_bypass.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        numi_bypass.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, numi_bypass, numi_bypass.cli; print([m for m in ('numpy', 'rich', 'hdrh') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
