"""What rich prints on: a terminal, or a file, to which text is text and never markup."""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from saint_cli.plain_text import escaped

MARKS = {"markup": False, "emoji": False, "highlight": False}
"""What rich would read out of text: ``[style]``, ``:emoji:``, numbers and paths."""


class Terminal(Console):
    """A console that reads nothing out of text, and writes none of its control characters.

    Text is made printable before it is laid out, so that columns stay in line, and looked at again as it is written,
    wherever it was put together.
    """

    def __init__(self, file: TextIO | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **styles: Any) -> Text:
        """The text as it is."""
        return super().render_str(_escaped_lines(text), **styles | MARKS)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(_escaped_lines(piece.text), piece.style)

    def on_broken_pipe(self) -> None:
        """Who prints decides what a reader that has gone means: rich itself would exit."""
        raise


def _escaped_lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(escaped, text.split("\n")))
