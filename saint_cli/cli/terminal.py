"""The console of rich that saint prints on: text is text there, never markup."""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from saint_cli.errors.plain_text import escape_controls

MARKUP_OFF = {"markup": False, "emoji": False, "highlight": False}
"""Without these rich would interpret ``[style]``, ``:emoji:``, numbers and paths in text."""


class Terminal(Console):
    """A console that interprets nothing in text, and writes none of its control characters.

    Text is escaped before its layout, so that columns stay in line, and once more when it is written.
    """

    def __init__(self, file: TextIO | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **styles: Any) -> Text:
        """The text as it is."""
        return super().render_str(_escape_lines(text), **styles | MARKUP_OFF)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(_escape_lines(piece.text), piece.style)

    def on_broken_pipe(self) -> None:
        """Raise, for the caller decides; rich itself would exit."""
        raise


def _escape_lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(escape_controls, text.split("\n")))
