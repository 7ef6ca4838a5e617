"""What a result does not hold of the acquired slices: those that are averaged, not met, or resampled in their plane.

Also that a scan holds nothing to interpolate.
"""

from dataclasses import replace

import numpy as np

from saint_cli import geometry
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.volume import Volume, warning_words

CONSTANT_WARNING = "every voxel has the same value, so there is nothing to interpolate"


def add_resampling_warnings(
    volume: Volume, grid: SliceGrid, plane: PlaneGrid | None, *, is_assumed: bool = False
) -> Volume:
    """A scan with warnings of slices that its result on ``grid`` and then ``plane`` does not hold as they were.

    First comes that of a scan of a single value.
    is_assumed: whether neither header nor user gave the thickness of slabs.
    A warning of its tilt is left out where the result has none, and does not say that slices are kept where none is;
    one of voxels without a measurement does not say that they are kept where means leave them out. A result made of the
    volume keeps the warnings.
    """
    said = volume.header.warnings
    if plane is not None and plane.untilts:
        said = tuple(text for text in said if warning_words.TILTED not in text)
    elif not grid.kept.any():
        said = tuple(text.replace(warning_words.TILTED, "slices are tilted") for text in said)
    if grid.averages:
        said = tuple(text.replace(warning_words.HIDDEN, "left out of the means") for text in said)
    volume = replace(volume, header=replace(volume.header, warnings=said))
    warnings = [
        CONSTANT_WARNING if _is_constant(volume.voxels) else "",
        _describe_same(grid, plane),
        _describe_missed(volume, grid),
        _describe_averages(grid),
        _describe_assumed_slabs(volume, grid) if is_assumed else "",
        _describe_planes(volume, grid, plane),
    ]
    return volume.with_warning(*(text for text in warnings if text))


def _is_constant(voxels: np.ndarray) -> bool:
    """Whether voxels [x, y, z] have one value; of most volumes a single slice is looked at."""
    return all(bool((plane == voxels[0, 0, 0]).all()) for plane in voxels.T)


def _describe_same(grid: SliceGrid, plane: PlaneGrid | None) -> str:
    if not grid.is_same or plane is not None:
        return ""
    return "the scan lies on the wanted grid already, so the result is a copy of it"


def _describe_missed(volume: Volume, grid: SliceGrid, shown: int = 6) -> str:
    """Where the acquired slices lie that an uneven grid does not meet."""
    kept = int(grid.kept.sum())
    if grid.positions is None or kept == grid.acquired:
        return ""
    window, _ = grid.locate()
    met = set(window[grid.kept].tolist())
    missed = [place * volume.spacing_mm[grid.axis] for k, place in enumerate(grid.positions) if k not in met]
    lie = "lies on the new grid and is" if kept == 1 else "lie on the new grid and are"
    places = ", ".join([*(f"{mm:.4g}" for mm in missed[:shown]), *["..."] * (len(missed) > shown)])
    return (
        f"{kept} of {grid.acquired} acquired slices {lie} kept; not in the result: those {places} mm from the first "
        "slice"
    )


def _describe_averages(grid: SliceGrid) -> str:
    if not grid.averages:
        return ""
    left = grid.acquired - round(grid.count * grid.step)
    last = "acquired slice fills" if left == 1 else f"{left} acquired slices fill"
    are = "is" if left == 1 else "are"
    beyond = f"; the last {last} no whole slab and {are} left out" if left > 0 else ""
    return f"each slice is the mean of {grid.step:.4g} acquired ones, of which none is kept{beyond}"


def _describe_assumed_slabs(volume: Volume, grid: SliceGrid) -> str:
    thick = grid.slab_thickness_mm(volume.affine_lps)
    return f"slices of unknown thickness were taken for slabs {thick:.4g} mm thick, as thick as their distance"


def _describe_planes(volume: Volume, grid: SliceGrid, plane: PlaneGrid | None) -> str:
    if plane is None:
        return ""
    exact = sum(plane.is_exact(int(k)) for k in grid.kept.nonzero()[0])
    what = " and ".join(
        word.replace("untilt", "moved straight above each other").replace("in-plane=", "given pixels of ")
        + (" mm" if word.startswith("in-plane") else "")
        for word in plane.words
    )
    tilt = geometry.tilt_degrees(volume.affine_lps, grid.axis)
    tilted = f"slices were tilted by {tilt:.1f}°; they" if plane.untilts else "slices"
    return (
        f"{tilted} were {what} in their plane by resampling, {_describe_exact(exact, grid.acquired)} kept bit for bit"
    )


def _describe_exact(exact: int, acquired: int) -> str:
    """How many of the acquired slices stay as they were, where slices are resampled in their plane."""
    if exact == acquired:
        return f"by whole pixels, so that all {exact} acquired slices are"
    if exact == 0:
        return "so that no acquired slice is"
    return f"so that only {exact} acquired slice{'s are' if exact > 1 else ' is'}"
