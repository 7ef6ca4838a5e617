"""Everything saint prints: results on stdout, messages on stderr. No other module prints."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from saint_cli import streams
from saint_cli.errors import OutputError
from saint_cli.plain_text import printable, without_secrets
from saint_cli.progress import JobProgress, ProgressEstimate, ProgressLines, ProgressState, Stage, duration, silent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from saint_cli.terminal import Terminal

PIPED_WIDTH = 200
"""Columns of output that goes to no terminal: a table in a log is better wide than folded at 80."""

STAGE_WIDTH, LONG_STAGE_WIDTH, LEFT_WIDTH = 17, 40, 17
"""Columns of a bar's words, so that it does not move with them."""

REFRESH_PER_S, TICK_S = 4.0, 1.0
"""How often a bar is drawn anew, and how often a log is asked whether a line is due."""

_open: "list[Terminal]" = []
"""The terminal in which something is drawn again and again, whose own hands alone may write above it."""


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
    with _on_stdout():
        _console(stderr=False).print(renderable)


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines on stdout: folded between words on a terminal, each in one piece elsewhere."""
    from rich.cells import cell_len
    from rich.text import Text

    console, narrow = _console(stderr=False), sys.stdout.isatty() or "COLUMNS" in os.environ
    with _on_stdout():
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
    with _on_stdout():
        sys.stdout.write(as_json(document))
        sys.stdout.flush()


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


@contextmanager
def _on_stdout() -> Iterator[None]:
    """Print a result; that it could not be written is a failure like that of any other file.

    Raises:
        BrokenPipeError: the reader has gone.
        OutputError: anything else, such as a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        streams.silence(sys.stdout)
        raise OutputError(f"standard output cannot be written ({error.strerror or error})") from None


def _line(message: str, style: str | None = None) -> None:
    terminal = _console(stderr=True)
    whole = bool(_open) or not terminal.is_terminal  # a log keeps lines whole; a terminal would cut amid a word
    with suppress(OSError):  # a message that nobody can read stops no work
        terminal.print(printable(without_secrets(message)), style=style, soft_wrap=whole)


def _console(*, stderr: bool) -> "Terminal":
    if stderr and _open:
        return _open[-1]
    from saint_cli.terminal import Terminal

    terminal = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Terminal(stderr=stderr, width=None if terminal else PIPED_WIDTH)


def show_table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; the first column is left-aligned, the others right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    show(table)


class Reporter:
    """What work tells how far it is, and sentences, which stand above the bar; nothing of it is seen when quiet."""

    def __init__(self, estimate: JobProgress, *, quiet: bool) -> None:
        self._estimate, self._quiet = estimate, quiet

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Stages to come, in their order; ``more``: others will be added."""
        self._estimate.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""
        self._estimate(stage, done, total)

    def say(self, message: str) -> None:
        """Print one line on stderr."""
        if not self._quiet:
            say(message)

    def warn(self, message: str) -> None:
        """Print one ``saint: warning:`` line as ``say`` does."""
        self.say(f"saint: warning: {message}")


@contextmanager
def progress(*, quiet: bool) -> Iterator[Reporter]:
    """One bar with the time left of the whole while a job runs; a line now and then where stderr is no terminal."""
    if quiet:
        yield Reporter(silent, quiet=True)
        return
    estimate = ProgressEstimate()
    reporter = Reporter(estimate, quiet=False)
    with live() as update:
        if update is None:
            with _ticking(ProgressLines(estimate.state, lambda sentence: say(f"saint: {sentence}")).tick):
                yield reporter
        else:
            update(lambda: bar(estimate.state()))
            yield reporter


def bar(state: ProgressState) -> "RenderableType":
    """One line: the stage, a bar, percent and time left of the whole."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    known = state.fraction is not None
    counted = f"{state.stage} {state.done:,}" if state.done and not known else state.stage
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(width=STAGE_WIDTH if len(counted) <= STAGE_WIDTH else LONG_STAGE_WIDTH, no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(width=5, justify="right", no_wrap=True)
    line.add_column(width=LEFT_WIDTH, no_wrap=True)
    left = "" if state.seconds_left is None else f"about {duration(state.seconds_left)} left"
    pulse = ProgressBar(total=1, completed=state.fraction or 0, pulse=not known)
    percent = f"{state.percent} %" if known else ""
    line.add_row(Text(counted), pulse, Text(percent), Text(left))
    return line


@contextmanager
def counter(label: str) -> Iterator[Callable[[int], None]]:
    """A number on stderr for what takes longer than ``PATIENCE_S``; nothing where stderr is no terminal."""
    terminal = _console(stderr=True)
    if not terminal.is_terminal:
        yield lambda count: None
        return
    from rich.text import Text

    begun, shown = time.monotonic(), terminal.status(Text(label))

    def show_count(count: int) -> None:
        if time.monotonic() - begun > PATIENCE_S:
            shown.update(Text(f"{label}: {count}"))
            shown.start()

    try:
        yield show_count
    finally:
        shown.stop()


@contextmanager
def live() -> "Iterator[Callable[[Callable[[], RenderableType]], None] | None]":
    """A place on stderr that shows what a function makes, again and again; None where stderr is no terminal.

    Messages are printed above it as long as it is there.
    """
    if not sys.stderr.isatty() or _console(stderr=True).is_dumb_terminal:
        yield None
        return
    from rich.constrain import Constrain
    from rich.live import Live

    made: list[Callable[[], RenderableType]] = [lambda: ""]
    with _own_terminal() as terminal:

        def draw() -> "RenderableType":  # a line as wide as the terminal would make some of them go on to the next
            return Constrain(made[0](), terminal.width - 1)

        with Live(console=terminal, get_renderable=draw, refresh_per_second=REFRESH_PER_S, transient=True):
            _open.append(terminal)
            try:
                yield lambda make: made.__setitem__(0, make)
            finally:
                _open.remove(terminal)


@contextmanager
def _own_terminal() -> "Iterator[Terminal]":
    """The terminal that stderr is, by a descriptor of its own: what is drawn is never taken for a decoder's output."""
    from saint_cli.terminal import Terminal

    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):
        yield _console(stderr=True)
        return
    with os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace") as stream:
        yield Terminal(stream)


def size() -> tuple[int, int]:
    """Columns and lines of the terminal that stderr is."""
    return _console(stderr=True).size


@contextmanager
def _ticking(tick: Callable[[], None]) -> Iterator[None]:
    """Call a function every second from a thread of its own."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(TICK_S):
            tick()

    thread = threading.Thread(target=run, name="saint-lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
