"""The tutorials, run from the first command to the last, as they stand; each program of the README by itself."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.S)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line[2:]) for line in text.splitlines() if line.startswith("$ ")]


def run(words: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{words}: {result.stderr}"
    assert result.stderr == "", words


@pytest.mark.parametrize("tutorial", sorted(DOCS.glob("tutorial-*.md")), ids=lambda path: path.stem)
def test_every_command_and_program_runs(tutorial: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(tutorial.read_text())
    assert blocks
    for kind, text in blocks:
        if kind == "python":
            run([sys.executable, "-W", "error", "-c", text], tmp_path)
        for words in commands(text) if kind == "console" else []:
            assert words[0] == "numi-bypass"
            run([sys.executable, "-m", "numi_bypass", *words[1:]], tmp_path)
    for picture in re.findall(r'savefig\("(.*?)"', tutorial.read_text()):
        assert (tmp_path / picture).stat().st_size > 10_000


README_PROGRAMS = [text for kind, text in BLOCK.findall((ROOT / "README.md").read_text()) if kind == "python"]


@pytest.mark.parametrize("text", README_PROGRAMS, ids=range(len(README_PROGRAMS)))
def test_every_program_of_the_readme_runs_by_itself(text: str, tmp_path: Path) -> None:
    run([sys.executable, "-W", "error", "-c", text], tmp_path)
