"""Tables for the terminal: on narrow ones text folds first, then figures, and never inside a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bpr_cli.errors import printable

if TYPE_CHECKING:
    from rich.table import Table

LONGEST_WORD, LEAST = 14, 8
"""Characters of a text column: words up to this length are kept whole until figures fold; what remains in any case."""

_FIGURE = re.compile(r"|-|[-+]?\d.*")
_FRAME, _GAP = 3, 1
"""Characters around each column: with a frame, and without one."""


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """Lay out a table.

    It has a frame if no figure need fold for it. Where even folded figures do not fit, it is wider than ``width``.

    Args:
        columns: headings.
        rows: cells. A column whose cells are empty, dashes or begin with a digit holds figures, which are aligned
            right; the first column never does.
        width: characters of a line.
    """
    from rich.box import HEAVY_HEAD  # noqa: PLC0415 - help texts need not wait for rich
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[printable(cell) for cell in row] for row in rows]
    by_column = [[row[index] for row in cells] for index in range(len(columns))]
    figures = [index > 0 and all(map(_FIGURE.fullmatch, column)) for index, column in enumerate(by_column)]
    frame, gaps = _FRAME * len(columns) + 1, _GAP * (len(columns) - 1)
    widths = _widths(columns, by_column, figures, width - frame, fold_figures=False)
    if widths:
        table = Table(box=HEAVY_HEAD, width=sum(widths) + frame)
    else:
        widths = _widths(columns, by_column, figures, width - gaps)
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, width=sum(widths) + gaps)
    for heading, is_figure, fitted in zip(columns, figures, widths, strict=True):
        table.add_column(Text(heading), justify="right" if is_figure else "left", overflow="fold", width=fitted)
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _widths(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    figures: Sequence[bool],
    room: int,
    fold_figures: bool = True,
) -> list[int]:
    """Widths of all columns; none if they do not fit into ``room`` characters without folding figures.

    Args:
        columns: headings; they fold between words.
        cells: cells of each column.
        figures: whether each column holds figures.
        room: characters for the cells.
        fold_figures: whether figures may fold between words.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    widest = [max(map(cell_len, column), default=0) for column in cells]
    lines = (" ".join([heading, *column]) for heading, column in zip(columns, cells, strict=True))
    words = [max(map(cell_len, line.split(" "))) for line in lines]
    widths = [max(cell_len(heading), cell) for heading, cell in zip(columns, widest, strict=True)]
    every = range(len(columns))
    text, numbers = ([index for index in every if figures[index] is kind] for kind in (False, True))
    _shrink(widths, every, [max(word, cell) for word, cell in zip(words, widest, strict=True)], room)
    _shrink(widths, text, [min(word, LONGEST_WORD) for word in words], room)
    if sum(widths) > room and fold_figures:
        for index in numbers:  # all alike, even where fewer would do
            widths[index] = words[index]
        _shrink(widths, text, [min(word, LEAST) for word in words], room)
    return widths if fold_figures or sum(widths) <= room else []


def _shrink(widths: list[int], which: Sequence[int], least: Sequence[int], room: int) -> None:
    """Narrow the widest of some columns, one character at a time, until all columns fit or have their least width."""
    while sum(widths) > room:
        wide = [index for index in which if widths[index] > least[index]]
        if not wide:
            return
        widths[max(wide, key=widths.__getitem__)] -= 1
