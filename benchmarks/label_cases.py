"""Label maps made of dense CT by threshold, and how far others are from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from saint_cli import Volume, read_volume
from saint_cli.volume import Header

SMOOTHING_MM = 0.7
"""Of the scan before thresholds are applied, sigma: nobody draws noise."""

LUNG_HU, BONE_HU, SOFT_HU, VESSEL_HU = -500.0, 180.0, -200.0, -400.0
MOST_PARTS, LEAST_PART_ML = 20, 0.3


@dataclass(frozen=True)
class Case:
    """A dense scan and its labels [x, y, z]; names: of each label from 1 on."""

    name: str
    scan: Volume
    labels: np.ndarray
    names: tuple[str, ...]


def make_cases(path: Path, slices: int, pixels: int) -> list[Case]:
    """Two windows side by side of the scan's central slices: lungs, their vessels, bones one by one, gas, the rest of
    the body. Its slices must lie along z."""
    dense = read_volume(path)
    first = max(0, (dense.shape[2] - slices) // 2)
    voxels = dense.voxels[..., first : first + slices]
    hu = ndimage.gaussian_filter(voxels.astype(np.float32), [SMOOTHING_MM / mm for mm in dense.spacing_mm])
    labels, names = _label_tissues(hu, float(np.prod(dense.spacing_mm)) / 1000)
    cases = []
    for side, x in (("left", dense.shape[0] // 2 - pixels), ("right", dense.shape[0] // 2)):
        start = np.array([x, (dense.shape[1] - pixels) // 2, 0])
        window = slice(start[0], start[0] + pixels), slice(start[1], start[1] + pixels)
        affine = dense.affine_lps.copy()
        affine[:3, 3] += affine[:3, :3] @ (start + np.array([0, 0, first]))
        header = Header("CT", storage=dense.header.storage)
        scan = Volume(np.ascontiguousarray(voxels[window]), affine, header)
        kept, kept_names = _keep_large(labels[window], names, float(np.prod(dense.spacing_mm)) / 1000)
        cases.append(Case(f"{path.stem.split('__')[-1]} {side}", scan, kept, kept_names))
    return cases


def _keep_large(labels: np.ndarray, names: tuple[str, ...], voxel_ml: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels that fill enough of a window, numbered anew."""
    sizes = np.bincount(labels.ravel(), minlength=len(names) + 1) * voxel_ml
    keep = [n for n in range(1, len(names) + 1) if sizes[n] >= LEAST_PART_ML]
    numbers = np.zeros(len(names) + 1, labels.dtype)
    numbers[keep] = np.arange(1, len(keep) + 1)
    return numbers[labels], tuple(names[n - 1] for n in keep)


def _label_tissues(hu: np.ndarray, voxel_ml: float) -> tuple[np.ndarray, tuple[str, ...]]:
    body = _keep_largest(hu > SOFT_HU)
    body = np.stack([ndimage.binary_fill_holes(s) for s in np.moveaxis(body, 2, 0)], 2)
    gas = (hu < LUNG_HU) & body
    lung = _keep_parts(gas, voxel_ml, 50.0)
    filled = ndimage.binary_closing(lung, np.ones((9, 9, 3))) & body
    vessels = filled & ~lung & (hu > VESSEL_HU) & (hu < BONE_HU)
    vessels = _keep_parts(vessels, voxel_ml, 0.05)
    bones, count = ndimage.label((hu > BONE_HU) & ~filled)
    sizes = np.bincount(bones.ravel(), minlength=count + 1)[1:] * voxel_ml
    largest = [i for i in np.argsort(-sizes)[:MOST_PARTS] if sizes[i] >= LEAST_PART_ML]
    masks = {"soft tissue": body & ~gas, "gas": gas & ~lung, "lung": lung, "lung vessels": vessels}
    labels, names = np.zeros(hu.shape, np.uint8), []
    for name, mask in [*masks.items(), *((f"bone {i + 1}", bones == part + 1) for i, part in enumerate(largest))]:
        if mask.sum() * voxel_ml >= LEAST_PART_ML:
            names.append(name)
            labels[mask] = len(names)
    return labels, tuple(names)


def _keep_largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel(), minlength=count + 1)[1:]))


def _keep_parts(mask: np.ndarray, voxel_ml: float, least_ml: float) -> np.ndarray:
    parts, count = ndimage.label(mask)
    keep = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml >= least_ml
    keep[0] = False
    return np.asarray(keep[parts])


@dataclass(frozen=True)
class Agreement:
    """Of one label: Dice, average symmetric surface distance in mm, volume over the true one."""

    dice: float
    distance_mm: float
    volume_ratio: float


class TrueLabel:
    """One label of the truth, whose distances are computed once."""

    def __init__(self, mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        self._box = tuple(slice(max(0, s.start - 12), s.stop + 12) for s in box)
        self._spacing, self._mask = spacing_mm, mask[self._box]
        self._surface = find_surface(self._mask)
        self._distance = ndimage.distance_transform_edt(~self._surface, sampling=spacing_mm)

    def compare(self, mask: np.ndarray) -> Agreement:
        """How well a mask of the whole volume agrees; distances within 12 voxels around the label."""
        volume = mask.sum() / self._mask.sum()
        mask = mask[self._box]
        surface = find_surface(mask)
        dice = 2 * (mask & self._mask).sum() / (mask.sum() + self._mask.sum())
        if not surface.any():
            return Agreement(0.0, float(self._distance.max()), 0.0)
        back = ndimage.distance_transform_edt(~surface, sampling=self._spacing)[self._surface]
        both = np.concatenate([self._distance[surface], back])
        return Agreement(float(dice), float(both.mean()), float(volume))


def find_surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask with a neighbour outside it; the edge of the volume is none."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))
