"""The two lines of a feed by minute: what each lost, what each rescued, and what both lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numi_bypass import pictures

if TYPE_CHECKING:
    from numi_bypass.commands.lines import Minute
    from numi_bypass.merging import Line

_COLOURS: "dict[Line, str]" = {"A": "#2a7f62", "B": "#c0504d"}
_ROWS = {"missing": "messages it never brought", "rescued": "messages it alone brought", "first": "messages it won"}


def draw(path: Path, minutes: "Sequence[Minute]") -> None:
    """One panel a count, a step a minute."""
    figure = pictures.blank(9, 7)
    places = range(len(minutes))
    panels = figure.subplots(len(_ROWS), 1, sharex=True)
    for panel, (key, title) in zip(panels, _ROWS.items(), strict=True):
        for name, colour in _COLOURS.items():
            counts = [minute.lines[name][key] for minute in minutes]
            panel.step(places, counts, where="mid", color=colour, label=f"line {name}", linewidth=1.4)
        panel.set_title(title, loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].plot(places, [minute.lost for minute in minutes], "kx", label="lost on both")
    panels[0].legend(frameon=False, fontsize=9)
    panels[-1].set_xticks(list(places), [minute.name for minute in minutes], rotation=60, fontsize=8)
    panels[-1].set_xlabel("minute, UTC")
    figure.savefig(path, dpi=120)
