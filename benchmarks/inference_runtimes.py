"""AMI by PyTorch as here, by ONNX Runtime, the same in 8 bit, and by OpenVINO: milliseconds and what it costs in dB.

    pip install onnxruntime onnx onnxscript openvino
    python benchmarks/inference_runtimes.py [--models fast,base] [--rounds 8]

Milliseconds are those of a plane of 512 x 50 voxels: one thread, processor time, least of the rounds, in turn. PSNR is
that of sagittal planes of examples/chest_dense.nii.gz at x4. The 8-bit network (per-channel weights of 7 bits,
activations of 8, filters and their convolution in float32) is calibrated on every third of the planes that it is then
scored on, which flatters it.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import onnxruntime
import openvino
import torch
from arguments import make_parser, split_words
from onnxruntime import quantization
from torch import Tensor, nn

from saint_cli import read_volume
from saint_cli.evaluation.metrics import PAPER, psnr
from saint_cli.method import intensity
from saint_cli.models.weights import load_model
from saint_cli.nets import AMI, winograd
from saint_cli.nets.ami import convolve
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.runtime import memory

EXAMPLE = Path(__file__).parent.parent / "examples" / "chest_dense.nii.gz"
FACTOR = 4
LARGE = (1, 3, 512, 50)
STEP = 6
"""Every so many voxels a plane is taken."""

Features = Callable[[Tensor], Tensor]


class Plain(nn.Module):
    """The features of AMI without the choice of a memory format, which cannot be exported."""

    def __init__(self, ami: AMI) -> None:
        super().__init__()
        self.features = ami.features

    def forward(self, slices: Tensor) -> Tensor:
        """(1, 3, H, W) to (1, width, H, W)."""
        return self.features._features(slices)


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Planes by which ONNX Runtime chooses the ranges of activations."""

    def __init__(self, planes: list[Tensor]) -> None:
        self.planes = iter(planes)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next plane, or None after the last."""
        plane = next(self.planes, None)
        return None if plane is None else {"x": plane.numpy()}


def read_planes() -> tuple[list[Tensor], list[np.ndarray], Tensor]:
    """Planes (1, 3, Y, W) of the sparse example, their truth (Y, (W - 1) * FACTOR + 1) in HU, filters' distances."""
    dense = read_volume(EXAMPLE)
    depth = (dense.shape[2] - 1) // FACTOR * FACTOR + 1
    voxels = dense.voxels[..., :depth].astype(np.float32)
    sparse = torch.from_numpy(intensity.CT.to_network(voxels[..., ::FACTOR]))
    at = range(STEP, len(voxels) - STEP, STEP)
    y_mm, z_mm = (torch.tensor(mm) for mm in dense.spacing_mm[1:])
    fdm = filter_distance_matrix(torch.arange(1, FACTOR) / FACTOR, y_mm, z_mm * FACTOR)[None].float()
    return [sparse[x - 1 : x + 2][None].contiguous() for x in at], [voxels[x] for x in at], fdm


def make_runtimes(ami: AMI, planes: list[Tensor], folder: Path) -> dict[str, Features]:
    """The same features by every runtime."""
    plain, eight = folder / "plain.onnx", folder / "eight.onnx"
    with mock.patch.object(winograd, "_is_faster", return_value=False), torch.no_grad():
        torch.onnx.export(
            Plain(ami).eval(), (planes[0],), plain, input_names=["x"], output_names=["y"], dynamo=True, verbose=False
        )
    quantization.quantize_static(plain, eight, Calibration(planes[::3]), per_channel=True, reduce_range=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def start_session(path: Path) -> Features:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda plane: torch.from_numpy(session.run(None, {"x": plane.numpy()})[0])

    compiled = openvino.Core().compile_model(plain, "CPU", {"INFERENCE_NUM_THREADS": 1})
    return {
        "PyTorch, as here": ami.features,
        "ONNX Runtime, float32": start_session(plain),
        "ONNX Runtime, 8 bit": start_session(eight),
        "OpenVINO, float32": lambda plane: torch.from_numpy(compiled([plane.numpy()])[0]),
    }


@torch.inference_mode()
def main() -> None:
    """Measure every runtime on every model and print a table."""
    parser = make_parser(__doc__)
    parser.add_argument("--models", type=split_words, default=["fast", "base"])
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    memory.keep_freed_memory()
    planes, truth, fdm = read_planes()
    print("| model | runtime | ms a plane | PyTorch takes times | PSNR dB |\n|---|---|---|---|---|")
    for name in options.models:
        ami = load_model(name).ami
        with tempfile.TemporaryDirectory() as folder:
            large = torch.rand(LARGE)
            seconds = measure_least_seconds(make_runtimes(ami, [large], Path(folder)), large, options.rounds)
            for runtime, features in make_runtimes(ami, planes, Path(folder)).items():
                quality = measure_psnr(features, ami.filters(fdm), planes, truth)
                ratio = seconds["PyTorch, as here"] / seconds[runtime]
                row = f"| `{name}` | {runtime} | {1000 * seconds[runtime]:.1f} | {ratio:.2f} | {quality:.3f} |"
                print(row, flush=True)


def measure_least_seconds(runtimes: dict[str, Features], plane: Tensor, rounds: int) -> dict[str, float]:
    """Seconds of processor time of each, in turn, so that what else runs on the machine slows all alike."""
    seconds = dict.fromkeys(runtimes, float("inf"))
    for _ in range(rounds):
        for runtime, features in runtimes.items():
            began = time.process_time()
            features(plane)
            seconds[runtime] = min(seconds[runtime], time.process_time() - began)
    return seconds


def measure_psnr(features: Features, filters: Tensor, planes: list[Tensor], truth: list[np.ndarray]) -> float:
    """PSNR, dB, of the synthesised voxels of all planes, paper's range."""
    restored, true = [], []
    for plane, dense in zip(planes, truth, strict=True):
        residual = convolve(features(plane), filters)[0, ..., :-1]  # (T, Y, W - 1)
        below, above = plane[0, 1, :, :-1], plane[0, 1, :, 1:]
        for c in range(1, FACTOR):
            network = torch.lerp(below, above, c / FACTOR) + residual[c - 1]
            restored.append(intensity.CT.low + intensity.CT.scale * network.numpy())
            true.append(dense[:, c::FACTOR])
    return psnr(PAPER.clip(np.stack(true)), PAPER.clip(np.stack(restored)), PAPER.data_range)


if __name__ == "__main__":
    main()
