"""Networks small enough to run in milliseconds, and volumes to run them on."""

import numpy as np
import torch

from saint_cli.geometry import SliceGrid
from saint_cli.method import pipeline
from saint_cli.method.network_input import prepare_input
from saint_cli.method.pipeline import Estimates
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models.weights import SaintModel
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.options.method import MethodOptions
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Header, Volume

CPU = Compute(torch.device("cpu"), torch.float32)

HALF = 2.0**-10
"""Half the distance between neighbouring half-precision numbers, as a fraction: residuals are kept in that format."""

AMI_SIZE = (8, 4, 2, 2)
RFN_SIZE = TrunkSize(6, 8, 4, 2, 1)


def ami(seed: int = 0, fold: int = 1) -> AMI:
    """An AMI with random weights whose residuals are large enough to see."""
    torch.manual_seed(seed)
    net = AMI(*AMI_SIZE, fold).eval()
    with torch.no_grad():
        for parameter in net.filters.layers[-1].parameters():
            parameter.mul_(5)
    return net


def rfn(seed: int = 0, size: TrunkSize = RFN_SIZE) -> RFN:
    """An RFN with random weights, its last convolution no longer zero."""
    torch.manual_seed(seed)
    net = RFN(size).eval()
    torch.nn.init.normal_(net.output.weight, 0, 0.05)
    return net


def model(seed: int = 0, fold: int = 1) -> SaintModel:
    """A model that changes every synthesised voxel."""
    return SaintModel(ami(seed, fold), rfn(seed), "tiny", "0" * 64)


def linear_model() -> SaintModel:
    """A model whose result is linear interpolation: AMI's generated filters are zero, RFN is untrained."""
    net = ami()
    with torch.no_grad():
        for parameter in net.filters.layers[-1].parameters():
            parameter.zero_()
    return SaintModel(net, RFN(RFN_SIZE).eval(), "linear", "0" * 64)


def upsample(
    scan: Volume,
    model: SaintModel,
    grid: SliceGrid,
    compute: Compute,
    options: MethodOptions = MethodOptions(),  # noqa: B008  (frozen)
    on_progress: ProgressCallback = silent,
) -> Volume:
    """The final result of ``pipeline.restore``."""
    return pipeline.restore(scan, model, grid, compute, options, on_progress).result()


def volume(
    shape: tuple[int, int, int] = (20, 18, 5), axis: int = 2, dtype: str = "int16", modality: str | None = "CT"
) -> Volume:
    """Noisy tissue in every voxel, [x, y, z] HU (a dtype without sign gets fewer); 0.7 x 0.9 mm, 5 mm along axis."""
    kind = np.dtype(dtype)
    low, high = (0, 127) if kind.itemsize == 1 else (100, 2500) if kind.kind == "u" else (-700, 1500)
    voxels = np.random.default_rng(5).uniform(low, high, shape)
    order = [i for i in range(3) if i != axis] + [axis]
    affine = np.eye(4)
    affine[:3, order] = np.array([[0.7, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 5.0]])
    affine[:3, 3] = -31.5, 12.25, 80.0
    stored = np.rint(voxels).astype(kind) if kind.kind in "iu" else voxels.astype(kind)
    return Volume(stored, affine, Header(modality))


def transposed(scan: Volume) -> Volume:
    """The same scan with its x and y voxel axes exchanged."""
    affine = scan.affine_lps.copy()
    affine[:, [0, 1]] = affine[:, [1, 0]]
    return Volume(scan.voxels.swapaxes(0, 1), affine, scan.header)


def estimates(
    volume: Volume, grid: SliceGrid, compute: Compute = CPU, networks: SaintModel | None = None, directions: int = 2
) -> Estimates:
    """Residuals over linear interpolation, network range."""
    network_input, plan = prepare_input(volume, grid), SlicePlan.from_grid(grid)
    return pipeline.estimate_residuals(
        network_input, networks or model(), plan, compute, MethodOptions(directions=directions)
    )


def assert_same_estimates(ours: Estimates, theirs: Estimates) -> None:
    """That they differ by no more than two roundings to half precision."""
    for name in ("sagittal", "coronal", "fused"):
        one, other = getattr(ours, name).float(), getattr(theirs, name).float()
        assert float(one.abs().mean()) > 0.01
        torch.testing.assert_close(one, other, rtol=2 * HALF, atol=1e-5)
