"""Dense volumes made sparse: the paper's decimation (Eq. 1) and the slab average of real thick slices."""

from dataclasses import replace

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.geometry import ProfileShape, SlabProfile, refine_axis
from saint_cli.volume import Volume

DECIMATE = "decimate"

SLAB_SHAPES = {"average": ProfileShape.BOX, "gaussian": ProfileShape.GAUSSIAN}
"""How dense slices become sparse in place of ``DECIMATE`` (Eq. 1): averaged to slabs, as scanners do."""


def decimate(volume: Volume, axis: int, factor: int) -> Volume:
    """Every ``factor``-th slice along ``axis``, from the first (Eq. 1); trailing slices past the last kept one drop.

    Raises:
        GeometryError: fewer than two slices would be left.
    """
    count = volume.shape[axis]
    if count <= factor:
        raise GeometryError(f"{count} slices decimated by {factor} leave one; at least {factor + 1} slices are needed")
    header = replace(volume.header, codings=())  # of slices that are no longer there
    voxels = take_slices(volume, axis, slice(None, None, factor)).voxels
    return Volume(voxels, refine_axis(volume.affine_lps, axis, factor), header)


def take_slices(volume: Volume, axis: int, which: slice) -> Volume:
    """The volume with some of its slices along ``axis``, as a view; the affine stays that of the whole."""
    return replace(volume, voxels=np.moveaxis(np.moveaxis(volume.voxels, axis, 0)[which], 0, axis))


def average_slabs(volume: Volume, axis: int, factor: int, shape: ProfileShape = ProfileShape.BOX) -> Volume:
    """Slabs ``factor`` slices thick around those that ``decimate`` keeps, averaged; slabs at the ends are cut short.

    Values come back as float32 scanner values.

    Raises:
        GeometryError: fewer than two slices would be left.
    """
    sparse = decimate(volume, axis, factor)
    dense = np.moveaxis(volume.voxels, axis, -1).astype(np.float32)
    middles = np.arange(0, dense.shape[-1], factor)  # an even factor takes half of each outermost slice
    weights = SlabProfile(factor, shape).weigh(middles, 1, dense.shape[-1]).astype(np.float32)
    slabs = [dense @ row for row in weights]
    return replace(sparse, voxels=np.moveaxis(np.stack(slabs, -1), -1, axis))
