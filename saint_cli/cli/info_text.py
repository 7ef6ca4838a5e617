"""Sentences of ``saint info`` about one volume."""

import math

from saint_cli.errors.plain_text import EN_DASH
from saint_cli.evaluation.check_region import FEWEST_SLICES
from saint_cli.geometry import MAX_FACTOR, NEAR_ISOTROPIC_RATIO, format_shape, format_spacing
from saint_cli.io import StackInfo
from saint_cli.options.grid import MAX_THICKNESS, MIN_THICKNESS
from saint_cli.volume.warning_words import MADE_BY_SAINT

ROUNDING = 0.02
"""Distances below this part of the new spacing are rounding."""

GAP_ROUNDING = 0.005
"""Gap or overlap of slices, as a fraction of their distance, below which it is rounding."""

LEAST_SLAB_MM = 2.0
"""Slices that are thinner than this need no ``--slab``."""

TAG_TOLERANCE = 0.01
"""Relative difference below which SpacingBetweenSlices says nothing new."""


def format_kind(stack: StackInfo) -> str:
    """Modality and format."""
    return f"{stack.modality} {stack.format}" if stack.modality else stack.format


def list_facts(stack: StackInfo, command: str = "`saint upsample`") -> list[str]:
    """Lines about a volume; ``command``: the one that would upsample it."""
    patient = (f"{name}: {text}" for name, text in (stack.patient or {}).items())
    facts = list(filter(None, (_format_slices(stack), *patient)))
    if stack.secondary:
        facts.append(f"{stack.secondary[:1].upper()}{stack.secondary[1:]}, which `saint batch` leaves out")
    if stack.problem:
        return facts
    return [*facts, *_describe_result(stack, command), *_describe_limits(stack), *_suggest_slabs(stack)]


def format_voxels(stack: StackInfo) -> str:
    """Shape, number of volumes and spacing."""
    if stack.shape is None:
        return ""
    parts = [f"{format_shape(stack.shape)} voxels"]
    if stack.format == "DICOM" and stack.shape[2] == 1:
        parts = [f"{format_shape(stack.shape[:2])} voxels, a single slice"]
    if stack.volumes > 1:
        parts.append(f"{stack.volumes} volumes")
    if stack.spacing_mm:
        parts.append(f"{format_spacing(stack.spacing_mm)} mm")
    return ", ".join(parts)


def format_storage(stack: StackInfo) -> str:
    """Type of the stored values, and how they become scanner values."""
    if stack.dtype is None:
        return ""
    if stack.slope is None or stack.intercept is None:
        return f"{stack.dtype}, scaled slice by slice"
    slope = "" if stack.slope == 1 else f" x {stack.slope:.6g}"
    sign = "-" if stack.intercept < 0 else "+"
    offset = f" {sign} {abs(stack.intercept):.6g}" if stack.intercept else ""
    return f"value = {stack.dtype}{slope}{offset}" if slope or offset else stack.dtype


def _format_slices(stack: StackInfo) -> str:
    if stack.slice_distance_mm is None or stack.anisotropy is None:
        return ""
    step = stack.slice_distance_mm / math.cos(math.radians(stack.tilt_degrees or 0.0))
    ratio = f"{stack.anisotropy:.3g}:1"
    if stack.through_plane:
        factor = f", factor {stack.suggested_factor}" if stack.suggested_factor else ""
        shape = f" along {stack.through_plane} ({ratio}{factor})"
    elif stack.anisotropy < 1 / NEAR_ISOTROPIC_RATIO:
        shape = f", closer than pixels ({ratio})"
    else:
        shape = f", nearly isotropic ({ratio})"
    kind = "uneven slices, commonest gap" if stack.slice_positions else "uniform slice spacing"
    return ", ".join([f"{kind} {step:.5g} mm{shape}", *_list_tags(stack, step)])


def _list_tags(stack: StackInfo, step: float) -> list[str]:
    """The tags of a DICOM stack that say more than the positions."""
    tags = []
    if stack.order not in (None, "ascending"):
        tags.append(f"InstanceNumber {stack.order}")
    if stack.slice_thickness_mm is not None:
        tags.append(f"SliceThickness {stack.slice_thickness_mm:.5g}")
    distance, between = stack.slice_distance_mm or step, stack.spacing_between_slices_mm
    if between is not None and all(abs(abs(between) - mm) > TAG_TOLERANCE * mm for mm in (distance, step)):
        tags.append(f"SpacingBetweenSlices {between:.5g}")
    if stack.gap_mm is not None and abs(stack.gap_mm) >= GAP_ROUNDING * distance:
        tags.append(f"{'overlap' if stack.gap_mm < 0 else 'gap'} {abs(stack.gap_mm):.4g} mm")
    return tags


