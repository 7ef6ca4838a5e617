"""Random patches of dense volumes, made sparse by Eq. (1), as the two training stages need them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from saint_cli import intensity
from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import read_volume

FACTORS = (2, 3, 4, 5, 6, 7, 8)
FEWEST_SLICES = 60
THICKEST_MM = 5.0
"""The paper decimates a dense volume further until it has fewer slices or thicker ones than these (Section 4)."""

ENDINGS = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
"""Files of a data folder that are volumes; what else lies there (.img, .raw, notes) belongs to one or is none."""

AIR_UNITS = 0.15
"""Network value (-874 HU) below which a patch is mostly outside the patient; such patches teach nothing."""

TRIES = 8


@dataclass(frozen=True)
class DenseVolume:
    """One training volume: ``voxels`` [x, y, z] in its stored dtype, z through-plane; spacing in mm; value map."""

    name: str
    voxels: np.ndarray
    spacing_mm: tuple[float, float, float]
    values: intensity.IntensityMap

    @property
    def decimations(self) -> list[int]:
        """Extra decimations that the paper's augmentation allows, 1 always among them."""
        slices, spacing = self.voxels.shape[2], self.spacing_mm[2]
        return [d for d in range(1, 9) if d == 1 or (slices // d >= FEWEST_SLICES and spacing * d <= THICKEST_MM)]


class AmiBatch(NamedTuple):
    """Sparse slices and the dense truth between them.

    slices (B, 3, H, W) network range; offsets (B, T); in_plane_mm, through_plane_mm (B,);
    linear, truth (B, T, H, W - 1) network range: linear interpolation and the real voxels at each offset.
    """

    slices: np.ndarray
    offsets: np.ndarray
    in_plane_mm: np.ndarray
    through_plane_mm: np.ndarray
    linear: np.ndarray
    truth: np.ndarray


def load_dense(folder: Path) -> list[DenseVolume]:
    """Every volume of a folder, through-plane axis moved last; sub-folders are DICOM series.

    Raises:
        UnreadableError: the folder is missing, or a volume in it is damaged.
        UsageError: the folder holds no volume.
    """
    if not folder.is_dir():
        raise UnreadableError(f"{folder}: no such folder")
    volumes = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not (file.is_dir() or file.name.lower().endswith(ENDINGS)):
            continue
        volume = read_volume(file)
        axis = int(np.argmax(volume.spacing_mm))
        x, y, z = (*(i for i in range(3) if i != axis), axis)
        spacing = volume.spacing_mm
        voxels = np.ascontiguousarray(volume.voxels.transpose(x, y, z))
        volumes.append(DenseVolume(file.name, voxels, (spacing[x], spacing[y], spacing[z]), intensity.map_for(volume)))
    if not volumes:
        raise UsageError(f"{folder} holds no volume to train on")
    return volumes


class PatchSource:
    """Which volumes, at which extra decimations, hold a patch at a factor; draws among them.

    in_plane: voxels that the patch needs along both in-plane axes; acquired: its slices after decimation.

    Raises:
        UsageError: no volume is large enough for any factor.
    """

    def __init__(self, volumes: list[DenseVolume], in_plane: int, acquired: int) -> None:
        self.acquired = acquired
        wide = [v for v in volumes if min(v.voxels.shape[:2]) >= in_plane]
        fits = {
            factor: [(v, steps) for v in wide if (steps := [d for d in v.decimations if self.fits(v, factor * d)])]
            for factor in FACTORS
        }
        self.by_factor = {factor: found for factor, found in fits.items() if found}
        if not self.by_factor:
            least = self.length(min(FACTORS))
            raise UsageError(
                f"no volume is large enough to train on: at least {least} slices of {in_plane} x {in_plane} voxels"
            )

    def length(self, factor: int) -> int:
        """Dense slices under ``acquired`` slices that lie ``factor`` apart."""
        return (self.acquired - 1) * factor + 1

    def fits(self, volume: DenseVolume, factor: int) -> bool:
        """Whether a volume has the slices for a patch at a factor, extra decimation included."""
        return bool(volume.voxels.shape[2] >= self.length(factor))

    def factor(self, rng: np.random.Generator) -> int:
        """One of the factors that some volume can serve."""
        return int(rng.choice(list(self.by_factor)))

    def draw(self, rng: np.random.Generator, factor: int) -> tuple[DenseVolume, int, slice]:
        """A volume (large ones more often), an extra decimation, and the dense slices to take, decimated so."""
        fitting = self.by_factor[factor]
        weight = np.sqrt([float(v.voxels.size) for v, _ in fitting])
        volume, steps = fitting[rng.choice(len(fitting), p=weight / weight.sum())]
        step = int(rng.choice(steps))
        length = self.length(factor * step)
        first = int(rng.integers(volume.voxels.shape[2] - length + 1))
        return volume, step, slice(first, first + length, step)


class AmiSampler:
    """Patches for the AMI stage. Batch k of a seed is always the same, so a resumed run repeats nothing and skips none.

    patch: in-plane length H and number of acquired slices W of every patch.

    Raises:
        UsageError: no volume is large enough for such a patch.
    """

    def __init__(self, volumes: list[DenseVolume], batch: int, patch: tuple[int, int], seed: int) -> None:
        self.batch, self.height, self.seed = batch, patch[0], seed
        self.source = PatchSource(volumes, max(patch[0], 3), patch[1])

    def at(self, step: int) -> AmiBatch:
        """The batch of a step; all its patches share one factor, so that they share one number of offsets."""
        rng = np.random.default_rng((self.seed, step))
        factor = self.source.factor(rng)
        samples = [self._sample(rng, factor) for _ in range(self.batch)]
        return AmiBatch(*(np.stack(column) for column in zip(*samples, strict=True)))

    def _sample(self, rng: np.random.Generator, factor: int) -> AmiBatch:
        for _ in range(TRIES):
            dense, spacing = self._patch(rng, factor)
            if dense[1].mean() > AIR_UNITS:
                break
        offsets = np.arange(1, factor, dtype=np.float32) / factor
        sparse = dense[..., ::factor]  # (3, H, W)
        height, windows = sparse.shape[1], sparse.shape[2] - 1
        between = dense[1, :, :-1].reshape(height, windows, factor)[..., 1:]  # (H, W - 1, T)
        truth = between.transpose(2, 0, 1)  # (T, H, W - 1)
        t = offsets[:, None, None]
        line = (1 - t) * sparse[1, :, :-1] + t * sparse[1, :, 1:]
        in_plane, through = (np.array(mm, np.float32) for mm in spacing)
        return AmiBatch(sparse, offsets, in_plane, through, line, truth)

    def _patch(self, rng: np.random.Generator, factor: int) -> tuple[np.ndarray, tuple[float, float]]:
        """(3, H, (W - 1) * factor + 1) dense network values, and spacing (in-plane, between acquired slices) in mm."""
        volume, step, depth = self.source.draw(rng, factor)
        sagittal = rng.random() < 0.5
        view = volume.voxels if sagittal else volume.voxels.transpose(1, 0, 2)
        x, y = int(rng.integers(view.shape[0] - 2)), int(rng.integers(view.shape[1] - self.height + 1))
        dense = view[x : x + 3, y : y + self.height, depth]
        for axis in range(3):
            if rng.random() < 0.5:
                dense = np.flip(dense, axis)
        spacing = volume.spacing_mm
        return volume.values.to_network(dense), (spacing[1 if sagittal else 0], spacing[2] * step * factor)
