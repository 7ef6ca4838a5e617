"""What a result does not hold of the acquired slices: those that are averaged, not met, or resampled in their plane."""

from dataclasses import replace

from saint_cli import geometry
from saint_cli.geometry import PlaneGrid, ProfileShape, SliceGrid
from saint_cli.volume import Volume

TILTED_WORDS = "slices are tilted and kept as acquired"
"""Of the warning of ``io.voxel_checks.format_tilt``."""


def add_resampling_warnings(
    volume: Volume, grid: SliceGrid, plane: PlaneGrid | None, *, is_assumed: bool = False
) -> Volume:
    """A scan with warnings of slices that its result on ``grid`` and then ``plane`` does not hold as they were.

    is_assumed: whether neither header nor user gave the thickness of slabs.
    A warning of its tilt is left out where the result has none, and does not say that slices are kept where none is. A
    result made of the volume keeps the warnings.
    """
    said = volume.header.warnings
    if plane is not None and plane.untilts:
        said = tuple(text for text in said if TILTED_WORDS not in text)
    elif not grid.kept.any():
        said = tuple(text.replace(TILTED_WORDS, "slices are tilted") for text in said)
    volume = replace(volume, header=replace(volume.header, warnings=said))
    warnings = [
        _describe_same(grid, plane),
        _describe_missed(volume, grid),
        _describe_averages(grid),
        _describe_slabs(volume, grid, plane, is_assumed=is_assumed),
        _describe_profile(grid),
        _describe_planes(volume, grid, plane),
    ]
    return volume.with_warning(*(text for text in warnings if text))


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
    more = f" and {len(missed) - shown} more places" if len(missed) > shown else ""
    return (
        f"the new grid meets {kept} of {grid.acquired} acquired slices, which are kept; at "
        f"{', '.join(f'{mm:.4g}' for mm in missed[:shown])}{more} mm from the first slice it does not, so that these "
        "are not in the result"
    )


def _describe_averages(grid: SliceGrid) -> str:
    if not grid.averages:
        return ""
    left = grid.acquired - round(grid.count * grid.step)
    last = "acquired slice fills" if left == 1 else f"{left} acquired slices fill"
    are = "is" if left == 1 else "are"
    beyond = f"; the last {last} no whole slab and {are} left out" if left > 0 else ""
    return f"each slice is the mean of {grid.step:.4g} acquired ones, of which none is kept{beyond}"


def _describe_slabs(volume: Volume, grid: SliceGrid, plane: PlaneGrid | None, *, is_assumed: bool) -> str:
    """What slices were taken for. How far means over slabs are off, if they are, is known of the result alone."""
    if grid.slab is None:
        return ""
    thick = grid.slab_thickness_mm(volume.affine_lps)
    why = ", as thick as their distance" if is_assumed else ""
    before = "" if plane is None else " before slices were resampled in their plane"
    return (
        f"acquired slices were taken for slabs {thick:.4g} mm thick{why}; none is kept, and the means of the result "
        f"over them were fitted to the acquired values{before}"
    )


def _describe_profile(grid: SliceGrid) -> str:
    if grid.slab is None or grid.slab.shape is not ProfileShape.GAUSSIAN:
        return ""
    return "the slices' profile was taken for Gaussian, as wide at half maximum as they are thick"


def _describe_planes(volume: Volume, grid: SliceGrid, plane: PlaneGrid | None) -> str:
    if plane is None:
        return ""
    exact = sum(plane.is_exact(int(k)) for k in grid.kept.nonzero()[0])
    what = " and ".join(
        word.replace("untilt", "moved straight above each other").replace("in-plane=", "given pixels of ")
        + (" mm" if word.startswith("in-plane") else "")
        for word in plane.words
    )
    no = "no acquired slice is" if exact == 0 else f"only {exact} acquired slice{'s are' if exact > 1 else ' is'}"
    tilt = geometry.tilt_degrees(volume.affine_lps, grid.axis)
    tilted = f"slices were tilted by {tilt:.1f}°; they" if plane.untilts else "slices"
    return f"{tilted} were {what} in their plane by resampling, so that {no} kept bit for bit"
