"""`numi-bypass tape`: what is on a tape, and its frames as a capture."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from numi_bypass.cli import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError, Parser
from numi_bypass.feeding import TapeFeed
from numi_bypass.tape import TapeInfo, export_tape, tape_info


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _print_pairs(**pairs: object) -> None:
    print(" ".join(f"{name}={_text(value)}" for name, value in pairs.items()))


def _config(raw: bytes) -> Any:
    """The JSON that it should be, else the text as it stands."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _document(info: TapeInfo) -> dict[str, Any]:
    pairs = {**asdict(info), "span_ns": info.span_ns, "replayable": info.replayable, "config": _config(info.config)}
    if info.error:
        return {**pairs, "status": "error"}
    return {name: value for name, value in pairs.items() if name != "error"}


def _print_info(info: TapeInfo) -> None:
    torn = f"{info.torn.size}_bytes_at_{info.torn.offset}" if info.torn else False
    _print_pairs(records=info.records, frames=info.frames, frame_bytes=info.frame_bytes, steps=info.steps)
    for line, count in info.lines.items():
        _print_pairs(line=line, frames=count)
    if info.span_ns is not None:
        _print_pairs(first_ns=info.first_ns, last_ns=info.last_ns, span_s=f"{info.span_ns / 1e9:.9f}")
    _print_pairs(counters=info.counters, clocks=info.clocks)
    _print_pairs(segments=f"{info.first_segment}-{info.last_segment}", blocks=info.blocks, file_bytes=info.file_bytes)
    _print_pairs(losses=info.losses, **{f"lost_{name}": count for name, count in asdict(info.lost).items()})
    _print_pairs(missing=info.missing, from_open=info.from_open, replayable=info.replayable)
    _print_pairs(closed=info.closed, torn=torn)
    print(f"config={json.dumps(_config(info.config))}")


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a tape's folder, or one of its segments")


def _run_info(options: argparse.Namespace) -> int:
    info = tape_info(options.file)
    if options.json:
        json.dump(_document(info), sys.stdout, indent=2)
        print()
    else:
        _print_info(info)
    if info.error:
        print(f"{options.prog}: {info.error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_info(parser)
    parser.add_argument("--out", metavar="PCAPNG", type=Path, required=True, help="the capture to write")


def _run_export(options: argparse.Namespace) -> int:
    exported = asdict(export_tape(options.file, options.out))
    if options.json:
        json.dump(exported, sys.stdout)
        print()
    else:
        _print_pairs(**exported)
    return EXIT_OK


def _setting(word: str) -> tuple[str, Any]:
    name, found, value = word.partition("=")
    if not found or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{word!r}: allowed NAME=VALUE, as window=4096")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _add_replay(parser: argparse.ArgumentParser) -> None:
    _add_info(parser)
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help="an option of the feed, changed"
    )


def _run_replay(options: argparse.Namespace) -> int:
    try:
        feed = TapeFeed(options.file, **dict(options.set))
    except (TypeError, ValueError) as error:
        raise CommandError(f"{options.file}: {error}", EXIT_USAGE) from error
    with feed:
        events = sum(len(batch) for batch in feed.run())
        ledger, counts = feed.ledger(), feed.counts()
        told: dict[str, object] = {"status": "ok" if ledger.whole else "failed", "events": events}
        told |= {name: counts[name] for name in ("frames", "gaps", "missing")}
        told |= {"event_hash": feed.event_hash}
        told |= {"state_hash": feed.state_hash()} if feed.keeps_books else {}
        if options.json:
            json.dump({**told, "ledger": asdict(ledger)}, sys.stdout)
            print()
        else:
            _print_pairs(**told)
        return EXIT_OK if ledger.whole else EXIT_FAILED


class _Action(NamedTuple):
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


_ACTIONS = {
    "info": _Action("what is on a tape: span, frames a line, losses, whether it can be replayed", _add_info, _run_info),
    "replay": _Action("the feed once more, step by step: its hashes", _add_replay, _run_replay),
    "export": _Action("the frames of a tape as a pcapng, one interface a line", _add_export, _run_export),
}
"""`tape NAME`: each with options of its own, and --json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Each action."""
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser, required=True)
    for name, action in _ACTIONS.items():
        subparser = subparsers.add_parser(name, help=action.summary, description=action.summary)
        action.add_arguments(subparser)
        subparser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    return _ACTIONS[options.action].run(options)
