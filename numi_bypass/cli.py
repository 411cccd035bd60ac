"""The command `numi-bypass`: finds the subcommand, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not possible on this machine, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any, NoReturn

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_IMPOSSIBLE = 3
EXIT_INTERRUPTED = 130

COMMANDS = {
    "bench": "run benchmark scenarios: all of them, or one by name",
    "book": "the order books of a capture or of the two lines of a feed, at its end or at any moment",
    "decode": "files of exchange traffic as rows, Parquet, CSV or JSON lines",
    "features": "what this build and this machine can do, and why not",
    "lines": "the two lines of a feed beside each other: loss, duplicates, order, skew, and what each rescued",
    "make": "synthetic traffic: a trading day, bare or on two lines with faults",
    "tape": "what a feed recorded: what is on a tape, and its frames as a capture",
}
"""Each is a module of numi_bypass.commands with `add_arguments(parser)` and `run(options) -> exit code`."""


class CommandError(Exception):
    """A failure to be told in one line; `exit_code` says of what kind."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line, and help tells defaults."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Exit with the usage code."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(command: str | None) -> Parser:
    """The parser; only the command that is asked for is imported."""
    parser = Parser(prog="numi-bypass", description="Market data from the NIC's queue to an order-by-order book.")
    parser.epilog = "Exit codes: 0 done, 1 failed, 2 usage, 3 not possible on this machine, 130 interrupted."
    parser.add_argument("--version", action="store_true", help="print the version and how the core was built")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == command:
            import_module(f"numi_bypass.commands.{name}").add_arguments(subparser)
    return parser


def _print_version() -> None:
    from numi_bypass.build import build_info

    info = build_info()
    extras = [key for key in ("checks", "guard") if info[key]]
    extras += [f"sanitize={info['sanitize']}"] if info["sanitize"] != "none" else []
    extras += [f"plant={info['plant']}"] if info["plant"] != "NONE" else []
    version = metadata.version("numi-bypass")
    print(" ".join([f"numi-bypass {version}", f"({info['compiler']}, {info['arch']})", *extras]))


def _exit_code_of(error: Exception) -> int:
    from numi_bypass import errors

    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, errors.UnsupportedError | errors.PermissionMissingError):
        return EXIT_IMPOSSIBLE
    return EXIT_USAGE if isinstance(error, errors.ArgumentError) else EXIT_FAILED


def _run(command: str, options: argparse.Namespace) -> int:
    from numi_bypass import errors

    try:
        return int(import_module(f"numi_bypass.commands.{command}").run(options))
    except BrokenPipeError:
        raise  # no failure of the command's: main knows what it means
    except (CommandError, errors.NumiError, OSError) as error:
        detail = error.detail if isinstance(error, errors.NumiError) else str(error)
        print(f"numi-bypass {command}: {detail}", file=sys.stderr)
        return _exit_code_of(error)


def _main(words: list[str]) -> int:
    command = next((word for word in words if not word.startswith("-")), None)
    parser = _parser(command)
    options = parser.parse_args(words)
    if options.version:
        _print_version()
        return EXIT_OK
    if options.command is None:
        parser.error(f"a command is missing: {', '.join(COMMANDS)}")
    return _run(options.command, options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        if sys.stdout is None:
            print("numi-bypass: standard output is closed", file=sys.stderr)
            return EXIT_FAILED
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        # Nothing more can be said there, not even by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_OK  # the reader has what it wanted (`| head`)
        print(f"numi-bypass: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
