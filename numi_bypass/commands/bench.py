"""`numi-bypass bench`: runs scenarios and prints what they measured."""

import argparse
import json
import sys
from importlib import import_module

from numi_bypass.bench import SCENARIOS, Report, Scenario
from numi_bypass.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, Parser


def _module(name: str) -> Scenario:
    return import_module(f"numi_bypass.bench.{name.replace('-', '_')}")


def _add_common(parser: argparse.ArgumentParser) -> None:
    # The default is set once, by the outer parser: a subparser's own would overwrite `bench --json hot-paths`.
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`bench`, `bench list`, and each scenario with options of its own."""
    _add_common(parser)
    parser.set_defaults(json=False)
    subparsers = parser.add_subparsers(dest="scenario", metavar="SCENARIO", parser_class=Parser)
    _add_common(subparsers.add_parser("list", help="name the scenarios"))
    for name, summary in SCENARIOS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        _add_common(subparser)
        _module(name).add_arguments(subparser)


def _defaults(name: str) -> argparse.Namespace:
    parser = Parser(prog=f"numi-bypass bench {name}")
    _module(name).add_arguments(parser)
    return parser.parse_args([])


def _run_scenario(name: str, options: argparse.Namespace, quick: bool, echo: bool) -> Report:
    report = Report(name, echo=echo)
    try:
        _module(name).run(options, report, quick)
    except KeyboardInterrupt:
        if report.status == "running":
            report.finish("interrupted")
    return report


def _list(as_json: bool) -> int:
    if as_json:
        print(json.dumps({"scenarios": SCENARIOS}, indent=2))
    else:
        for name, summary in SCENARIOS.items():
            print(f"{name:<12} {summary}")
    return EXIT_OK


def _exit_code(reports: list[Report]) -> int:
    states = {report.status for report in reports}
    if "failed" in states:
        return EXIT_FAILED
    return EXIT_INTERRUPTED if "interrupted" in states else EXIT_OK


def run(options: argparse.Namespace) -> int:
    """Run one scenario, or all of them in their quick profile."""
    if options.scenario == "list":
        return _list(options.json)
    quick = options.scenario is None
    reports: list[Report] = []
    for name in SCENARIOS if quick else [options.scenario]:
        if quick and not options.json:
            print(f"scenario={name}")
        reports.append(_run_scenario(name, _defaults(name) if quick else options, quick, not options.json))
        if reports[-1].status == "interrupted":
            break
    code = _exit_code(reports)
    if options.json:
        documents = [report.document() for report in reports]
        json.dump({"scenarios": documents} if quick else documents[0], sys.stdout, indent=2)
        print()
    elif quick:
        status = {EXIT_OK: "ok", EXIT_INTERRUPTED: "interrupted"}.get(code, "failed")
        print(f"scenarios={len(reports)} status={status}")
    return code
