"""The command `numi-bypass`: finds the subcommand, turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not possible on this machine, 130 interrupted.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module, metadata
from typing import Any, NoReturn, TextIO

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_IMPOSSIBLE = 3
EXIT_INTERRUPTED = 130

COMMANDS = {
    "bench": "run benchmark scenarios: all of them, or one by name",
    "book": "the order books of a capture or of the two lines of a feed, at its end or at any moment",
    "decode": "a capture or the two lines of a feed as rows, Parquet, CSV or JSON lines",
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


class UsageError(CommandError):
    """Words that no parser takes; `prog` is the command whose help tells what it does."""

    def __init__(self, message: str, prog: str) -> None:
        super().__init__(message, EXIT_USAGE)
        self.prog = prog


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


class Parser(argparse.ArgumentParser):
    """argparse, but an error is told by the command, help tells defaults, and options are written in full.

    `options.prog` is the name of the innermost command that was asked for.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": _Help, "allow_abbrev": False, **options})
        self.set_defaults(prog=self.prog)

    def error(self, message: str) -> NoReturn:
        """To whoever parses."""
        raise UsageError(message, self.prog)


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
    extras = [key for key in ("checks", "guard", "plant") if info[key]]
    extras += [f"sanitize={info['sanitize']}"] if info["sanitize"] != "none" else []
    version = metadata.version("numi-bypass")
    print(" ".join([f"numi-bypass {version}", f"({info['compiler']}, {info['arch']})", *extras]))


def _exit_code_of(error: Exception) -> int:
    from numi_bypass import errors

    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, errors.UnsupportedError | errors.PermissionMissingError):
        return EXIT_IMPOSSIBLE
    return EXIT_USAGE if isinstance(error, errors.ArgumentError) else EXIT_FAILED


def warn(options: argparse.Namespace, lines: Iterable[str]) -> None:
    """What the user should know although the command goes on, a line each."""
    for line in lines:
        print(f"{options.prog}: warning: {line}", file=sys.stderr)


def _fail(error: Exception, prog: str, json_to: TextIO | None) -> int:
    """One line on stderr, and the document where one was asked for; returns the exit code."""
    from numi_bypass import errors

    detail = error.detail if isinstance(error, errors.NumiError) else str(error)
    code = _exit_code_of(error)
    hint = f" (see {prog} --help)" if code == EXIT_USAGE else ""
    print(f"{prog}: {detail}{hint}", file=sys.stderr)
    _print_end("error", detail, json_to)
    return code


def _print_end(status: str, error: str, json_to: TextIO | None) -> None:
    """The document of a command that has none of its own to show."""
    if json_to is not None:
        print(json.dumps({"status": status, "error": error}), file=json_to)


def _json_to(options: argparse.Namespace) -> TextIO | None:
    """Where a document goes, if one was asked for: not among the bytes of a day that goes to stdout itself."""
    if not getattr(options, "json", False):
        return None
    return sys.stderr if options.command == "make" and options.out == "-" else sys.stdout


def _run(options: argparse.Namespace) -> int:
    from numi_bypass import errors

    try:
        return int(import_module(f"numi_bypass.commands.{options.command}").run(options))
    except BrokenPipeError:
        raise  # no failure of the command's: main knows what it means
    except KeyboardInterrupt:
        _print_end("interrupted", "interrupted", _json_to(options))
        return EXIT_INTERRUPTED
    except (CommandError, errors.NumiError, OSError) as error:
        return _fail(error, options.prog, _json_to(options))


def _parse(words: list[str]) -> argparse.Namespace:
    parser = _parser(next((word for word in words if not word.startswith("-")), None))
    options, unknown = parser.parse_known_args(words)
    if unknown:
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)}", options.prog)
    if options.command is None and not options.version:
        parser.error(f"a command is missing: {', '.join(COMMANDS)}")
    return options


def _main(words: list[str]) -> int:
    try:
        options = _parse(words)
    except UsageError as error:
        return _fail(error, error.prog, sys.stdout if "--json" in words else None)
    if options.version:
        _print_version()
        return EXIT_OK
    return _run(options)


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
