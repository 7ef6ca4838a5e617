"""What ``saint info`` says of one volume, in sentences."""

import math

from saint_cli.io import StackInfo

FINEST = 16
"""The largest factor."""

LOST = 0.02
"""Distances below this part of the new spacing are rounding."""

SHOWN_GAP = 0.005
"""Gap or overlap of slices, as a fraction of their distance, below which it is rounding."""

SAME_TAG = 0.01
"""Relative difference below which SpacingBetweenSlices says nothing new."""

TO = "\N{EN DASH}"
"""Between the first and the last of several numbers."""

CLOSER = 1 / 1.2
"""Slice over pixel spacing below which slices are closer than pixels (``geometry.NEAR_ISOTROPIC``)."""


def kind(stack: StackInfo) -> str:
    """Modality and format."""
    return f"{stack.modality} {stack.format}" if stack.modality else stack.format


def facts(stack: StackInfo, command: str = "`saint upsample`") -> list[str]:
    """Lines that hold for all volumes that are alike; ``command`` is the one that would upsample it."""
    found = [text for text in (_slices(stack), *(_patient(stack))) if text]
    if stack.secondary:
        found.append(f"{stack.secondary[:1].upper()}{stack.secondary[1:]}, which `saint batch` leaves out")
    return found if stack.problem else [*found, *_result(stack, command)]


def voxels(stack: StackInfo) -> str:
    """Shape, number of volumes and spacing."""
    if stack.shape is None:
        return ""
    found = [f"{product(stack.shape)} voxels"]
    if stack.format == "DICOM" and stack.shape[2] == 1:
        found = [f"{product(stack.shape[:2])} voxels, a single slice"]
    if stack.volumes > 1:
        found.append(f"{stack.volumes} volumes")
    if stack.spacing_mm:
        found.append(f"{spacing(stack.spacing_mm)} mm")
    return ", ".join(found)


def stored(stack: StackInfo) -> str:
    """Type of the stored values, and what makes scanner values of them."""
    if stack.dtype is None:
        return ""
    if stack.slope is None or stack.intercept is None:
        return f"{stack.dtype}, scaled slice by slice"
    slope = "" if stack.slope == 1 else f" x {stack.slope:.6g}"
    sign = "-" if stack.intercept < 0 else "+"
    offset = f" {sign} {abs(stack.intercept):.6g}" if stack.intercept else ""
    return f"value = {stack.dtype}{slope}{offset}" if slope or offset else stack.dtype


def product(shape: tuple[int, ...]) -> str:
    """Numbers of voxels."""
    return " x ".join(map(str, shape))


def spacing(mm: tuple[float, ...]) -> str:
    """Spacings along x, y, z."""
    return " x ".join(f"{s:.4g}" for s in mm)


def _slices(stack: StackInfo) -> str:
    if stack.slice_distance_mm is None or stack.anisotropy is None:
        return ""
    step = stack.slice_distance_mm / math.cos(math.radians(stack.tilt_degrees or 0.0))
    ratio = f"{stack.anisotropy:.3g}:1"
    if stack.through_plane:
        factor = f", factor {stack.suggested_factor}" if stack.suggested_factor else ""
        found = f"uniform slice spacing {step:.5g} mm along {stack.through_plane} ({ratio}{factor})"
    elif stack.anisotropy < CLOSER:
        found = f"uniform slice spacing {step:.5g} mm, closer than pixels ({ratio})"
    else:
        found = f"uniform slice spacing {step:.5g} mm, nearly isotropic ({ratio})"
    return ", ".join([found, *_tags(stack, step)])


def _tags(stack: StackInfo, step: float) -> list[str]:
    """What the tags of a DICOM stack say, and how that fits the positions."""
    found = []
    if stack.order not in (None, "ascending"):
        found.append(f"InstanceNumber {stack.order}")
    if stack.slice_thickness_mm is not None:
        found.append(f"SliceThickness {stack.slice_thickness_mm:.5g}")
    distance, between = stack.slice_distance_mm or step, stack.spacing_between_slices_mm
    if between is not None and all(abs(abs(between) - mm) > SAME_TAG * mm for mm in (distance, step)):
        found.append(f"SpacingBetweenSlices {between:.5g}")
    if stack.gap_mm is not None and abs(stack.gap_mm) >= SHOWN_GAP * distance:
        found.append(f"{'overlap' if stack.gap_mm < 0 else 'gap'} {abs(stack.gap_mm):.4g} mm")
    return found


def _patient(stack: StackInfo) -> list[str]:
    return [f"{name}: {text}" for name, text in (stack.patient or {}).items()]


def _result(stack: StackInfo, command: str) -> list[str]:
    """What upsample would produce by default, or what it must be told."""
    if stack.volumes > 1:
        command = f"`saint upsample --volume K` (K = 1{TO}{stack.volumes})"
    if not (stack.isotropic_shape and stack.isotropic_spacing_mm):
        return [f"{command} {_wish(stack)}"] if stack.spacing_mm else []
    mm = {f"{s:.4g}" for s in stack.isotropic_spacing_mm}
    shown = f"{mm.pop()} mm isotropic" if len(mm) == 1 else f"{spacing(stack.isotropic_spacing_mm)} mm"
    return [f"{command} would produce {product(stack.isotropic_shape)} at {shown}", *_lost(stack)]


def _lost(stack: StackInfo) -> list[str]:
    """How far before the last acquired slice the default result ends, where the spacings do not divide."""
    fields = (stack.shape, stack.spacing_mm, stack.isotropic_shape, stack.isotropic_spacing_mm)
    pairs = zip(*(field or () for field in fields), strict=True)
    short, spacing = max(((before - 1) * wide - (after - 1) * fine, fine) for before, wide, after, fine in pairs)
    if short < LOST * spacing:
        return []
    factor = f"`--factor {stack.suggested_factor}`" if stack.suggested_factor else "any `--factor`"
    return [f"The result ends {short:.2g} mm before the last acquired slice; {factor} ends exactly on it"]


def _wish(stack: StackInfo) -> str:
    """Why upsampling needs to be told how fine, and what could be said."""
    if stack.through_plane and stack.spacing_mm and stack.anisotropy and stack.anisotropy > FINEST:
        finest = stack.spacing_mm["xyz".index(stack.through_plane)] / FINEST
        return (
            f"needs `--factor {FINEST}` or less, or `--spacing {finest:.4g}` or more: isotropic voxels would take a "
            f"factor of {stack.anisotropy:.3g}"
        )
    return "needs `--factor` or `--spacing`"