def _describe_result(stack: StackInfo, command: str) -> list[str]:
    """What upsample would produce by default, or which option it needs."""
    if stack.volumes > 1:
        command = f"`saint upsample --volume K` (K = 1{EN_DASH}{stack.volumes}, or all)"
    if stack.slice_positions:
        return [f"{command} interpolates each gap by its own distance"]
    if not (stack.isotropic_shape and stack.isotropic_spacing_mm):
        return [f"{command} {_describe_needed_options(stack)}"] if stack.spacing_mm else []
    mm = {f"{s:.4g}" for s in stack.isotropic_spacing_mm}
    spacing = f"{mm.pop()} mm isotropic" if len(mm) == 1 else f"{format_spacing(stack.isotropic_spacing_mm)} mm"
    return [f"{command} would produce {format_shape(stack.isotropic_shape)} at {spacing}", *_describe_end(stack)]


def _describe_limits(stack: StackInfo) -> list[str]:
    """What of the slices limits a result: that they share tissue, or are few."""
    limits, distance = list[str](), stack.slice_distance_mm
    if stack.gap_mm is not None and distance and stack.gap_mm <= -GAP_ROUNDING * distance:
        limits.append("Slices overlap: neighbours share tissue, and slices between them are as blurred as they are")
    axis = stack.through_plane or ("z" if stack.format == "DICOM" else None)
    count = stack.shape["xyz".index(axis)] if stack.shape and axis else FEWEST_SLICES
    if count < FEWEST_SLICES:
        limits.append(
            f"Only {count} slices: the networks see little of what lies around; a self-check on the page needs "
            f"{FEWEST_SLICES}"
        )
    return limits


def _suggest_slabs(stack: StackInfo) -> list[str]:
    """That there is ``--slab``, of acquired slices that are thick and that it takes."""
    distance, is_acquired = stack.slice_distance_mm, not stack.secondary and MADE_BY_SAINT not in stack.warnings
    if distance is None or not stack.through_plane or stack.slice_positions or not is_acquired:
        return []
    thick = stack.slice_thickness_mm or distance
    if thick < LEAST_SLAB_MM or not MIN_THICKNESS <= thick / distance <= MAX_THICKNESS:
        return []
    assumed = "" if stack.slice_thickness_mm else " (their distance)"
    of_ct = " with weights that were trained on CT" if stack.modality == "MR" else ""
    return [f"If slices are means of {thick:.4g} mm{assumed}, `--slab` recovers thin ones{of_ct}"]


def _describe_end(stack: StackInfo) -> list[str]:
    """How far before the last acquired slice the default result ends, if the new spacing does not divide the old."""
    fields = (stack.shape, stack.spacing_mm, stack.isotropic_shape, stack.isotropic_spacing_mm)
    pairs = zip(*(field or () for field in fields), strict=True)
    missing, spacing = max(((before - 1) * wide - (after - 1) * fine, fine) for before, wide, after, fine in pairs)
    if missing < ROUNDING * spacing:
        return []
    factor = f"`--factor {stack.suggested_factor}`" if stack.suggested_factor else "any `--factor`"
    return [f"The result ends {missing:.2g} mm before the last acquired slice; {factor} ends exactly on it"]


def _describe_needed_options(stack: StackInfo) -> str:
    """The options that upsampling needs, and why."""
    if stack.through_plane and stack.spacing_mm and stack.anisotropy and stack.anisotropy > MAX_FACTOR:
        spacing_mm = stack.spacing_mm["xyz".index(stack.through_plane)] / MAX_FACTOR
        return (
            f"needs `--factor {MAX_FACTOR}` or less, or `--spacing {spacing_mm:.4g}` or more: isotropic voxels would "
            f"take a factor of {stack.anisotropy:.3g}"
        )
    why = ": isotropic voxels would give no more slices" if stack.through_plane and stack.anisotropy else ""
    return f"needs `--factor` or `--spacing`{why}"
