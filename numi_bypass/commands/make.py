"""`numi-bypass make`: synthetic traffic, the same bytes for the same options."""

import argparse
import json
import sys
from dataclasses import asdict

from numi_bypass import errors, make
from numi_bypass.cli import EXIT_OK, EXIT_USAGE, CommandError, Parser
from numi_bypass.options import day, whole
from numi_bypass.progress import Progress


def _chance(word: str) -> make.Pair:
    try:
        values = [float(part) for part in word.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"{word!r}: allowed a chance from 0 to 1, or two as 0.01,0")
    return values[0] if len(values) == 1 else (values[0], values[1])


def _most(word: str) -> tuple[int, int]:
    values = [whole(0, 65534)(part) for part in word.split(",")]
    if len(values) > 2:
        raise argparse.ArgumentTypeError(f"{word!r}: allowed one number, or one for A and one for B")
    return values[0], values[-1]


def _cut(word: str) -> make.Cut:
    line, _, times = word.partition(":")
    start, _, length = times.partition(":")
    if line not in make.LINES or not start.isdecimal() or not length.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r}: allowed LINE:FROM_MS:LENGTH_MS, as A:34200000:200 for 09:30:00")
    return make.Cut(line, int(start), int(length))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`make itch OUT` and what the day is like."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, parser_class=Parser)
    summary = "a trading day of ITCH 5.0, bare or as captures of two lines"
    itch = kinds.add_parser("itch", help=summary, description=summary)
    itch.add_argument("out", metavar="OUT", help="the file; .gz and .zst compress, - is stdout (bare only)")
    itch.add_argument("--messages", type=whole(make.MESSAGES_MIN, 2**40), default=1_000_000, help="of the whole day")
    itch.add_argument("--symbols", type=whole(1, make.SYMBOLS_MAX), default=100, help="at most a fifth of the messages")
    itch.add_argument("--seed", type=whole(0, 2**64 - 1), default=1, help="another number, another day")
    itch.add_argument("--live", type=whole(0, make.LIVE_MAX), default=0, help="orders alive at the peak; 0: as usual")
    itch.add_argument("--format", choices=make.FORMATS, help="by the ending of OUT unless given")
    itch.add_argument("--json", action="store_true", help="one JSON document on stdout")
    _add_line_arguments(itch.add_argument_group("captures (pcap: -A and -B before the ending; pcapng: one file)"))


def _add_line_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--loss", type=_chance, metavar="P", help="of a packet, never of a message on both lines")
    group.add_argument("--both-loss", action="store_true", help="what one line loses the other may lose as well")
    group.add_argument("--duplicates", type=_chance, metavar="P", help="of a packet to come twice")
    group.add_argument("--reorder", type=_chance, metavar="P", help="of a packet to come after later ones")
    group.add_argument("--displacement", type=whole(1, 32), help="after how many at most (4)")
    group.add_argument(
        "--cut", type=_cut, action="append", metavar="LINE:FROM_MS:LENGTH_MS",
        help="a line is silent: ms since midnight in New York, and for how long; may be given again",
    )  # fmt: skip
    group.add_argument("--skew-ns", type=whole(-(2**60), 2**60), help="how much later B arrives; below 0: A")
    group.add_argument("--packet-messages", type=_most, metavar="N[,N]", help="the most in a packet, of A and of B")
    group.add_argument("--mtu", type=whole(128, 9000), help="bytes of an IP packet (1500)")
    group.add_argument("--heartbeat-ms", type=whole(0, 10**9), help="a heartbeat after so long (10000); 0: none")
    group.add_argument("--date", type=day, help=f"the New York day of the stamps ({make.DAY})")


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _faults(options: argparse.Namespace) -> make.LineFaults | None:
    given = _given(
        loss=options.loss,
        duplicates=options.duplicates,
        reorder=options.reorder,
        displacement=options.displacement,
        cuts=options.cut,
        skew_ns=options.skew_ns,
        both_loss=options.both_loss,
    )
    return make.LineFaults(**given) if given else None  # type: ignore[arg-type]


def _packing(options: argparse.Namespace) -> make.Packing | None:
    given = _given(
        day=options.date, messages=options.packet_messages, mtu=options.mtu, heartbeat_ms=options.heartbeat_ms
    )
    return make.Packing(**given) if given else None  # type: ignore[arg-type]


def run(options: argparse.Namespace) -> int:
    """Write the day and say what it holds."""
    progress = Progress()
    try:
        made = make.make_itch(
            options.out,
            messages=options.messages,
            symbols=options.symbols,
            seed=options.seed,
            live=options.live,
            format=options.format,
            faults=_faults(options),
            packing=_packing(options),
            tell=lambda done, of: progress.show(done, lambda: (done, of)),
        )
    except errors.NumiError:
        raise
    except ValueError as error:
        raise CommandError(str(error), EXIT_USAGE) from None
    finally:
        progress.end()
    _print(made, as_json=options.json, to_stdout=options.out == "-")
    return EXIT_OK


def _pairs(values: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _print(made: make.MadeDay, *, as_json: bool, to_stdout: bool) -> None:
    """What was written; on stderr where the day itself went to stdout."""
    out = sys.stderr if to_stdout else sys.stdout
    document = asdict(made)
    if as_json:
        print(json.dumps(document, indent=2), file=out)
        return
    by_type, files, lines = (document.pop(name) for name in ("by_type", "files", "lines"))
    print(_pairs(document), file=out)
    print(_pairs(by_type), file=out)
    for line, counts in lines.items():
        print(_pairs({"line": line, **counts}), file=out)
    for name, size in files.items():
        print(_pairs({"file": name, "bytes": size}), file=out)
