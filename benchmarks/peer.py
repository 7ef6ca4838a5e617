"""py-SAINT's published weights beside saint's models, on the same slices and by the same protocol.

    pip download --no-deps py-SAINT==1.7.0 && unzip py_SAINT-1.7.0-py3-none-any.whl -d PEER
    python benchmarks/peer.py PEER VOLUME... [--factors 2,4,6] [--slices 49] [--models base,medium,fast] [--threads N]

py-SAINT's training data and licence are not stated: its weights are measured here, and neither shipped nor trained on.
They are run as their authors do, oddities included: intensities are predicted instead of residuals, the distance matrix
holds through-plane distances in its rows, and acquired slices are predicted too (which no protocol here counts).
Its concatenated dense blocks are copied into saint's pushed ones, which compute the same, so that speed is comparable.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from arguments import make_parser, split_integers, split_words
from torch import Tensor, nn

from saint_cli.evaluation.evaluate import EvaluationOptions, evaluate, load_models
from saint_cli.evaluation.inputs import EvaluationInputs, read_dense_volume
from saint_cli.evaluation.metrics import PAPER
from saint_cli.evaluation.scores import DegradedScan, Score, Scorer, crop_in_plane
from saint_cli.geometry import in_plane
from saint_cli.nets.ami import convolve
from saint_cli.nets.blocks import ResidualDenseNetwork, TrunkSize
from saint_cli.runtime import device_selection

AMI_SIZE = TrunkSize(3, 64, 32, 8, 6)
RFN_SIZE = TrunkSize(2, 64, 12, 6, 4)
AIR_HU, SPAN = -1024.0, 4000.0
"""py-SAINT's networks get HU + 1024 as input, without any scaling, and their volumes are clipped to 0...4000."""

SLICES_AT_ONCE = 8
State = dict[str, Tensor]


@dataclass(frozen=True)
class Peer:
    """py-SAINT's two networks."""

    features: ResidualDenseNetwork
    filters: nn.Sequential
    fusion: ResidualDenseNetwork
    output: nn.Conv2d


def load_peer(folder: Path) -> Peer:
    """Both networks from an unpacked wheel."""
    ami, rfn = (
        torch.load(folder / "py_SAINT" / stage / "model_best.pt", map_location="cpu", weights_only=True)
        for stage in ("STAGE1", "STAGE2")
    )
    rfn = {key: value.squeeze(-1) if value.ndim == 5 else value for key, value in rfn.items()}
    sizes = (1, 32, 64, 64, 64, 64)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    filters = nn.Sequential(*layers[:-1])
    filters.load_state_dict({k.removeprefix("GW.meta_block."): v for k, v in ami.items() if k.startswith("GW.")})
    output = nn.Conv2d(RFN_SIZE.width, 1, 3, padding=1)
    output.load_state_dict({k.removeprefix("UPNet.0."): v for k, v in rfn.items() if k.startswith("UPNet.")})
    return Peer(convert_trunk(ami, AMI_SIZE), filters.eval(), convert_trunk(rfn, RFN_SIZE), output.eval())


def convert_trunk(state: State, size: TrunkSize) -> ResidualDenseNetwork:
    """Its residual dense network in our form."""
    ours: State = {}
    for name, theirs in (("first", "SFENet1"), ("second", "SFENet2"), ("fuse", "GFF.0"), ("last", "GFF.1")):
        for part in ("weight", "bias"):
            ours[f"{name}.{part}"] = state[f"{theirs}.{part}"]
    for b in range(size.blocks):
        convs = [f"RDBs.{b}.convs.{layer}.conv.0" for layer in range(size.layers)]
        ours[f"blocks.{b}.push.0.bias"] = torch.cat([state[f"{c}.bias"] for c in convs])
        for i in range(size.layers):  # what feature i gives to each layer that comes after it
            start = 0 if i == 0 else size.width + (i - 1) * size.growth
            end = size.width + i * size.growth
            ours[f"blocks.{b}.push.{i}.weight"] = torch.cat([state[f"{c}.weight"][:, start:end] for c in convs[i:]])
        for part in ("weight", "bias"):
            ours[f"blocks.{b}.fuse.{part}"] = state[f"RDBs.{b}.LFF.{part}"]
    network = ResidualDenseNetwork(size)
    network.load_state_dict(ours)
    return network.eval()


