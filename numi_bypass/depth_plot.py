"""The depth chart of books: how much rests at each price or better."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numi_bypass.book import Book
from numi_bypass.cli import EXIT_FAILED, EXIT_IMPOSSIBLE, CommandError
from numi_bypass.reading import PRICE_SCALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES_MAX = 12
_BID, _ASK, _INK = "#2a7f62", "#c0504d", "#333333"


def _draw_side(axes: "Axes", levels: "np.ndarray[Any, Any]", colour: str, name: str) -> None:
    if len(levels) == 0:
        return
    prices = levels["price"] / 10.0**PRICE_SCALE
    resting = np.cumsum(levels["quantity"])
    axes.step(prices, resting, where="post", color=colour, linewidth=1.4, label=name)
    axes.fill_between(prices, resting, step="post", color=colour, alpha=0.18)


def _draw_book(axes: "Axes", book: Book, depth: int) -> None:
    bids, asks = book.top(depth)
    _draw_side(axes, bids, _BID, "bids")
    _draw_side(axes, asks, _ASK, "asks")
    best = book.bbo
    if best.bid is not None and best.ask is not None:
        axes.axvline((best.bid + best.ask) / 2 / 10.0**PRICE_SCALE, color=_INK, linewidth=0.8, linestyle=":")
    axes.set_title(book.symbol, loc="left", fontsize=10, fontweight="bold", color=_INK)
    axes.set_xlabel("price", fontsize=8)
    axes.set_ylabel("shares at this price or better", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def draw(books: Sequence[Book], depth: int, path: Path) -> None:
    """One chart a book, in one picture."""
    if not 1 <= len(books) <= AXES_MAX:
        raise CommandError(f"--plot draws 1 to {AXES_MAX} symbols, not {len(books)}: choose them with --symbol")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CommandError("matplotlib is missing: pip install 'numi-bypass[plot]'", EXIT_IMPOSSIBLE) from error
    columns = 1 if len(books) == 1 else 2 if len(books) <= 4 else 3
    rows = -(-len(books) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, book in enumerate(books):
        _draw_book(figure.add_subplot(rows, columns, place + 1), book, depth)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise CommandError(f"--plot {path}: {error}", EXIT_FAILED) from error
