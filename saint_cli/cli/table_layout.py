"""How wide the columns of a table are on a terminal, so that no word is cut."""

from collections.abc import Sequence

MAX_WORD = 24
"""Columns of the longest word that stays whole; longer ones are paths, which are folded."""

BORDER = 3
"""Columns of the line and the spaces beside each cell; the table has one line more."""


def fit_columns(cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column of a table, whose rows are ``cells``, on a terminal of ``width``; None if too narrow.

    Every column is wide enough for its longest word; what is left goes where most is missing to one line a cell.
    """
    from rich.cells import cell_len

    columns = list(zip(*cells, strict=True))
    wanted = [max(map(cell_len, column)) for column in columns]
    words = [[cell_len(word) for cell in column for word in cell.split()] for column in columns]
    widths = [min(MAX_WORD, max(lengths, default=0)) for lengths in words]
    spare = width - 1 - sum(BORDER + width for width in widths)
    if spare < 0:
        return None
    for _ in range(spare):
        missing = [want - have for want, have in zip(wanted, widths, strict=True)]
        if max(missing) <= 0:
            break
        widths[missing.index(max(missing))] += 1
    return widths
