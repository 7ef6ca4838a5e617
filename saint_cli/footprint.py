"""How much memory the networks take at work, from their sizes; what is checked before any voxel is computed."""

from dataclasses import replace

from saint_cli import memory
from saint_cli.compute import PIXELS_PER_BATCH, Compute
from saint_cli.geometry import SliceGrid
from saint_cli.nets.blocks import TrunkSize
from saint_cli.planes import most_seen
from saint_cli.volume import Volume
from saint_cli.weights import SaintModel

GPU_HOST_BYTES = 700_000_000
"""What a job on a CUDA GPU takes of the host's memory, its libraries among it; not yet measured."""

BYTES_PER_FEATURE = 8
"""A float32, and as much again for what its convolution needs; ``base`` and ``fast`` were seen to take less."""


def fitted(
    machine: Compute, model: SaintModel, volume: Volume, grid: SliceGrid, allowed: int | None, extra: int = 0
) -> Compute:
    """The machine, told how much of the residuals it may hold in memory.

    allowed: bytes that the user allows, None for as many as ``memory.BEYOND_BYTES`` beyond input and output; extra:
    bytes of each output voxel that are written besides it.

    Raises:
        UsageError: more is needed than is allowed, or than the machine has.
    """
    read, plane = volume.voxels, tuple(n for axis, n in enumerate(volume.shape) if axis != grid.axis)
    written = read.size // grid.acquired * grid.count * (read.itemsize + extra)
    work = work_bytes(model, machine, plane, grid.acquired)
    work += read.nbytes if volume.header.padding else 0  # the copy in which padding is hidden
    return replace(machine, residual_bytes=memory.residual_bytes(read.nbytes, read.size, written, work, allowed))


def work_bytes(model: SaintModel, machine: Compute, plane: tuple[int, ...], acquired: int) -> int:
    """What a job takes besides its volumes: the process, activations, and gaps between freed blocks.

    plane: pixels (x, y) of a slice; acquired: number of slices. A 3-D RFN takes more than is counted here.
    """
    if machine.device.type == "cuda":
        return GPU_HOST_BYTES
    side, halo = max(plane), model.rfn.reach
    rows = min(side, most_seen(machine.most_pixels // acquired, model.ami.reach))
    batch = max(PIXELS_PER_BATCH[machine.device.type], machine.batch(rows * acquired) * rows * acquired)
    most_planes = sum(plane) - 1  # as many as diagonals
    strip = max(machine.fusion_pixels, 2 * halo * side) + 4 * halo * (side + halo)
    activations = max(
        min(batch, most_planes * side * acquired) * bytes_per_pixel(model.ami.features.size),
        min(strip, side * side) * bytes_per_pixel(model.rfn.features.size),
    )
    return memory.PROCESS_BYTES + activations + min(activations, memory.KEPT_BYTES)


def bytes_per_pixel(size: TrunkSize) -> int:
    """Of activations at the end of the last block, where they are the most: all blocks' outputs, its features twice."""
    features = size.width + size.layers * size.growth
    return BYTES_PER_FEATURE * ((size.blocks + 1) * size.width + 2 * features)
