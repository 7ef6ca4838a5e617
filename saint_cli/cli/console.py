"""Everything saint prints: results on stdout, messages on stderr. No other module prints."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from saint_cli.cli import streams
from saint_cli.cli.table_layout import fit_columns
from saint_cli.errors import OutputError
from saint_cli.errors.plain_text import hide_secrets, make_printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from saint_cli.cli.terminal import Terminal

PIPED_WIDTH = 200
"""Columns of output that does not go to a terminal: a table in a log is better wide than folded at 80."""

MIN_TEXT_WIDTH = 24
"""Columns left for folded text, however long its lead."""

live_terminals: "list[Terminal]" = []
"""The terminal with a live display; messages must be printed through it, so that they stand above the display."""


class Line(NamedTuple):
    """Text to fold: ``lead`` stands before its first line, as many spaces before the others. style: of rich."""

    lead: str
    text: str
    style: str = ""


def print_result(renderable: "RenderableType") -> None:
    """Print a result (table, text) on stdout."""
    with _writing_stdout():
        get_terminal(stderr=False).print(renderable)


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines on stdout: folded between words on a terminal, each in one piece elsewhere."""
    from rich.cells import cell_len
    from rich.text import Text

    terminal, is_folded = get_terminal(stderr=False), sys.stdout.isatty() or "COLUMNS" in os.environ
    with _writing_stdout():
        for lead, text, style in lines:
            indent = " " * cell_len(lead)
            width = max(MIN_TEXT_WIDTH, terminal.width - len(indent))
            pieces = fold(make_printable(text), width) if is_folded else [make_printable(text)]
            for number, piece in enumerate(pieces):
                terminal.print(Text(f"{indent if number else lead}{piece}"), style=style, soft_wrap=True)


def fold(text: str, width: int) -> list[str]:
    """The text in pieces of at most ``width`` columns; words, backticked text, and a number and its mm stay whole."""
    from rich.cells import cell_len

    pieces: list[str] = []
    for word in re.findall(r"\S*`[^`]*`\S*|\S+ mm\b\S*|\S+", text):
        if pieces and cell_len(pieces[-1]) + 1 + cell_len(word) <= width:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces


def print_json(document: Any) -> None:
    """Print a result as JSON on stdout."""
    print_plain(format_json(document))


def print_plain(text: str) -> None:
    """Print text for a program on stdout as it is, at once."""
    with _writing_stdout():
        sys.stdout.write(text)
        sys.stdout.flush()


def format_json(document: Any) -> str:
    """A result as indented JSON; NaN and infinity are refused, for they are not JSON."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def print_table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; the first column is left-aligned, the others right.

    Where words do not fit beside each other, each row is a list of its own.
    """
    from rich.table import Table

    names, *cells = ([make_printable(cell) for cell in row] for row in (header, *rows))
    widths = fit_columns([names, *cells], get_terminal(stderr=False).width)
    if widths is None:
        print_lines([Line("", title), *(line for row in cells for line in _list_cells(names, row))])
        return
    table = Table(title=title, title_justify="left")
    for i, (name, width) in enumerate(zip(names, widths, strict=True)):
        table.add_column(name, justify="right" if i else "left", overflow="fold", width=width)
    for row in cells:
        table.add_row(*row)
    print_result(table)


def _list_cells(names: list[str], row: list[str]) -> Iterator[Line]:
    """A row of a table as lines: its first cell, and the others that are not empty with the names of their columns."""
    yield Line("", row[0], "bold")
    for name, cell in zip(names[1:], row[1:], strict=True):
        if cell:
            yield Line(f"  {name}: ", cell)


def print_message(message: str) -> None:
    """Print one line on stderr."""
    _print_line(message)


def print_warning(message: str) -> None:
    """Print one ``saint: warning:`` line on stderr."""
    _print_line(f"saint: warning: {message}", style="yellow")


def print_error(message: str) -> None:
    """Print one ``saint:`` line on stderr."""
    _print_line(f"saint: {message}", style="red")


def get_terminal(*, stderr: bool) -> "Terminal":
    """What prints on stderr or stdout."""
    if stderr and live_terminals:
        return live_terminals[-1]
    from saint_cli.cli.terminal import Terminal

    has_width = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Terminal(stderr=stderr, width=None if has_width else PIPED_WIDTH)


@contextmanager
def _writing_stdout() -> Iterator[None]:
    """A result that cannot be written to stdout is a failure like that of any other file.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OutputError: anything else, such as a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        streams.silence(sys.stdout)
        raise OutputError(f"standard output cannot be written ({error.strerror or error})") from None


def _print_line(message: str, style: str | None = None) -> None:
    terminal = get_terminal(stderr=True)
    is_whole = bool(live_terminals) or not terminal.is_terminal  # a log keeps lines whole; a terminal cuts inside words
    with suppress(OSError):  # a message that cannot be shown stops no work
        terminal.print(make_printable(hide_secrets(message)), style=style, soft_wrap=is_whole)
