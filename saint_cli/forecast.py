"""How long a job will take, with its own model and with another: pixels counted, speed measured for a moment.

The pixels are those that ``directions`` and ``fusion`` will send through the networks. Their speed is that of both
networks on an empty picture, just before, on the same device with the same threads.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from saint_cli import intensity, planes, shipped
from saint_cli.choices import Choices
from saint_cli.compute import PIXELS_PER_BATCH, Compute
from saint_cli.directions import FLIPS, tiling
from saint_cli.fusion import strips
from saint_cli.geometry import SliceGrid
from saint_cli.nets.blocks import ResidualDenseNetwork
from saint_cli.plan import SlicePlan
from saint_cli.progress import duration
from saint_cli.scene import outline
from saint_cli.volume import Header, Volume
from saint_cli.weights import SaintModel, load_model

WORTH_TELLING_S = 60.0
"""Jobs that take less are not announced."""

SURELY_SHORT = {"cpu": 2e11, "cuda": 6e13, "mps": 1.2e13}
"""Multiply-adds that take no minute on any machine of today; what has fewer is not measured."""

ROUGH_PIXELS, PIXELS = 1_000, 8_000
"""A first run warms the device up and is up to four times as slow by the pixel; the second is much nearer."""

STRIP = 256
"""Pixels across the strips in which RFN's speed is measured."""

REST = 1.05
"""Times the networks' own seconds: reading, filters, assembling and writing take a twentieth."""

PAGE = 1.15
"""Times the work where a page is wanted too."""


@dataclass(frozen=True)
class Pixels:
    """What the networks see: pixels of AMI's planes in all directions, and of RFN's axial slices."""

    ami: int
    rfn: int


@dataclass(frozen=True)
class Forecast:
    """Seconds that a job will take with its model, and with the other that is shipped."""

    seconds: float
    other: str
    other_seconds: float

    def sentence(self, model: str) -> str:
        """Both in words."""
        would = f"{self.other} would take about {duration(self.other_seconds)} (--model {self.other})"
        return f"about {duration(self.seconds)} with {model}; {would}"


def forecast(
    volume: Volume, grid: SliceGrid, model: SaintModel, machine: Compute, choices: Choices, *, page: bool = False
) -> Forecast | None:
    """The seconds of a job; None if it surely takes less than a minute, or turned out to."""
    pixels = count_pixels(volume, grid, model, machine, choices)
    times = REST * (PAGE if page else 1.0) / len(machine.devices)
    if _multiply_adds(model, pixels) < SURELY_SHORT[machine.device.type]:
        return None
    for measured in (ROUGH_PIXELS, PIXELS):
        own = times * network_seconds(model, pixels, machine, grid.acquired, measured)
        if own < WORTH_TELLING_S:
            return None
    other = shipped.ON_CPU if model.name != shipped.ON_CPU else shipped.ON_GPU
    compared = load_model(other)
    network_seconds(compared, pixels, machine, grid.acquired, ROUGH_PIXELS)
    return Forecast(own, other, times * network_seconds(compared, pixels, machine, grid.acquired, PIXELS))


def count_pixels(volume: Volume, grid: SliceGrid, model: SaintModel, machine: Compute, choices: Choices) -> Pixels:
    """The pixels that the networks will see of a volume, halos and repetitions counted."""
    sparse, depth = np.moveaxis(volume.voxels, grid.axis, 2), grid.acquired
    ct = choices.skip_air and intensity.is_ct(volume)
    box, body = outline(_brightest(sparse, volume.header)) if ct else ((planes.WHOLE, planes.WHOLE), None)
    needed = torch.ones(sparse[box].shape[:2], dtype=torch.bool) if body is None else body
    spacing_mm = tuple(s for axis, s in enumerate(volume.spacing_mm) if axis != grid.axis)
    x, y = needed.shape
    views = planes.views((x, y), (spacing_mm[0], spacing_mm[1]), choices.directions)
    cut = tiling(machine, depth, model.ami.reach)
    rows = sum(p.count * (p.seen.stop - p.seen.start) for view in views for p in planes.parts(view, needed, cut))
    plan = SlicePlan.of(grid, regenerate=choices.regenerate)
    windows = [plan.offset[plan.window == window] for window in np.unique(plan.window)]
    fused = sum(len(offsets) for offsets in windows if np.count_nonzero(offsets) >= int(model.rfn.fewest))
    seen = (outer for _, outer in strips(needed, machine.fusion_pixels, model.rfn.reach))
    strip = sum((a.stop - a.start) * (b.stop - b.start) for a, b in seen)
    return Pixels(rows * depth * (FLIPS if choices.tta else 1), strip * fused)


def _brightest(sparse: np.ndarray, header: Header) -> np.ndarray:
    """[X, Y] the highest network value of each column of CT [X, Y, acquired], padding left out."""
    brightest = np.zeros(sparse.shape[:2], np.float32)
    for k in range(sparse.shape[2]):
        plane = np.where(header.is_padding(sparse[..., k]), intensity.CT.low, sparse[..., k])
        np.maximum(brightest, intensity.CT.to_network(plane), out=brightest)
    return brightest


def network_seconds(model: SaintModel, pixels: Pixels, machine: Compute, depth: int, measured: int = PIXELS) -> float:
    """Seconds that both networks take for so many pixels on the first of the devices.

    depth: acquired slices; measured: pixels by which the speed is found.
    """
    model = model.to(machine.device)
    ami = pixels.ami * _pixel_s(model.ami.features, measured, depth, machine)
    return ami + (pixels.rfn * _pixel_s(model.rfn.features, 2 * measured, STRIP, machine) if pixels.rfn else 0.0)


def _multiply_adds(model: SaintModel, pixels: Pixels) -> float:
    ami, rfn = (sum(p.numel() for p in net.features.parameters()) for net in (model.ami, model.rfn))
    return float(ami * pixels.ami + rfn * pixels.rfn)


@torch.inference_mode()
def _pixel_s(network: ResidualDenseNetwork, pixels: int, width: int, machine: Compute) -> float:
    """Seconds that a network takes for a pixel of a picture so many pixels wide, in the machine's precision."""
    times = max(1, PIXELS_PER_BATCH[machine.device.type] // PIXELS_PER_BATCH["cpu"])  # a GPU computes many at once
    shape = (1,) * (network.size.dims - 2) + (-(-times * pixels // width), width)
    picture = torch.zeros(1, network.size.inputs, *shape, device=machine.device)
    seconds = list[float]()
    for _ in range(1 if pixels == ROUGH_PIXELS else 2):  # another program may disturb one
        began = time.perf_counter()
        with machine.autocast():
            float(network(picture).float().mean())  # a number on the host is there when the device has ended
        seconds.append(time.perf_counter() - began)
    return min(seconds) / picture[0, 0].numel()
