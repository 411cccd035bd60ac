"""The depth chart of books: how much rests at each price or better."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numi_bypass import pictures
from numi_bypass.book import Book
from numi_bypass.cli import EXIT_USAGE, CommandError
from numi_bypass.reading import PRICE_SCALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES_MAX = 12
_BID, _ASK, _INK = "#2a7f62", "#c0504d", "#333333"


def check(path: Path, chosen: int) -> None:
    """Refuses before a long file is read what could not be drawn after it."""
    pictures.check(path)
    if chosen > AXES_MAX:
        raise CommandError(f"--plot: {chosen} symbols: allowed at most {AXES_MAX}", EXIT_USAGE)


def _prices(levels: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(levels["price"] / 10.0**PRICE_SCALE)


def _draw_side(axes: "Axes", levels: NDArray[Any], edge: float, colour: str) -> None:
    """Stairs from nothing at the best price to all of it at the edge of the picture."""
    prices = _prices(levels)
    # As floats: a sum of whole numbers could wrap.
    resting = np.cumsum(levels["quantity"].astype(np.float64))
    x, y = np.concatenate([prices[:1], prices, [edge]]), np.concatenate([[0.0], resting, resting[-1:]])
    axes.step(x, y, where="post", color=colour, linewidth=1.4)
    axes.fill_between(x, y, step="post", color=colour, alpha=0.18, linewidth=0)


def _draw_book(axes: "Axes", book: Book, depth: int) -> None:
    bids, asks = book.top(depth)
    prices = np.concatenate([_prices(bids), _prices(asks)])
    if len(prices):
        margin = 0.03 * float(np.ptp(prices)) or 0.01
        low, high = float(prices.min()) - margin, float(prices.max()) + margin
        _draw_side(axes, bids, low, _BID)
        _draw_side(axes, asks, high, _ASK)
        axes.set_xlim(low, high)
        axes.ticklabel_format(axis="x", useOffset=False, style="plain")
        axes.locator_params(axis="x", nbins=6)
    else:
        axes.text(0.5, 0.5, "no orders", transform=axes.transAxes, ha="center", color=_INK)
        axes.set_xticks([])
        axes.set_yticks([])
    # A dollar in a symbol is no formula.
    axes.set_title(_title(book), loc="left", fontsize=10, fontweight="bold", color=_INK, parse_math=False)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=8, color=_INK, labelcolor=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)


def _title(book: Book) -> str:
    best = book.bbo
    bid, ask = ("-" if price is None else f"{price / 10**PRICE_SCALE:,.4f}" for price in (best.bid, best.ask))
    state = ", crossed" if best.crossed else ", locked" if best.locked else ""
    return f"{book.symbol}   {bid} / {ask}{state}"


def draw(books: Sequence[Book], depth: int, path: Path) -> None:
    """One chart a book, in one picture."""
    if not books:
        raise CommandError("--plot: no message names an instrument: there is nothing to draw")
    if len(books) > AXES_MAX:
        choose = f"allowed at most {AXES_MAX}, choose them with --symbol"
        raise CommandError(f"--plot: {len(books)} symbols: {choose}", EXIT_USAGE)
    columns = 1 if len(books) == 1 else 2 if len(books) <= 4 else 3
    rows = -(-len(books) // columns)
    figure = pictures.blank(max(5.2 * columns, 7), 3.4 * rows)
    for place, book in enumerate(books):
        _draw_book(figure.add_subplot(rows, columns, place + 1), book, depth)
    from matplotlib.patches import Patch

    sides = [Patch(color=_BID, label="bids"), Patch(color=_ASK, label="asks")]
    figure.legend(handles=sides, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    figure.supxlabel("price, dollars", fontsize=9, color=_INK)
    figure.supylabel("shares at this price or better", fontsize=9, color=_INK)
    figure.savefig(path, dpi=120)
