"""Progress in the elements that Slicer reads from stdout, one a line.

Source: ``ctkCmdLineModuleProcess.xsd`` of the Common Toolkit; Slicer shows the last ``filter-name`` and the last
``filter-progress``, a fraction of the whole.
"""

import time
from collections.abc import Callable
from xml.sax.saxutils import escape

from saint_cli.progress import Clock, ProgressEstimate, ProgressStage

SMALLEST_STEP = 0.01
"""By so much the fraction rises from line to line."""


class ProgressElements:
    """Receives the progress of a job; each of its stages is a *filter*. ``write`` is called with whole lines."""

    def __init__(self, write: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._write = write
        self._estimate = ProgressEstimate(clock)
        self._stage: str | None = None
        self._fraction: float | None = None

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Stages to come, in their order; ``more``: others will be added."""
        self._estimate.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """How far a stage is."""
        self._estimate(stage, done, total)
        if stage != self._stage:
            self._end_stage()
            self._stage = stage
            self._write(f"<filter-start><filter-name>{escape(stage)}</filter-name></filter-start>\n")
        fraction = self._estimate.state().fraction or 0.0
        if self._fraction is None or self._fraction + SMALLEST_STEP <= fraction < 1:
            self._fraction = fraction
            self._write(f"<filter-progress>{fraction:.4f}</filter-progress>\n")

    def finish(self, comment: str) -> None:
        """All is done; ``comment``: what was made."""
        self._write("<filter-progress>1</filter-progress>\n")
        self._end_stage(f"<filter-comment>{escape(comment)}</filter-comment>")

    def _end_stage(self, content: str = "") -> None:
        if self._stage is not None:
            self._write(f"<filter-end>{content}</filter-end>\n")
