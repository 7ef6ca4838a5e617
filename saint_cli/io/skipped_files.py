"""Skipped files in messages: counts by reason, with the first files where the reason is a problem."""

from collections.abc import Mapping, Sequence

from saint_cli.errors.plain_text import list_first
from saint_cli.io.unsupported_formats import name_other_format

NOT_DICOM = "not DICOM"
"""Reason of files of other kinds beside DICOM."""

ZIP_MARK = b"PK\x03\x04"

ARCHIVE = "archive, not unpacked"
"""Reason of a zip or another archive inside a folder: it may well be another study."""

MAX_NAMES_SHOWN = 3
"""Files, rows or records that are named for one reason; the others are counted."""

MAX_NAME_LENGTH = 160
"""Characters of a name that are shown."""


def is_archive(head: bytes) -> bool:
    """Whether a file with these first bytes, unpacked if it is gzip, is an archive of files."""
    return head.startswith(ZIP_MARK) or name_other_format(head).partition(";")[0].endswith("archive")


def format_counts(skipped: Mapping[str, int], named: Mapping[str, Sequence[str]]) -> str:
    """Counts by reason on one line, the commonest first, with the files that are named."""
    ordered = sorted(skipped.items(), key=lambda r: (-r[1], r[0]))
    return ", ".join(f"{count} {format_reason(reason, count, named)}" for reason, count in ordered)


def format_reason(reason: str, count: int, named: Mapping[str, Sequence[str]]) -> str:
    """A reason with the first of the files that it holds for, where they are named."""
    names = named.get(reason)
    if not names:
        return reason
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"{reason} ({', '.join(map(shorten_name, names))}{more})"


def format_first(texts: Sequence[str]) -> str:
    """The first of many texts, and how many more there are."""
    return list_first(texts, MAX_NAMES_SHOWN, "; ")


def shorten_name(name: str) -> str:
    """The name, its middle left out if it is very long, as those of folders nested without end are."""
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH // 2]}…{name[-MAX_NAME_LENGTH // 2 :]}"
