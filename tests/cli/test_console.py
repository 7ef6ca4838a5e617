"""What is drawn on a terminal again and again, recorded at several widths, and what a log gets instead."""

import io
import sys

import pytest
from cli.runs import Screen
from rich.cells import cell_len
from rich.console import Console

from saint_cli.cli import console, progress_display
from saint_cli.progress import ProgressStage, ProgressState

STATES = {
    "loading": ProgressState("loading networks"),
    "counting": ProgressState("scans found", 1234),
    "no time yet": ProgressState("sagittal slices", 1, 9, 0.02),
    "half": ProgressState("coronal slices", 4, 9, 0.4321, 118.0),
    "whole": ProgressState("sagittal slices", 9, 9, 1.0),
    "end": ProgressState("writing", 0, 1, 0.99, 0.4),
    "long": ProgressState("sagittal slices, fast, a_very_long_name_of_a_dense_volume.nii.gz x2.5", 4, 9, 0.5, 5400.0),
}


@pytest.mark.parametrize("width", [24, 39, 40, 45, 60, 79, 159])
@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_the_bar_is_one_line_at_every_width(state: ProgressState, width: int) -> None:
    recorded = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    recorded.print(progress_display.ProgressLine(state))
    (line,) = recorded.export_text().splitlines()
    assert cell_len(line) <= width
    assert state.stage[:12] in line
    assert state.percent is None or f" {state.percent} %" in line
    if width > 24 and state.seconds_left is not None:
        assert line.rstrip().endswith(" left")


def test_the_bar_shows_stage_percent_and_time_left() -> None:
    recorded = Console(width=79, record=True, file=io.StringIO())
    recorded.print(progress_display.ProgressLine(STATES["half"]))
    line = recorded.export_text().rstrip()
    assert line.startswith("coronal slices ")
    assert line.endswith("43 %  about 2 min left")
    recorded.print(progress_display.ProgressLine(STATES["counting"]))
    assert recorded.export_text().startswith("scans found 1,234")


@pytest.mark.parametrize("columns", ["80", "160"])
def test_messages_stand_whole_above_what_is_drawn(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    terminal = Screen()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    message = "a message " * 20
    with progress_display.show_progress(quiet=False) as on_progress:
        on_progress.expect(ProgressStage("reading", 1.0))
        on_progress("reading", 1, 3)
        on_progress.print_message(message)
        console.print_warning("another")
    text = terminal.getvalue()
    assert message.strip() + "\n" in text  # not folded by us: the terminal folds it
    assert "saint: warning: another" in text
    assert "reading" in text
    assert console.live_terminals == []


def test_a_log_gets_lines_and_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress_display, "TICK_S", 0.001)
    monkeypatch.setattr("saint_cli.progress.LINE_EVERY_S", 0.0)
    with progress_display.show_progress(quiet=False) as on_progress:
        on_progress.expect(ProgressStage("reading", 1.0), ProgressStage("writing", 3.0))
        on_progress("writing", 0, 1)
        while "writing" not in log.getvalue():
            pass
    line = next(line for line in log.getvalue().splitlines() if "writing" in line)
    assert line.startswith("saint: writing, ")
    assert "\x1b" not in log.getvalue()


def test_a_dumb_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Screen()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with progress_display.show_progress(quiet=False) as on_progress:
        on_progress("reading", 1, 1)
    assert terminal.getvalue() == ""


def test_quiet_work_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Screen()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_display.show_progress(quiet=True) as on_progress:
        on_progress.expect(ProgressStage("reading", 1.0))
        on_progress("reading", 0, 1)
        on_progress.print_message("a sentence")
    assert terminal.getvalue() == ""
