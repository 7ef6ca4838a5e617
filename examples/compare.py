"""Draw one coronal and one sagittal slice of the example: thick, linear, SAINT, truth, and both errors.

python examples/compare.py OUT.png [--model medium]
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from saint_cli import read_volume, upsample
from saint_cli.evaluation.interpolators import interpolate_linear
from saint_cli.evaluation.metrics import psnr_by_protocol
from saint_cli.geometry import grid_by_factor

HERE = Path(__file__).parent
FACTOR = 4
WINDOW_HU = (-1000, 600)
ERROR_HU = 300


def main(out: Path, model: str) -> None:
    """Upsample the example and draw it."""
    thick, truth = read_volume(HERE / "chest_thick.nii.gz"), read_volume(HERE / "chest_dense.nii.gz")
    ours = upsample(thick, factor=FACTOR, model=model)
    line = np.rint(interpolate_linear(thick.voxels, grid_by_factor(thick.shape[2], 2, FACTOR)))
    volumes = {
        "acquired slices, 4 mm": np.repeat(thick.voxels, FACTOR, 2)[..., : truth.shape[2]],
        _title("linear", truth.voxels, line): line,
        _title(f"SAINT {model}", truth.voxels, ours.voxels): ours.voxels,
        "really acquired, 1 mm": truth.voxels,
    }
    figure, axes = plt.subplots(4, 4, figsize=(16, 5.8), layout="constrained")
    aspect = truth.spacing_mm[2] / truth.spacing_mm[0]
    cuts = (lambda v: v[:, 121, ::-1], lambda v: v[123, :, ::-1])  # through the vertebrae
    for column, (name, voxels) in enumerate(volumes.items()):
        axes[0, column].set_title(name)
        for row, cut in enumerate(cuts):
            picture = cut(voxels).T
            error = picture.astype(np.float32) - cut(truth.voxels).T
            axes[2 * row, column].imshow(picture, "gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect)
            axes[2 * row + 1, column].imshow(error, "RdBu_r", vmin=-ERROR_HU, vmax=ERROR_HU, aspect=aspect)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(out, dpi=80)


def _title(name: str, truth: np.ndarray, result: np.ndarray) -> str:
    return f"{name}: {psnr_by_protocol(truth, result, FACTOR):.2f} dB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="medium")
    main(**vars(parser.parse_args()))
