"""What to read of a path, of a scan and of labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from saint_cli.errors import UsageError
from saint_cli.errors.parameter_names import adapt_message

MODALITIES = ("CT", "MR")
"""Those whose intensities the networks know."""

STACK_OPTIONS = ("split_runs", "irregular", "merge")
"""Options by which DICOM slices form other stacks; they say nothing of other formats."""

CHOICES = frozenset((*STACK_OPTIONS, "series", "volume"))
"""Options that choose what is read of a path."""

TAKE_ALL = "volume=all"

UPSAMPLE_CHOICES = CHOICES | {TAKE_ALL}
"""Those that upsampling has: all volumes of a scan, one after the other, too."""

LABEL_CHOICES = CHOICES - {"irregular"}
"""Those of a scan that gets labels, which cannot follow uneven slices yet."""


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a path, and how.

    series: which stack of a DICOM folder: its number as :func:`~saint_cli.io.describe.describe` lists it, its
    SeriesInstanceUID, the end of that, or either with ``#k`` for its k-th stack.
    volume: which volume of a 4-D NIfTI file, or which stack of one DICOM series, from 1.
    split_runs: read the longest evenly spaced run of a DICOM stack that is not regular as a whole.
    irregular: read a DICOM stack whose slices are missing or unevenly spaced as it is (``Header.slice_positions``).
    merge: take evenly spaced DICOM slices as one scan though they differ in UIDs, ImageType or acquisition.
    modality: "CT" or "MR" in capitals or not, in place of what the file says or leaves open.
    outside_data: a detached header (.mhd, .nhdr) may name data files outside its folder.
    max_memory: bytes that the voxels may take; None for all that is free.
    offered: the choices (of ``UPSAMPLE_CHOICES``) that whoever names the path has; messages advise no others.

    Raises:
        UsageError: a value of another type.
    """

    series: str | None = None
    volume: int | None = None
    split_runs: bool = False
    irregular: bool = False
    merge: bool = False
    modality: str | None = None
    outside_data: bool = False
    max_memory: int | None = None
    offered: frozenset[str] = CHOICES

    def __post_init__(self) -> None:
        if not isinstance(self.series, str | None):
            raise UsageError(f"`series={self.series!r}` must be text: a number as in '2', or a SeriesInstanceUID")
        object.__setattr__(self, "modality", parse_modality(self.modality))
        _check_whole_numbers(volume=self.volume, max_memory=self.max_memory)


@dataclass(frozen=True)
class LabelReadOptions:
    """What to read of a file of labels, and how.

    segments: numbers of the labels to read; all where none is named. Others become background.
    volume: which volume of a 4-D NIfTI file, from 1. outside_data: as for ``ReadOptions``.
    max_memory: bytes that the labels may take; None for all that is free.
    is_drawn_on_like: DICOM labels were drawn on the slices of ``like``, as far as their file does not say otherwise.

    Raises:
        UsageError: a value of another type.
    """

    segments: tuple[int, ...] = ()
    volume: int | None = None
    outside_data: bool = False
    max_memory: int | None = None
    is_drawn_on_like: bool = False

    def __post_init__(self) -> None:
        _check_whole_numbers(volume=self.volume, max_memory=self.max_memory)
        if not isinstance(self.segments, Sequence) or not all(isinstance(one, Integral) for one in self.segments):
            raise UsageError(f"`segments={self.segments!r}` must be whole numbers, as in (1, 3)")


def pick_stack_options(options: object) -> dict[str, Any]:
    """``STACK_OPTIONS`` of an object that has them all, such as ``ReadOptions``."""
    return {name: getattr(options, name) for name in STACK_OPTIONS}


def explain_one_volume(*, split_runs: bool, irregular: bool) -> str:
    """Why ``volume=all`` is refused with these options, which take one volume; "" where it is not."""
    if split_runs:
        refusal = "takes whole volumes, `split_runs=True` parts of them; choose a part by its number with `volume`"
    elif irregular:
        refusal = "takes volumes on one even grid; with `irregular=True` choose one by its number with `volume`"
    else:
        return ""
    return adapt_message(f"`volume=all` {refusal}")


def parse_modality(word: Any) -> str | None:
    """``"CT"`` or ``"MR"`` in capitals, or None.

    Raises:
        UsageError: anything else.
    """
    if word is None:
        return None
    if not isinstance(word, str) or word.upper() not in MODALITIES:
        raise UsageError(f"`modality={word!r}` must be 'CT' or 'MR'; leave it out to judge by the values")
    return word.upper()


def _check_whole_numbers(**values: object) -> None:
    """Refuse values, by the names of their options, that are neither whole numbers nor None.

    Raises:
        UsageError: naming the option.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral | None):
            raise UsageError(f"`{name}={value!r}` must be a whole number")


Options = TypeVar("Options")


def parse_request(
    path: str | os.PathLike[str], options: Options, changes: dict[str, Any], function: str
) -> tuple[Path, Options]:
    """The path and the options that a public function of this name was called with.

    Raises:
        TypeError: a keyword that is none of the options.
        UsageError: an empty path, which would stand for the current folder, or an option of another type.
    """
    if not os.fspath(path):
        raise UsageError("the path is empty; name a file or a folder")
    names = {field.name for field in fields(options)}  # type: ignore[arg-type]
    for name in changes:
        if name not in names:
            raise TypeError(f"{name} is not a keyword of {function}")
    return Path(path), replace(options, **changes)  # type: ignore[type-var]
