"""Lists and tables that people make: text in a regular file, of a size that fits memory."""

import codecs
import os
import re
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.regular_files import open_regular

MAX_TEXT_BYTES = 64_000_000
"""Bytes of the largest list or table: half a million rows."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""Marks at the start of what spreadsheets call Unicode text."""


def read_text(path: Path) -> str:
    """The text of a list or table, in UTF-8 or in UTF-16 with its mark.

    Raises:
        UnreadableError: not a regular file, cannot be read, too large, or no text; with the line where that shows.
    """
    with convert_os_errors(path, "read"), open_regular(path) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise UnreadableError(
            f"{path}: larger than {MAX_TEXT_BYTES // 1_000_000} MB, so it is not a list of scans; divide it"
        )
    try:
        text = data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        number = len(split_lines(data[: error.start].decode("latin-1")))
        raise UnreadableError(f"{path}, line {number}: no UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        number = len(split_lines(text[: text.index("\0")]))
        raise UnreadableError(f"{path}, line {number}: holds a NUL byte; it is damaged, or save it as UTF-8")
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a text, whichever system ended them; one that ends in a line end has an empty one behind it."""
    return re.split(r"\r\n|\r|\n", text)


def can_be_path(text: str) -> bool:
    """Whether a file could have this path, as far as its characters go."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
