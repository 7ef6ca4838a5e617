"""The label map that comes along with a scan: ``--labels``, ``--segments``, ``--no-guide``."""

import operator
from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import UsageError
from saint_cli.options.fields import InKey, Option, Panel

MAX_LABEL = 2**31 - 1
"""The largest number of a label."""


def parse_segments(text: str) -> tuple[int, ...]:
    """``1,3`` as numbers of labels, each once, in order; nothing for all."""
    if not text:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) <= 10 and 0 < int(word) <= MAX_LABEL for word in words):
        raise UsageError(f"`segments={text}` is not a list of labels from 1 on, such as 1,3")
    return tuple(sorted({int(word) for word in words}))


def check_local(text: str) -> str:
    """A path on this machine; a label map at a URL is not fetched."""
    if not text:
        raise UsageError("--labels names no file; leave it out where there are no labels")
    if "://" in text:
        raise UsageError(f"{text}: a label map must be a file or folder on this machine; download it first")
    return text


@dataclass(frozen=True)
class LabelSettings:
    """Which labels come along with a scan, and how.

    labels: path of the label map, which lies on the grid of the scan; None for none. segments: the labels to take; ()
    for all. guide: boundaries between acquired slices follow the edges of the upsampled scan.
    """

    labels: str | None = Option(
        "--labels", "Also bring this label map of the scan.",
        Panel.LABELS, str, None, "PATH", parse=check_local, page_text=lambda text: Path(text).name,
        in_key=InKey.NEVER,  # what the file holds is
    ).as_field()  # fmt: skip
    segments: tuple[int, ...] = Option(
        "--segments", "Only these labels, by number, e.g. 1,3.", Panel.LABELS, str, "", "LIST", parse=parse_segments,
        page_text=lambda numbers: ",".join(map(str, numbers)), in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    guide: bool = Option(
        "--no-guide", "Interpolate shapes alone; do not follow the edges that the scan shows.", Panel.LABELS,
        parse=operator.not_, in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
