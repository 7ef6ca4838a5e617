"""One volume to train on, as 16-bit integers on the device that draws patches from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saint_cli.method.intensity import IntensityMap

FEWEST_SLICES = 60
THICKEST_MM = 5.0
"""The paper decimates a dense volume further until it has fewer slices or thicker ones than these (Section 4)."""

LARGEST_ANISOTROPY = 1.5
"""In-plane spacings that slices may lie apart to be taken as neighbouring columns of a volume seen sideways."""

INT16 = np.iinfo(np.int16)

COARSE_STRIDE = 4
"""Voxels between those of a volume on a GPU that the host keeps, along every axis."""

SHARE_OF_GPU_MEMORY = 0.5
"""Of a GPU's free memory that volumes may fill; network, gradients and optimiser need the rest."""


@dataclass(frozen=True, eq=False)
class DenseVolume:
    """One training volume: ``voxels`` [x, y, z] int16, z through-plane; spacing in mm; what the integers mean.

    name: of its file; source: the file's whole path; neighbour_step: how many voxels along x a neighbouring slice is
    away; below 1 it is interpolated, and slices are taken along y only, never along x. Made by ``from_array``.
    """

    name: str
    voxels: Tensor
    spacing_mm: tuple[float, float, float]
    values: IntensityMap
    source: str = ""
    neighbour_step: float = 1.0

    @classmethod
    def from_array(
        cls,
        name: str,
        voxels: np.ndarray,
        spacing_mm: tuple[float, float, float],
        values: IntensityMap,
        source: str = "",
    ) -> "DenseVolume":
        """From scanner values [x, y, z]; int16 arrays are shared, memory-mapped ones stay so.

        Whole numbers, such as HU, stay exact. Others are rounded to one of 65,536 levels of their window: to 0.06 HU,
        or 6e-5 of network range where the values are no HU.
        """
        integers, values = quantise(voxels, values)
        return cls(name, torch.from_numpy(np.ascontiguousarray(integers)), spacing_mm, values, source)

    def to(self, device: torch.device) -> "DenseVolume":
        """The volume with its voxels on a device."""
        return replace(self, voxels=self.voxels.to(device))

    def to_network(self, voxels: Tensor) -> Tensor:
        """Voxels of this volume, of any shape, to float32 network values."""
        low, high, scale = self.values.low, self.values.high, self.values.scale
        return voxels.float().clamp_(low, high).sub_(low).div_(scale)

    def cut_middle(self, side: int, depth: int, factor: int) -> Tensor:
        """Network values [x, y, slices] in the middle, on the CPU: at most ``side`` and ``depth`` voxels.

        As many slices as end with an acquired one where every ``factor``-th is.
        """
        x, y, most = (min(n, wanted) for n, wanted in zip(self.voxels.shape, (side, side, depth), strict=True))
        lengths = (x, y, (most - 1) // factor * factor + 1)
        starts = [(n - length) // 2 for n, length in zip(self.voxels.shape, lengths, strict=True)]
        cut = tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
        return self.to_network(self.voxels[cut].cpu())

    @property
    def coarse_stride(self) -> int:
        """Voxels between those of ``coarse``, along every axis."""
        return COARSE_STRIDE if self.voxels.is_cuda else 1

    @cached_property
    def coarse(self) -> np.ndarray:
        """What the host sees of the voxels: themselves, or where they lie on a GPU a copy of some."""
        step = self.coarse_stride
        seen: np.ndarray = self.voxels[::step, ::step, ::step].cpu().numpy()
        return seen

    @property
    def decimations(self) -> list[int]:
        """Extra decimations that the paper's augmentation allows, 1 always among them."""
        slices, spacing = self.voxels.shape[2], self.spacing_mm[2]
        return [d for d in range(1, 9) if d == 1 or (slices // d >= FEWEST_SLICES and spacing * d <= THICKEST_MM)]

    def view_sideways(self, *, thick: bool = False) -> "list[DenseVolume]":
        """The same voxels as if x, or y, were through-plane.

        In-plane resolution is finer than what lies between slices, so volumes teach more this way (the principle of
        SMORE, Zhao et al., IEEE TMI 40, 805-817, 2021). Volumes whose slices lie too far apart to be neighbours have
        none, or with ``thick`` show every slice by itself: its neighbours at one pixel's distance are interpolated.
        """
        x, y, z = self.spacing_mm
        views = (("x", (1, 2, 0), (2, 1, 0), (y, z, x)), ("y", (0, 2, 1), (2, 0, 1), (x, z, y)))
        turned = []
        for axis, cube, slab, spacing in views:
            name = f"{self.name} along {axis}"
            if z <= LARGEST_ANISOTROPY * min(x, y):
                turned.append(DenseVolume(name, self.voxels.permute(cube), spacing, self.values))
            elif thick:
                pixel_mm, _, through = spacing
                step = pixel_mm / z
                mm = (pixel_mm, pixel_mm, through)
                turned.append(DenseVolume(name, self.voxels.permute(slab), mm, self.values, neighbour_step=step))
        return turned


class TrainingData(NamedTuple):
    """Training and validation volumes."""

    train: list[DenseVolume]
    val: list[DenseVolume]


def quantise(voxels: np.ndarray, values: IntensityMap) -> tuple[np.ndarray, IntensityMap]:
    """Scanner values as int16, and the map from these to network range.

    int16 comes back itself. Whole numbers whose window int16 can hold are clipped to it; all else is rounded to one of
    65,536 levels between the window's ends.
    """
    low, high = np.floor(values.low), np.ceil(values.high)
    if low >= INT16.min and high <= INT16.max:
        if voxels.dtype == np.int16:
            return voxels, values
        if voxels.dtype.kind in "iu" or np.array_equal(np.rint(voxels), voxels):
            return np.clip(voxels, low, high).astype(np.int16), values
    levels_per_unit = (INT16.max - INT16.min) * values.scale / (values.high - values.low)
    levels = np.rint(values.to_network(voxels) * np.float32(levels_per_unit)) + INT16.min
    codes = np.clip(levels, INT16.min, INT16.max).astype(np.int16)
    return codes, IntensityMap(float(INT16.min), float(INT16.max), levels_per_unit)


def place_volumes(volumes: Sequence[DenseVolume], device: torch.device) -> tuple[list[DenseVolume], str | None]:
    """The volumes on a GPU where they fit into ``SHARE_OF_GPU_MEMORY`` of what is free there.

    Else they stay where they are, which is no loss on a CPU; on a GPU the second value says so.
    """
    if device.type != "cuda":
        return list(volumes), None
    torch.cuda.empty_cache()  # what an earlier stage has given back counts as free
    needed, (free, _) = sum(v.voxels.nbytes for v in volumes), torch.cuda.mem_get_info(device)
    if needed <= SHARE_OF_GPU_MEMORY * free:
        return [v.to(device) for v in volumes], None
    note = f"volumes of {needed / 1e9:.1f} GB stay in main memory: {device} has {free / 1e9:.1f} GB free"
    return list(volumes), f"{note}; patches are drawn by the CPU, which a GPU waits for"


def move_array(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on a device; a GPU fetches it from page-locked memory when its turn comes, and is not waited for."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
