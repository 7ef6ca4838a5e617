"""Progress while work runs: one bar on a terminal, a line now and then in a log."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saint_cli.cli import console
from saint_cli.progress import (
    JobProgress,
    ProgressEstimate,
    ProgressLines,
    ProgressStage,
    ProgressState,
    format_duration,
    silent,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from saint_cli.cli.terminal import Terminal

STAGE_WIDTH, LONG_STAGE_WIDTH, PERCENT_WIDTH, TIME_LEFT_WIDTH, GAP = 17, 40, 5, 17, 2
"""Columns of a bar's words and of the gaps between them, so that it does not move with them."""

LEAST_STAGE_WIDTH = 12
"""Columns of the name of a stage, without which the time left is not shown."""

REFRESH_PER_S, TICK_S = 4.0, 1.0
"""How often a bar is drawn again, and how often a log checks whether a line is due."""

COUNT_DELAY_S = 2.0
"""Seconds after which a count is shown."""


class ProgressReporter:
    """Receives the progress of a job, and messages, which stand above the bar; shows nothing if quiet."""

    def __init__(self, estimate: JobProgress, *, quiet: bool) -> None:
        self._estimate, self._quiet = estimate, quiet

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Stages to come, in their order; ``more``: others will be added."""
        self._estimate.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """How far a stage is."""
        self._estimate(stage, done, total)

    def print_message(self, message: str) -> None:
        """Print one line on stderr."""
        if not self._quiet:
            console.print_message(message)

    def print_warning(self, message: str) -> None:
        """Print one ``saint: warning:`` line on stderr."""
        if not self._quiet:
            console.print_warning(message)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[ProgressReporter]:
    """One bar with the time left of the whole while a job runs; a line now and then where stderr is not a terminal."""
    if quiet:
        yield ProgressReporter(silent, quiet=True)
        return
    estimate = ProgressEstimate()
    reporter = ProgressReporter(estimate, quiet=False)
    with show_live() as update:
        if update is None:
            with _call_every_second(
                ProgressLines(estimate.state, lambda sentence: console.print_message(f"saint: {sentence}")).tick
            ):
                yield reporter
        else:
            update(lambda: ProgressLine(estimate.state()))
            yield reporter


@dataclass(frozen=True)
class ProgressLine:
    """One line for rich: the stage, a bar, percent and time left of the whole; on a narrow terminal without the bar."""

    state: ProgressState

    def __rich_console__(self, _: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state, is_known = self.state, self.state.fraction is not None
        label = f"{state.stage} {state.count}".rstrip()
        room = options.max_width - PERCENT_WIDTH - TIME_LEFT_WIDTH - 2 * GAP
        has_time = room >= LEAST_STAGE_WIDTH
        room += 0 if has_time else TIME_LEFT_WIDTH + GAP
        stage_width = STAGE_WIDTH if len(label) <= STAGE_WIDTH else LONG_STAGE_WIDTH
        line = Table.grid(padding=(0, GAP), expand=True)
        cells: list[RenderableType] = [Text(label)]
        if room > stage_width + GAP:
            line.add_column(width=stage_width, no_wrap=True)
            line.add_column(ratio=1)
            cells.append(ProgressBar(total=1, completed=state.fraction or 0, pulse=not is_known))
        else:
            line.add_column(ratio=1, no_wrap=True)
        line.add_column(width=PERCENT_WIDTH, justify="right", no_wrap=True)
        cells.append(Text(f"{state.percent} %" if is_known else ""))
        if has_time:
            line.add_column(width=TIME_LEFT_WIDTH, no_wrap=True)
            left = "" if state.seconds_left is None else f"about {format_duration(state.seconds_left)} left"
            cells.append(Text(left))
        line.add_row(*cells)
        yield line


@contextmanager
def show_counter(label: str) -> Iterator[Callable[[int], None]]:
    """A number on stderr for what takes longer than ``COUNT_DELAY_S``; nothing where stderr is not a terminal."""
    terminal = console.get_terminal(stderr=True)
    if not terminal.is_terminal:
        yield lambda count: None
        return
    from rich.text import Text

    began, status = time.monotonic(), terminal.status(Text(label))

    def show_count(count: int) -> None:
        if time.monotonic() - began > COUNT_DELAY_S:
            status.update(Text(f"{label}: {count}"))
            status.start()

    try:
        yield show_count
    finally:
        status.stop()


@contextmanager
def show_live() -> "Iterator[Callable[[Callable[[], RenderableType]], None] | None]":
    """A display on stderr that a function renders again and again; None where stderr is not a terminal.

    Messages are printed above it.
    """
    if not sys.stderr.isatty() or console.get_terminal(stderr=True).is_dumb_terminal:
        yield None
        return
    from rich.constrain import Constrain
    from rich.live import Live

    def render() -> "RenderableType":
        return ""

    def update(function: "Callable[[], RenderableType]") -> None:
        nonlocal render
        render = function

    with _open_terminal() as terminal:

        def draw() -> "RenderableType":  # some terminals go on to the next line after one of their full width
            return Constrain(render(), terminal.width - 1)

        with Live(console=terminal, get_renderable=draw, refresh_per_second=REFRESH_PER_S, transient=True):
            console.live_terminals.append(terminal)
            try:
                yield update
            finally:
                console.live_terminals.remove(terminal)


@contextmanager
def _open_terminal() -> "Iterator[Terminal]":
    """The terminal of stderr under another descriptor, so that the display is not taken for a decoder's output."""
    from saint_cli.cli.terminal import Terminal

    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):
        yield console.get_terminal(stderr=True)
        return
    with os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace") as stream:
        yield Terminal(stream)


@contextmanager
def _call_every_second(tick: Callable[[], None]) -> Iterator[None]:
    """Call a function every ``TICK_S`` from another thread."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(TICK_S):
            tick()

    thread = threading.Thread(target=run, name="saint-lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
