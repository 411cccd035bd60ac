"""`numi-bypass features`: what is compiled in, what this machine lets us use, and why not."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from numi_bypass.cli import EXIT_OK

if TYPE_CHECKING:
    from numi_bypass.features import Feature


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Output only."""
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(options: argparse.Namespace) -> int:
    """Probe and print."""
    from numi_bypass.features import probe

    features = probe()
    if options.json:
        print(json.dumps({"features": [asdict(feature) for feature in features]}, indent=2))
        return EXIT_OK
    if sys.stdout.isatty():
        _print_table(features)
        return EXIT_OK
    for feature in features:
        usable = "usable" if feature.usable else "not usable"
        print(f"{feature.kind} {feature.name}: {_compiled(feature)}{usable}: {feature.note}")
    return EXIT_OK


def _compiled(feature: "Feature") -> str:
    return "" if feature.compiled is None else "compiled in, " if feature.compiled else "not compiled in, "


def _print_table(features: "list[Feature]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "compiled", "usable", "what / why not"):
        table.add_column(column, overflow="fold")
    for feature in features:
        compiled = "-" if feature.compiled is None else "yes" if feature.compiled else "no"
        table.add_row(feature.kind, feature.name, compiled, "yes" if feature.usable else "no", feature.note)
    Console(highlight=False).print(table)
