"""The settings of a job: everything but its files."""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from saint_cli.errors import UsageError
from saint_cli.options.completion import word_completer
from saint_cli.options.fields import (
    InKey,
    Option,
    OptionValue,
    Panel,
    from_typed,
    list_option_values,
    list_options,
    word_option,
)
from saint_cli.options.grid import GridRequest
from saint_cli.options.labels import LabelSettings
from saint_cli.options.method import MethodOptions
from saint_cli.options.model import ModelConfig
from saint_cli.options.values import ALL_VOLUMES, parse_volume


def _number_on_page(series: str) -> str | None:
    """The number of a series; a UID may identify the patient."""
    return series if series.isdigit() else None


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How one scan is read, upsampled and written; a row of a table may say most of it.

    modality: "CT" or "MR" overrides what the file says or leaves open; series, volume, split_runs, irregular, merge,
    outside_data: as ``io.read_volume`` has them, volume also "all"; refuse_labels: a label map is an error, not a
    warning;
    keep_slice_thickness: DICOM output has the source's SliceThickness, else the new spacing where that is smaller; thin
    slices of slabs always have the new spacing.
    """

    grid: GridRequest = field(default_factory=GridRequest)
    model_config: ModelConfig = field(default_factory=ModelConfig)
    method_options: MethodOptions = field(default_factory=MethodOptions)
    label_settings: LabelSettings = field(default_factory=LabelSettings)
    series: str | None = Option(
        "--series", "Which DICOM series: its number in saint info, or UID.", Panel.INPUT, str, None, "SERIES",
        page_text=_number_on_page,
    ).as_field()  # fmt: skip
    volume: int | Literal["all"] | None = Option(
        "--volume", "Which volume of a 4-D scan, from 1; or all.", Panel.INPUT, str, None, "N|all",
        word_completer(ALL_VOLUMES), parse_volume,
    ).as_field()  # fmt: skip
    split_runs: bool = Option(
        "--split-runs", "If slices are missing, use the longest evenly spaced part.", Panel.INPUT
    ).as_field()
    irregular: bool = Option(
        "--irregular", "If slices are missing or uneven, interpolate each gap by its own distance.", Panel.INPUT,
        in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    merge: bool = Option(
        "--merge", "Take evenly spaced DICOM slices as one scan even if UIDs or headers differ.", Panel.INPUT,
        in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    outside_data: bool = Option(
        "--outside-data", "Let a .mhd or .nhdr header read voxels from outside its folder.", Panel.INPUT,
        is_column=False, in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    modality: str | None = word_option(
        "--modality", "How to read intensities: auto, ct, mr.", Panel.INPUT, ("auto", "ct", "mr"),
        convert=lambda word: None if word == "auto" else word.upper(),
    ).as_field()  # fmt: skip
    refuse_labels: bool = Option(
        "--allow-labels", "Interpolate a label map as if it were an image.", Panel.INPUT, parse=operator.not_
    ).as_field()
    keep_slice_thickness: bool = word_option(
        "--slice-thickness", "SliceThickness of DICOM output: acquired, or spacing (always with --slab).", Panel.OUTPUT,
        ("acquired", "spacing"), convert=lambda word: word == "acquired", page_text=lambda keeps: "spacing",
    ).as_field()  # fmt: skip

    def __post_init__(self) -> None:
        check_uneven_options(split_runs=self.split_runs, irregular=self.irregular)
        if self.grid.slab and self.method_options.regenerate:
            raise UsageError("`slab` computes every slice, so that `regenerate` has no meaning; leave one out")


def check_uneven_options(*, split_runs: bool, irregular: bool) -> None:
    """Refuse both ways to take an uneven stack at once.

    Raises:
        UsageError: both are given.
    """
    if irregular and split_runs:
        raise UsageError("`irregular=True` takes an uneven stack whole and `split_runs=True` a part of it; give one")


OPTION_GROUPS = {
    "grid": GridRequest,
    "model_config": ModelConfig,
    "method_options": MethodOptions,
    "label_settings": LabelSettings,
}
"""Fields of ``JobSettings`` that hold options themselves."""

JOB_OPTIONS = (GridRequest, JobSettings, LabelSettings, ModelConfig, MethodOptions)
"""All that declare options of a job, in the order of ``--help``."""

COLUMNS = {option.name: option for option in list_options(*JOB_OPTIONS) if option.is_column}
"""What a row of a table may say of its scan, beside source and name."""


def make_settings(typed: Mapping[str, Any]) -> JobSettings:
    """Settings made of what was typed, by the names of the options; what is missing or None has its default.

    Raises:
        UsageError: a value that an option cannot have, or options that exclude each other.
    """
    groups: dict[str, Any] = {name: from_typed(kind, typed) for name, kind in OPTION_GROUPS.items()}
    return replace(from_typed(JobSettings, typed), **groups)


def key_options(settings: JobSettings) -> dict[str, Any]:
    """The options that change the result, for the key of a batch job: not where or how fast it is computed."""
    rules = {InKey.ALWAYS: True, InKey.AS_DEFAULT: True, InKey.NEVER: False}
    inside = (one for one in _values(settings) if rules.get(one.option.in_key, not one.is_default))
    return {one.name: one.default if one.option.in_key is InKey.AS_DEFAULT else one.value for one in inside}


def page_options(settings: JobSettings) -> dict[str, str]:
    """Flag and text of each option that is not at its default, for a quality-control page; no UID."""
    texts = {one.option.flag: one.option.page_text(one.value) for one in _values(settings) if not one.is_default}
    return {flag: text for flag, text in texts.items() if text is not None}


def _values(settings: JobSettings) -> Iterator[OptionValue]:
    groups = (getattr(settings, name) for name in OPTION_GROUPS)
    return list_option_values(*groups, settings)
