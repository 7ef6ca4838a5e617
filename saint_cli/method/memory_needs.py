"""How much memory a job needs, from the sizes of networks and volume: checked before any voxel is computed."""

import math
from dataclasses import replace

from saint_cli.geometry import PlaneGrid, SliceGrid, in_plane
from saint_cli.method import padding, slab_assembly, slab_ends
from saint_cli.method.directions import make_tiling
from saint_cli.method.residuals import RESIDUAL_VOLUMES
from saint_cli.models.weights import SaintModel
from saint_cli.nets.blocks import TrunkSize
from saint_cli.runtime import memory
from saint_cli.runtime.device_selection import PIXELS_PER_BATCH, Compute
from saint_cli.volume import Volume

GPU_HOST_BYTES = 700_000_000
"""Host memory of a job on a CUDA GPU, its libraries included; not yet measured."""

FILLED_BYTES = 8
"""Per voxel of an uneven stack whose wide gaps are filled for a second pass: float32, of up to twice as many slices."""

BYTES_PER_FEATURE = 8
"""A float32, and as much again for its convolution; the shipped networks take less."""


def with_memory_budget(
    volume: Volume, model: SaintModel, grid: SliceGrid, compute: Compute, allowed: int | None, extra: int = 0
) -> Compute:
    """The same device with ``residual_bytes`` for this volume.

    allowed: bytes that the user allows, None for ``memory.DEFAULT_EXTRA_BYTES`` beyond input and output; extra: bytes
    written per output voxel besides the voxel itself.

    Raises:
        UsageError: more is needed than is allowed, or than the machine has.
    """
    read, plane = volume.voxels, in_plane(volume.shape, grid.axis)
    written = read.size // grid.acquired * grid.count * (read.itemsize + extra)
    depth = grid.acquired + 2 * slab_ends.count_ends(grid)
    work = estimate_work_bytes(model, compute, plane, depth) + _count_gathered_bytes(compute, plane, grid)
    if grid.slab is not None:  # after the networks
        needed = slab_assembly.estimate_bytes(grid, (*plane, grid.acquired), read.dtype)
        work = max(work, memory.PROCESS_BYTES + needed)
    copies = padding.count_copies(volume.header, is_finite=padding.is_finite(volume.voxels))
    work += copies * read.nbytes
    work += read.size if copies and grid.slab is not None else 0  # the mask of holes
    work += FILLED_BYTES * read.size if grid.positions is not None else 0
    most = memory.plan_residual_bytes(read.nbytes, read.size // grid.acquired * depth, written, work, allowed)
    return replace(compute, residual_bytes=most if grid.positions is None else most // 2)  # which holds two passes


def _count_gathered_bytes(compute: Compute, plane: tuple[int, int], grid: SliceGrid) -> int:
    """Of residuals that come from a GPU to the host, in bytes; on a CPU those are there, within ``residual_bytes``."""
    if compute.device.type == "cpu":
        return 0
    held = 2 if compute.device.type == "mps" else 1  # whose own memory is the host's
    passes = 1 if grid.positions is None else 2
    return 2 * RESIDUAL_VOLUMES * math.prod(plane) * grid.count * held * passes


def extra_bytes_per_voxel(volume: Volume, grid: SliceGrid, plane: PlaneGrid | None) -> int:
    """Memory that slices resampled in their plane take beside the networks' result, in bytes of each of its voxels."""
    if plane is None:
        return 0
    return -(-volume.placeholder_on(grid, plane).voxels.nbytes // volume.placeholder_on(grid).voxels.size)


def estimate_work_bytes(model: SaintModel, compute: Compute, plane: tuple[int, int], acquired: int) -> int:
    """Memory of a job besides its volumes: the process, activations, and gaps between freed blocks.

    plane: pixels (x, y) of a slice; acquired: number of slices, repeated ones of slabs included. A 3-D RFN needs more.
    """
    if compute.device.type == "cuda":
        return GPU_HOST_BYTES
    ami, rfn = model.ami.features.size, model.rfn.features.size
    side, halo = max(plane), rfn.reach
    tiling = make_tiling(compute, acquired, ami.reach, ami.fold)
    rows = min(side, tiling.max_input_rows)
    batch = max(PIXELS_PER_BATCH[compute.device.type], tiling.batch_size(rows) * rows * acquired)
    max_planes = sum(plane) - 1  # as many as diagonals
    strip = max(compute.fusion_pixels, 2 * halo * side) + 4 * halo * (side + halo)
    activations = max(
        min(batch, max_planes * side * acquired) * estimate_bytes_per_pixel(ami),
        min(strip, side * side) * estimate_bytes_per_pixel(rfn),
    )
    return memory.PROCESS_BYTES + activations + min(activations, memory.MAX_KEPT_BYTES)


def estimate_bytes_per_pixel(size: TrunkSize) -> int:
    """Of activations at the end of the last block, where they peak: all blocks' outputs, and its features twice."""
    features = size.width + size.layers * size.growth
    return BYTES_PER_FEATURE * ((size.blocks + 1) * size.width + 2 * features) // size.fold
