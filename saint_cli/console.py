"""Everything saint prints: results on stdout, messages on stderr. No other module prints."""

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

PIPED_WIDTH = 200
"""Columns of output that goes to no terminal: a table in a log is better wide than folded at 80."""


LEAST_ROOM = 24
"""Columns left for folded text, however long its lead."""

PATIENCE_S = 2.0
"""Seconds that something may take before it is counted."""


class Line(NamedTuple):
    """Text to fold: ``lead`` stands before its first line, as many spaces before the others. style: of rich."""

    lead: str
    text: str
    style: str = ""


def show(renderable: "RenderableType") -> None:
    """Print a result (table, text) on stdout."""
    _console(stderr=False).print(renderable)


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines on stdout: folded between words on a terminal, each in one piece elsewhere."""
    from rich.cells import cell_len
    from rich.text import Text

    console, narrow = _console(stderr=False), sys.stdout.isatty() or "COLUMNS" in os.environ
    for lead, text, style in lines:
        indent = " " * cell_len(lead)
        room = max(LEAST_ROOM, console.width - len(indent))
        for count, piece in enumerate(folded(printable(text), room) if narrow else [printable(text)]):
            console.print(Text(f"{indent if count else lead}{piece}"), style=style, soft_wrap=True)


def folded(text: str, room: int) -> list[str]:
    """The text in pieces of at most ``room`` columns; words, backticked text, and a number and its mm stay whole."""
    from rich.cells import cell_len

    pieces: list[str] = []
    for word in re.findall(r"\S*`[^`]*`\S*|\S+ mm\b\S*|\S+", text):
        if pieces and cell_len(pieces[-1]) + 1 + cell_len(word) <= room:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces


def show_json(document: Any) -> None:
    """Print a result as JSON on stdout."""
    sys.stdout.write(as_json(document))


def as_json(document: Any) -> str:
    """A result as indented JSON; NaN and infinity are refused, for they are not JSON."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def say(message: str) -> None:
    """Print one line on stderr."""
    _line(message)


def warn(message: str) -> None:
    """Print one ``saint: warning:`` line on stderr."""
    _line(f"saint: warning: {message}", style="yellow")


def fail(message: str) -> None:
    """Print one ``saint:`` line on stderr."""
    _line(f"saint: {message}", style="red")


def printable(text: str) -> str:
    """The text on one line, with control and undecodable characters (file names may hold any) shown as ``?``."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "?" for c in text).strip()


def tolerate_narrow_encodings() -> None:
    """Replace what the terminal's encoding cannot show, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence_stdout() -> None:
    """Send the rest of stdout nowhere, after its reader has gone (``saint info … | head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(message: str, style: str | None = None) -> None:
    _console(stderr=True).print(printable(message), style=style, markup=False, highlight=False, soft_wrap=True)


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if terminal else PIPED_WIDTH)


def show_table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; the first column is left-aligned, the others right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    show(table)


class Bars:
    """Progress bars over the named stages of one job, on stderr; silent without a terminal."""

    def __init__(self, progress: "Progress | None", *, quiet: bool = False) -> None:
        self._progress, self._quiet = progress, quiet
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a stage are over."""
        if self._progress is None:
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done)

    def warn(self, message: str) -> None:
        """Print one ``saint: warning:`` line as ``say`` does."""
        self.say(f"saint: warning: {message}")

    def say(self, message: str) -> None:
        """Print one line on stderr, above the bars, unless all is quiet."""
        if self._progress is not None:
            self._progress.console.print(printable(message), markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            say(message)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Bars]:
    """Bars with time left while a job runs; nothing where stderr is not a terminal, or when quiet."""
    console = _console(stderr=True)
    if quiet or not console.is_terminal:
        yield Bars(None, quiet=quiet)
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description:>16}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bars:
        yield Bars(bars)


@contextmanager
def counter(label: str) -> Iterator[Callable[[int], None]]:
    """A number on stderr for what takes longer than ``PATIENCE_S``; nothing where stderr is no terminal."""
    terminal = _console(stderr=True)
    if not terminal.is_terminal:
        yield lambda count: None
        return
    begun, shown = time.monotonic(), terminal.status(label)

    def show_count(count: int) -> None:
        if time.monotonic() - begun > PATIENCE_S:
            shown.update(f"{label}: {count}")
            shown.start()

    try:
        yield show_count
    finally:
        shown.stop()


@contextmanager
def live() -> "Iterator[Callable[[Callable[[], RenderableType]], None] | None]":
    """A place on stderr that shows what a function makes, again and again; None where stderr is no terminal."""
    terminal = _console(stderr=True)
    if not terminal.is_terminal:
        yield None
        return
    from rich.live import Live

    made: list[Callable[[], RenderableType]] = [lambda: ""]
    with Live(console=terminal, get_renderable=lambda: made[0](), refresh_per_second=2, transient=True):
        yield lambda make: made.__setitem__(0, make)
