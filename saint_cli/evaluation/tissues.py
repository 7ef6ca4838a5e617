"""Body and tissues of a CT by thresholds, as those who measure and segment choose them."""

from dataclasses import dataclass
from math import inf

import numpy as np

from saint_cli.volume import Header

AIR_HU = -920.0
"""Smoothed HU below which a pixel is the air around the patient; lung is denser on average."""

SMOOTHED_PIXELS = 5
"""Pixels along each side of the mean by which lung is distinguished from air."""

SMALLEST_PART = 0.25
"""Of the largest connected part of a plane: smaller ones are table, cables and cushions; arms count as those."""

BODY_HU = -300.0
"""HU above which single voxels belong to the patient, in whose middle planes are shown and the self-check is made."""

COARSE_VOXELS = 128
"""Voxels along each axis that are looked at to find that middle."""

NO_PADDING = Header()


@dataclass(frozen=True)
class Tissue:
    """Voxels of the body with ``low_hu`` < value < ``high_hu``."""

    name: str
    low_hu: float
    high_hu: float

    def find(self, slices_hu: np.ndarray, body: np.ndarray) -> np.ndarray:
        """Boolean mask of this tissue; arrays of one shape."""
        mask: np.ndarray = body & (slices_hu > self.low_hu) & (slices_hu < self.high_hu)
        return mask


BONE = Tissue("bone", 300.0, inf)
LUNG = Tissue("lung", -inf, -500.0)
FAT = Tissue("fat", -150.0, -30.0)
SOFT = Tissue("soft tissue", -30.0, 200.0)
FAT_AND_SOFT = Tissue("fat and soft tissue", -200.0, 250.0)

MEASURED_TISSUES = (BONE, LUNG, FAT)
"""Whose volume and surface are compared; contrast medium counts as bone, gas inside the body as lung."""


def find_middle(voxels: np.ndarray, above: float, header: Header = NO_PADDING) -> tuple[int, int, int]:
    """The median position of the voxels [x, y, z] brighter than ``above``; the centre where there are none.

    header: of the volume, which defines its padding; that does not count.
    """
    strides = [max(1, n // COARSE_VOXELS) for n in voxels.shape]
    coarse = voxels[tuple(slice(None, None, s) for s in strides)]
    bright = (coarse > above) & ~header.is_padding(coarse)
    if not bright.any():
        bright = np.ones(bright.shape, bool)
    x, y, z = (int(np.median(hits)) * s for hits, s in zip(np.nonzero(bright), strides, strict=True))
    return x, y, z


def find_body(slices_hu: np.ndarray) -> np.ndarray:
    """Boolean mask of the patient, lungs and gas inside included, of [X, Y, slices] HU.

    Each slice is taken alone: what is no air, without thin and small parts such as the table, holes filled. A plane
    that was cut out of the inside of a body is body as a whole.
    """
    body = np.zeros(slices_hu.shape, bool)
    for j in range(slices_hu.shape[2]):
        body[..., j] = _find_body_of_plane(slices_hu[..., j])
    return body


def _find_body_of_plane(plane_hu: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    inside = ndimage.uniform_filter(plane_hu.astype(np.float32), SMOOTHED_PIXELS, mode="nearest") > AIR_HU
    padded = np.pad(inside, 3, mode="edge")  # else an opening eats the edge of a plane cut out of a body
    inside = ndimage.binary_opening(padded, iterations=2)[3:-3, 3:-3]
    labels, count = ndimage.label(inside)
    if not count:
        return np.zeros(plane_hu.shape, bool)
    sizes = np.bincount(labels.ravel())[1:]
    kept = 1 + np.flatnonzero(sizes >= SMALLEST_PART * sizes.max())
    filled = ndimage.binary_fill_holes(np.isin(labels, kept))
    body: np.ndarray = ndimage.binary_erosion(filled, iterations=SMOOTHED_PIXELS // 2, border_value=1)  # mean's rim
    return body
