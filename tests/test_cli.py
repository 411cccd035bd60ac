"""The command line as a user meets it: what it prints, and with which code it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import numi_bypass
from numi_sim.model import mold
from tests.traffic import COMMAND, FIRST, add, numi, recorded


def key_values(line: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in line.split())


def test_version_and_help() -> None:
    assert numi("--version").stdout.startswith("numi-bypass 0.")
    shown = numi("--help")
    assert shown.returncode == 0
    assert "bench" in shown.stdout
    assert "features" in shown.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "command is missing"),
        (["nonsense"], "nonsense"),
        (["bench", "nonsense"], "nonsense"),
        (["bench", "pool-soak", "--pool", "0"], "--pool: '0': allowed a whole number from 1"),
        (["bench", "pool-soak", "--frame", "100"], "allowed a power of two from 128"),
        (["bench", "pool-soak", "--frame", "1000"], "allowed a power of two"),
        (["bench", "pool-soak", "--rounds", "many"], "'many'"),
        (["bench", "pool-soak", "--pool", "8", "--batch", "64"], "--batch 64: allowed 1 to --pool (8)"),
        (["features", "--colour"], "--colour"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(words: list[str], named: str) -> None:
    result = numi(*words)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr


@pytest.mark.parametrize(
    ("words", "prog"),
    [
        (["--colour"], "numi-bypass"),
        (["features", "--colour"], "numi-bypass features"),
        (["book", "x", "--colour"], "numi-bypass book"),
        (["book", "x", "--depth", "0"], "numi-bypass book"),
        (["book", "-", "-"], "numi-bypass book"),
        (["make", "itch", "x", "--colour"], "numi-bypass make itch"),
        (["bench", "pool-soak", "--colour"], "numi-bypass bench pool-soak"),
        (["decode", "x", "--out", "x.xlsx"], "numi-bypass decode"),
    ],
)
def test_a_hint_names_the_command_whose_help_tells(words: list[str], prog: str) -> None:
    result = numi(*words)
    assert result.returncode == 2
    assert result.stderr.startswith(f"{prog}: ")
    assert result.stderr.endswith(f" (see {prog} --help)\n")


def test_options_are_written_in_full() -> None:
    assert numi("features", "--js").returncode == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--json"], 2),
        (["nonsense", "--json"], 2),
        (["features", "--json", "--colour"], 2),
        (["bench", "--json", "pool-soak", "--pool", "8", "--batch", "64"], 2),
        (["bench", "pool-soak", "--pool", "none", "--json"], 2),
        (["make", "itch", "/nonexistent/x.itch", "--json"], 1),
        (["make", "itch", "/nonexistent/x.itch", "--loss", "1", "--json"], 2),
        (["decode", "/nonexistent", "--json"], 1),
        (["decode", "--json"], 2),
        (["decode", "-", "-", "--json"], 2),
        (["book", "/nonexistent", "--json"], 1),
        (["book", "-", "-", "--json"], 2),
        (["book", "x", "--at", "noon", "--json"], 2),
    ],
)
def test_an_error_is_one_document_too(words: list[str], code: int) -> None:
    result = numi(*words)
    document = json.loads(result.stdout)
    assert result.returncode == code
    assert document["status"] == "error"
    assert document["error"] in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_broken_file_is_one_document_with_what_stands_before(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.pcap", mold.encode(FIRST, 1, [add(1)]))
    path.write_bytes(path.read_bytes() + b"\xff" * 16)
    for command in ("book", "decode"):
        result = numi(command, path, "--json")
        document = json.loads(result.stdout)
        assert (result.returncode, document["status"]) == (1, "error")
        assert document["error"] in result.stderr
        assert document["books"] if command == "book" else document["rows"]


def test_a_document_does_not_go_among_the_bytes_of_a_day() -> None:
    words = ("make", "itch", "-", "--messages", 1000, "--symbols", 2, "--json")
    made = numi(*words, text=False)
    assert json.loads(made.stderr)["itch_bytes"] == len(made.stdout)
    failed = numi(*words, "--loss", "1")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert json.loads(failed.stderr.splitlines()[-1])["status"] == "error"


def test_an_interrupted_command_is_one_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = [sys.executable, "-c", INTERRUPTIBLE, "book", str(tmp_path / "pipe"), "--json"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with started as process, (tmp_path / "pipe").open("wb"):  # opened at both ends: the command reads, and waits
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert json.loads(out) == {"status": "interrupted", "error": "interrupted"}


@pytest.mark.parametrize("command", ["book", "decode"])
def test_stdin_can_be_named_once(command: str) -> None:
    result = numi(command, "-", "-")
    assert (result.returncode, result.stdout) == (2, "")
    assert "- and -: stdin can be named once" in result.stderr


def test_pool_soak_says_that_nothing_was_lost() -> None:
    result = numi("bench", "pool-soak", "--pool", "1024", "--frame", "2048", "--rounds", "1500", "--batch", "64")
    last = key_values(result.stdout.splitlines()[-1])
    assert result.returncode == 0
    assert (last["operations"], last["misses"], last["return_drops"], last["status"]) == ("96000", "0", "0", "ok")


def test_hot_paths_smoke_measures_every_operation() -> None:
    result = numi("bench", "hot-paths", "--smoke", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    operations = {row["operation"] for row in document["rows"]}
    assert document["status"] == "ok"
    assert {"ring_push", "ring_pop_batch", "pool_take", "histogram", "crc32c_64_bytes", "clock_now"} <= operations
    assert {"ring_one_way", "ring_against_cpp"} <= operations


def test_json_is_one_document_on_stdout() -> None:
    assert json.loads(numi("features", "--json").stdout)["features"]
    assert json.loads(numi("bench", "list", "--json").stdout)["scenarios"]["pool-soak"]
    assert json.loads(numi("bench", "--json", "pool-soak", "--pool", "64").stdout)["operations"] == 640_000


def test_features_tell_why_not() -> None:
    features = json.loads(numi("features", "--json").stdout)["features"]
    assert {"port", "plugin", "cpu", "memory", "permission"} == {feature["kind"] for feature in features}
    assert all(feature["note"] for feature in features)


INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
from numi_bypass.cli import main
sys.exit(main(sys.argv[1:]))
"""


