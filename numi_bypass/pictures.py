"""What pictures of commands have in common: matplotlib, if it is there, and the name that one is drawn to."""

from pathlib import Path

from numi_bypass.cli import EXIT_IMPOSSIBLE, EXIT_USAGE, CommandError

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise CommandError("matplotlib is missing: pip install 'numi-bypass[plot]'", EXIT_IMPOSSIBLE) from error

_ENDINGS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Refuses before long files are read what could not be drawn after it."""
    if path.suffix not in _ENDINGS:
        raise CommandError(f"--plot {path}: allowed a name that ends in {', '.join(_ENDINGS)}", EXIT_USAGE)
    if not path.parent.is_dir():
        raise CommandError(f"--plot {path}: there is no folder {path.parent}")


def blank(width: float, height: float) -> Figure:
    """An empty picture, in inches, that needs no screen."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