def compute_distances(in_plane_mm: float, output_mm: float, factor: int) -> Tensor:
    """(factor, 3, 3) its distance matrices: through-plane distances on the dense grid in the rows, last row first."""
    k, i, j = (torch.arange(n, dtype=torch.float32) for n in (factor, 3, 3))
    through = (k[:, None] + factor * (i - 1)).abs() * output_mm  # (factor, 3)
    return torch.hypot(through[:, :, None], ((j - 1).abs() * in_plane_mm)[None, None]).flip(1)


@torch.inference_mode()
def restore(peer: Peer, degraded: DegradedScan) -> dict[str, np.ndarray]:
    """[X, Y, slices] HU after each of its stages."""
    factor, axis, spacing_mm = int(degraded.factor), degraded.grid.axis, degraded.sparse.spacing_mm
    sparse = torch.from_numpy(np.clip(degraded.acquired.astype(np.float32) - AIR_HU, 0, None))
    (x_mm, y_mm), z_mm = in_plane(spacing_mm, axis), spacing_mm[axis]
    sagittal = interpolate_view(peer, sparse, compute_distances(y_mm, z_mm / factor, factor))
    coronal = interpolate_view(peer, sparse.transpose(0, 1), compute_distances(x_mm, z_mm / factor, factor)).transpose(
        0, 1
    )
    count = degraded.grid.count
    pairs = torch.stack([sagittal, coronal])[..., :count].clamp(0, SPAN).permute(3, 0, 1, 2)  # (S, 2, X, Y)
    mean = pairs.mean(1)
    fused = torch.cat([peer.output(peer.fusion(pairs[i : i + 1]))[:, 0] for i in range(count)]) + mean
    stages = {"sagittal": pairs[:, 0], "coronal": pairs[:, 1], "mean": mean, "fused": fused}
    return {name: stage.permute(1, 2, 0).numpy() + np.float32(AIR_HU) for name, stage in stages.items()}


def interpolate_view(peer: Peer, volume: Tensor, fdm: Tensor) -> Tensor:
    """(A, H, Z) interpolated slice by slice along its first axis: (A, H, Z * factor)."""
    kernels = peer.filters(fdm[:, None]).view(len(fdm), -1, 3, 3)
    padded = F.pad(volume, (0, 0, 0, 0, 1, 1))
    parts = []
    for first in range(0, len(volume), SLICES_AT_ONCE):
        planes = padded[first : first + SLICES_AT_ONCE + 2].unfold(0, 3, 1).permute(0, 3, 1, 2)  # (B, 3, H, Z)
        dense = convolve(peer.features(planes.contiguous()), kernels[None])  # (B, factor, H, Z)
        parts.append(dense.permute(0, 2, 3, 1).flatten(2))
    return torch.cat(parts)


def score_all(options: argparse.Namespace) -> Iterator[Score]:
    """Interpolators, saint's models and py-SAINT on every volume and factor."""
    peer, machine, models = load_peer(options.peer), device_selection.select_compute(), load_models(options.models)
    for file in options.volumes:
        volume, axis, data_range = read_dense_volume(
            file, EvaluationInputs([file], options.factors, slices=options.slices)
        )
        volume = crop_in_plane(volume, axis, PAPER.crop)
        for factor in options.factors:
            degraded = DegradedScan.from_dense(volume, axis, Fraction(factor), name=file.name, data_range=data_range)
            yield from evaluate(degraded, models, EvaluationOptions(("cubic",)), machine).scores
            began = time.perf_counter()
            stages = restore(peer, degraded)
            seconds, scorer = time.perf_counter() - began, Scorer(degraded, PAPER)
            for name, result in stages.items():
                yield scorer.score(name, result, model="py-SAINT", seconds=seconds if name == "fused" else None)


def main() -> None:
    """Print one line per method as it is scored, then everything as JSON if wanted."""
    parser = make_parser(__doc__)
    parser.add_argument("peer", type=Path)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--factors", type=split_integers, default=[2, 4, 6])
    parser.add_argument("--slices", type=int, default=49)
    parser.add_argument("--models", type=split_words, default=["base", "medium", "fast"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    printed = []
    for score in score_all(options):
        printed.append(score)
        seconds = "" if score.seconds is None else f" {score.seconds:.1f} s"
        print(f"{score.volume} x{score.factor} {score.label}: {score.psnr_db:.2f} dB{seconds}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([vars(score) for score in printed], indent=1))


if __name__ == "__main__":
    main()
