"""Processor seconds of models in turn, on one thread: how much longer one takes than the one before.

    python benchmarks/model_ratio.py [--models fast,medium,base] [--factors 2,4] [--rounds 2] [--voxels 96,96,13]

Of AMI's features on one plane, and of the whole pipeline on tissue in every voxel. The models take turns, so that other
work on the machine slows all of them down alike; the least of the rounds counts.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from arguments import make_parser, split_integers, split_words
from performance_growth import make_tissue
from tables import format_table

from saint_cli.geometry import grid_by_factor
from saint_cli.method import pipeline
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.runtime import device_selection, memory


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--models", type=split_words, default=["fast", "medium", "base"])
    parser.add_argument("--factors", type=split_integers, default=[2, 4])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--voxels", type=split_integers, default=[96, 96, 13])
    options = parser.parse_args()
    memory.keep_freed_memory()
    device_selection.set_threads(1)
    models = [load_model(name) for name in options.models]
    pairs = (f"{b} over {a}" for a, b in pairwise(options.models))
    work = {"AMI's features": run_features} | {
        f"x{f}": partial(run_pipeline, tuple(options.voxels), f) for f in options.factors
    }
    rows = [[label, *measure_in_turn(models, run, options.rounds)] for label, run in work.items()]
    print(format_table(["processor seconds of", *options.models, *pairs], rows))


def run_features(model: SaintModel) -> None:
    """AMI's features of one plane of 512 x 50."""
    with torch.inference_mode():
        model.ami.features(torch.rand(1, 3, 512, 50))


def run_pipeline(shape: tuple[int, int, int], factor: int, model: SaintModel) -> None:
    """The whole result."""
    grid = grid_by_factor(shape[2], 2, factor)
    pipeline.restore(make_tissue(shape), model, grid, device_selection.select_compute("cpu")).result()


def measure_in_turn(models: list[SaintModel], run: Callable[[SaintModel], None], rounds: int) -> list[str]:
    """Least seconds of each model after a round that is not counted, then the ratio of each to the one before."""
    seconds = [list[float]() for _ in models]
    for _ in range(rounds + 1):
        for model, own in zip(models, seconds, strict=True):
            began = time.process_time()
            run(model)
            own.append(time.process_time() - began)
    least = [min(own[1:]) for own in seconds]
    return [*(f"{s:.3g}" for s in least), *(f"{b / a:.1f}" for a, b in pairwise(least))]


if __name__ == "__main__":
    main()
