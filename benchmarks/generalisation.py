"""Does what training teaches carry over to volumes that it has not seen? Weights compared on the same random blocks.

    python benchmarks/generalisation.py BEFORE AFTER... --train DATA --val VAL [--blocks 300] [--cache DIR]

Blocks of both sets of volumes are drawn as ``saint train --stage joint`` draws them, and the error is the one that it
minimises, of fused slices. The table has the mean change of each block's error against that of the first weights, with
its standard error. Less error in training alone is over-fitting; as much less on unseen volumes means that more steps
pay.
"""

from pathlib import Path

import numpy as np
import torch
from arguments import make_parser
from tables import format_table

from saint_cli.models import weights
from saint_cli.runtime import device_selection
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.joint import JointNetworks, make_joint_objective
from saint_cli.training.loop import Schedule
from saint_cli.training.settings import TrainingSettings
from saint_cli.training.volumes import load_dense_volumes

SEED = 777


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("weights", nargs="+", help="names or files, for slices that are not averaged")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--modality", choices=("ct", "mr"), default="ct")
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    networks = [_load_networks(word) for word in options.weights]
    settings = TrainingSettings("joint", "fast", Schedule(0), SEED, batch=1, modality=options.modality)
    loaded = [load_dense_volumes(path, options.cache) for path in (options.train, options.val)]
    errors = [measure_errors(networks, volumes, options.blocks, settings) for volumes in loaded]
    header = ["weights", "error on blocks of training volumes, change", "of unseen volumes, change"]
    changes = [format_changes(one) for one in errors]
    print(format_table(header, map(list, zip(options.weights, *changes, strict=True))))


def _load_networks(word: str) -> JointNetworks:
    model = weights.load_model(word)
    return JointNetworks(model.ami, model.rfn).eval()


@torch.inference_mode()
def measure_errors(
    networks: list[JointNetworks], volumes: list[DenseVolume], blocks: int, settings: TrainingSettings
) -> np.ndarray:
    """The training error of each network on each of some random blocks, the same for all: (networks, blocks)."""
    measure = make_joint_objective(settings, TrainingData(volumes, []), rank=0).loss
    return np.array([[measure(network, number).item() for number in range(blocks)] for network in networks])


def format_changes(errors: np.ndarray) -> list[str]:
    """The mean change against the first row, of each block in percent, with its standard error; (networks, blocks)."""
    changes = 100 * np.log(errors / errors[0])[1:]
    spread = changes.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
    return ["", *(f"{m:+.1f} ± {e:.1f} %" for m, e in zip(changes.mean(axis=1), spread, strict=True))]


if __name__ == "__main__":
    main()
