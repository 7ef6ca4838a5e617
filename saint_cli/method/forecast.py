"""How long a job will take, with its own model and with another: pixels counted, speed measured for a moment.

``directions`` and ``fusion`` send that many pixels through the networks. The speed of both networks is measured just
before, on an empty image, on the same device with the same threads.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from saint_cli.errors.parameter_names import adapt_message
from saint_cli.geometry import SliceGrid, in_plane
from saint_cli.method import intensity, planes
from saint_cli.method.directions import FLIP_COUNT, make_tiling
from saint_cli.method.fusion import cut_strips
from saint_cli.method.network_input import find_body
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models import shipped
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.nets.blocks import ResidualDenseNetwork
from saint_cli.options.method import MethodOptions
from saint_cli.progress import format_duration
from saint_cli.runtime.device_selection import PIXELS_PER_BATCH, Compute
from saint_cli.volume import Header, Volume

MIN_ANNOUNCED_S = 60.0
"""Jobs that take less are not announced."""

SHORT_JOB_MACS = {"cpu": 2e11, "cuda": 6e13, "mps": 1.2e13}
"""Multiply-adds that take less than a minute on any machine of today; for fewer, no speed is measured."""

WARM_UP_PIXELS, MEASURED_PIXELS = 1_000, 8_000
"""A first run warms the device up and takes up to four times as long per pixel; the second is much nearer."""

STRIP_WIDTH = 256
"""Pixels across the strips in which RFN's speed is measured."""

OTHER_WORK_FACTOR = 1.05
"""Times the networks' own seconds: reading, filters, assembling and writing take a twentieth."""

PAGE_SHARE = 0.15
"""Of the work of a volume, what a page of it adds."""


@dataclass(frozen=True)
class PixelCounts:
    """Pixels that go through the networks: of AMI's planes in all directions, and of RFN's axial slices."""

    ami: int
    rfn: int


@dataclass(frozen=True)
class Forecast:
    """Seconds that a job will take with its model, and with another that is shipped; of slabs there is but one.

    other: the name to ask for it by, without what the names for a modality begin with.
    """

    seconds: float
    other: str | None
    other_seconds: float

    def sentence(self, model: str) -> str:
        """Both in words; the other's only where it differs."""
        own, other = format_duration(self.seconds), format_duration(self.other_seconds)
        if self.other is None or other == own:
            return f"about {own} with {model}"
        return adapt_message(f"about {own} with {model}; {self.other} would take about {other} (`model={self.other}`)")


def forecast(
    volume: Volume, model: SaintModel, grid: SliceGrid, compute: Compute, options: MethodOptions, *, work: float = 1.0
) -> Forecast | None:
    """The seconds of a job; None if it takes less than a minute.

    work: times that of the volume, for several like it and for a page.
    """
    pixels, depth = count_pixels(volume, model, grid, compute, options), grid.acquired
    factor = OTHER_WORK_FACTOR * work / len(compute.devices)
    multiply_adds = model.ami.features.multiply_adds * pixels.ami + model.rfn.features.multiply_adds * pixels.rfn
    if work * multiply_adds < SHORT_JOB_MACS[compute.device.type]:
        return None
    for measured in (WARM_UP_PIXELS, MEASURED_PIXELS):
        seconds = factor * measure_network_seconds(model, pixels, compute, depth, measured)
        if seconds < MIN_ANNOUNCED_S:
            return None
    if model.ami.slabs:
        return Forecast(seconds, None, 0.0)
    name = shipped.ALTERNATIVES.get(shipped.remove_prefix(model.name), shipped.DEFAULT_MODEL)
    modality = intensity.find_modality(volume)
    other = load_model(shipped.resolve_name(name, modality))  # what `model=name` stands for
    pixels = count_pixels(volume, other, grid, compute, options)  # RFN is used from another number of slices on
    measure_network_seconds(other, pixels, compute, depth, WARM_UP_PIXELS)
    return Forecast(seconds, name, factor * measure_network_seconds(other, pixels, compute, depth))


def count_pixels(
    volume: Volume, model: SaintModel, grid: SliceGrid, compute: Compute, options: MethodOptions
) -> PixelCounts:
    """The pixels of a volume that will go through the networks, halos and repetitions counted."""
    sparse, depth = np.moveaxis(volume.voxels, grid.axis, 2), grid.acquired
    needed = torch.ones(sparse.shape[:2], dtype=torch.bool)
    if options.skip_air and intensity.is_ct(volume):
        _, needed = find_body(_brightest_columns(sparse, volume.header))
    x, y = needed.shape
    views = planes.make_views((x, y), in_plane(volume.spacing_mm, grid.axis), options.directions)
    tiling = make_tiling(compute, depth, model.ami.features.size.reach, model.ami.features.size.fold)
    rows = sum(part.pixels for view in views for part in planes.cut_parts(view, needed, tiling))
    fused = int(SlicePlan.from_grid(grid, regenerate=options.regenerate).uses_rfn(int(model.rfn.fewest)).sum())
    strips = (outer for _, outer in cut_strips(needed, compute.fusion_pixels, model.rfn.features.size.reach))
    axial = sum((x.stop - x.start) * (y.stop - y.start) for x, y in strips)
    return PixelCounts(rows * depth * (FLIP_COUNT if options.tta else 1), axial * fused)


def _brightest_columns(sparse: np.ndarray, header: Header) -> np.ndarray:
    """[X, Y] the highest network value of each column of CT [X, Y, acquired], padding left out."""
    brightest = np.zeros(sparse.shape[:2], np.float32)
    for k in range(sparse.shape[2]):
        plane = np.where(header.is_padding(sparse[..., k]), intensity.CT.low, sparse[..., k])
        np.maximum(brightest, intensity.CT.to_network(plane), out=brightest)
    return brightest


def measure_network_seconds(
    model: SaintModel, pixels: PixelCounts, compute: Compute, depth: int, measured: int = MEASURED_PIXELS
) -> float:
    """Seconds that both networks take for so many pixels on the first of the devices.

    depth: acquired slices; measured: pixels whose time is measured.
    """
    model = model.to(compute.device)
    seconds = pixels.ami * _measure_pixel_s(model.ami.features, measured, depth, compute)
    if pixels.rfn:
        seconds += pixels.rfn * _measure_pixel_s(model.rfn.features, 2 * measured, STRIP_WIDTH, compute)
    return seconds


@torch.inference_mode()
def _measure_pixel_s(network: ResidualDenseNetwork, pixels: int, width: int, compute: Compute) -> float:
    """Seconds per pixel of a network on an image of so many pixels in rows of ``width``."""
    repeats = max(1, PIXELS_PER_BATCH[compute.device.type] // PIXELS_PER_BATCH["cpu"])  # a GPU computes many at once
    shape = (1,) * (network.size.dims - 2) + (-(-repeats * pixels // width), width)
    image = torch.zeros(1, network.size.inputs, *shape, device=compute.device)
    seconds = list[float]()
    for _ in range(1 if pixels == WARM_UP_PIXELS else 2):  # another program may disturb one
        began = time.perf_counter()
        with compute.autocast():
            float(network(image).float().mean())  # a number on the host is there when the device has ended
        seconds.append(time.perf_counter() - began)
    return min(seconds) / image[0, 0].numel()