def interrupted_soak(after_s: float) -> tuple[int, str, str]:
    """Ctrl-C so long after the soak's pool was mapped."""
    words = [sys.executable, "-c", INTERRUPTIBLE, "bench", "pool-soak", "--rounds", str(10**11)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not has_large_mapping(process.pid):
            time.sleep(0.05)
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate()
    return process.returncode, out, errors


def test_ctrl_c_shows_what_was_measured_so_far() -> None:
    # On a loaded machine, or with checks on, the first signal may come before the first rounds are counted.
    for after_s in (0.5, 2, 8, 20):
        code, out, errors = interrupted_soak(after_s)
        assert (code, errors, len(out.splitlines())) == (130, "", 1)
        last = key_values(out)
        assert last["status"] == "interrupted"
        if int(last.get("operations", 0)) > 0:
            break
    assert int(last["operations"]) > 0


def has_large_mapping(pid: int) -> bool:
    """Whether the process maps as much as the soak's pool, 128 MiB, in one piece; sanitizers reserve terabytes."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return False
    spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    return any(128 << 20 <= last - first <= 192 << 20 for first, last in spans)


def test_a_reader_that_goes_away_is_no_error() -> None:
    result = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} features --json | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert result.stdout.split() == ["{", "0"]
    assert result.stderr == ""


def test_the_folder_of_the_sources_says_what_to_do(tmp_path: Path) -> None:
    sources = tmp_path / "numi_bypass"
    installed = Path(numi_bypass.__file__).parent
    shutil.copytree(installed, sources, ignore=lambda _, names: [name for name in names if name.startswith("_core")])
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    words = [sys.executable, "-c", "import numi_bypass"]
    result = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    said = f"ImportError: {sources} has no compiled core: run from another folder or with python -P; where "
    assert result.stderr.splitlines()[-1].startswith(said)
