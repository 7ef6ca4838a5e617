"""Descriptions of the stacks of a DICOM folder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saint_cli import geometry
from saint_cli.errors import SaintError
from saint_cli.io.description import (
    MAX_TEXT_LENGTH,
    DescribeOptions,
    StackInfo,
    isotropic_fields,
    make_refused,
    placement_fields,
)
from saint_cli.io.dicom import selection
from saint_cli.io.dicom.layout import Layout
from saint_cli.io.dicom.patient_text import PATIENT_TAGS, SERIES_TAGS, read_texts
from saint_cli.io.dicom.regular_runs import advise_uneven
from saint_cli.io.dicom.stack_list import label_stacks
from saint_cli.io.dicom.stacks import Stack
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format
from saint_cli.io.read_options import explain_one_volume


def describe_stacks(stacks: Sequence[Stack], options: DescribeOptions) -> list[StackInfo]:
    """Describe stacks, formed with these options, in order; texts are read once a series, of patients with ``phi``."""
    texts: dict[tuple[str, ...], dict[str, Any]] = {}
    by_series = ([stack for stack in stacks if stack.series == one] for one in {stack.series for stack in stacks})
    together: dict[int, dict[str, Any]] = {}
    refusal = explain_one_volume(split_runs=options.split_runs, irregular=options.irregular)
    for volumes in map(selection.find_volumes, by_series):
        problem = refusal or selection.describe_unlike(volumes) or None
        fields = {"series_volumes": len(volumes), "series_problem": problem}
        together |= dict.fromkeys(map(id, volumes), fields)
    infos = []
    for number, (label, stack) in enumerate(zip(label_stacks(stacks), stacks, strict=True), 1):
        first = stack.slices[0].path
        if stack.series not in texts:
            series = {name: _make_one_line(text) for name, text in read_texts(first, SERIES_TAGS).items()}
            texts[stack.series] = {
                "series_description": series.get("SeriesDescription"),
                "protocol_name": series.get("ProtocolName"),
                "patient": read_texts(first, PATIENT_TAGS) if options.phi else None,
            }
        try:
            with convert_exceptions(first):
                info = _describe_stack(number, label, stack)
        except SaintError as error:
            info = replace(make_refused(first, Format.DICOM.value, error), number=number, label=label)
        infos.append(replace(info, **together.get(id(stack), {}), **texts[stack.series]))
    return infos


def _make_one_line(text: str) -> str:
    """The text without characters that would move a terminal's cursor or turn its direction of writing."""
    plain = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text).strip()
    return plain if len(plain) <= MAX_TEXT_LENGTH else plain[: MAX_TEXT_LENGTH - 1] + "…"


def _describe_stack(number: int, label: str, stack: Stack) -> StackInfo:
    first = stack.slices[0]
    rows, columns = first.shape
    scalings = {(s.slope, s.intercept) for s in stack.slices}
    slope, intercept = scalings.pop() if len(scalings) == 1 else (None, None)
    placed, shape = stack.geometry, (columns, rows, len(stack.slices))
    placement: dict[str, Any] = {"uniform": None if shape[2] == 1 else False, "problem": None, "exit_code": 0}
    if stack.problem is not None:
        placement |= {"problem": f"{stack.problem}{advise_uneven(stack)}", "exit_code": stack.problem.exit_code}
    if placed is None:
        placement["median_distance_mm"] = _find_median_distance(stack)
    else:
        placement |= placement_fields(placed.affine_lps, placed.tilt_degrees, 2)
        if placed.slice_positions:
            placement |= {"uniform": False, "slice_positions": placed.slice_positions}
        placement |= _order_fields(stack, geometry.slice_distance_mm(placed.affine_lps, 2))
        if stack.problem is None and not placed.slice_positions:
            placement |= isotropic_fields(shape, placed.affine_lps, 2)
    return StackInfo(
        number,
        label,
        Format.DICOM.value,
        modality=first.modality or None,
        shape=shape,
        dtype=first.pixel_format.dtype.name,
        slope=slope,
        intercept=intercept,
        slice_thickness_mm=first.slice_thickness,
        spacing_between_slices_mm=first.spacing_between_slices,
        split_by=stack.split_by,
        series_number=first.series_number or None,
        secondary="a derived image" if any(one.is_derived for one in stack.slices) else "",
        warnings=stack.warnings,
        **placement,
    )


def _find_median_distance(stack: Stack) -> float | None:
    """The median distance between neighbouring slices, mm; None of fewer than two positions."""
    layout = Layout(stack.slices)
    gaps = np.diff(layout.positions_mm(layout.slices))
    return round(float(np.median(gaps)), 4) if len(gaps) else None


def _order_fields(stack: Stack, distance: float) -> dict[str, Any]:
    """The fields of ``StackInfo`` about gaps between slices and the order in which they are counted."""
    thickness = stack.slices[0].slice_thickness
    steps = np.sign(np.diff([one.instance_number for one in stack.slices]))
    order = "ascending" if (steps > 0).all() else "descending" if (steps < 0).all() else "mixed"
    return {"gap_mm": None if thickness is None else round(distance - thickness, 4), "order": order}
