"""Makes the most of ten minutes on a borrowed GPU machine without a network.

    python benchmarks/gpu_window.py pack TRAIN ... --val VAL ... --out PARTS [--part-mb 60]     # at home
    python benchmarks/gpu_window.py stage PARTS/part-01.safetensors ... --cache CACHE           # there, once a part
    python benchmarks/gpu_window.py run --cache CACHE --out OUT [--device cuda] [--total 560]   # there

TRAIN and VAL: folders or lists of dense volumes, as ``saint train`` takes them. ``stage`` and ``run`` need PyTorch,
numpy and safetensors alone, and the package's source; what is staged stays in CACHE between calls. ``run`` trains
``base`` with a schedule that ends in time, then its RFN, then both together, then ``fast``, which imitates that
``base``; measures inference, trains the RFN of ``fast``, and runs the suite's GPU tests. Each phase has its own option
for the seconds it may take (0 leaves it out). OUT then holds weights (renewed every minute, always whole), figures.json
and window.log. What was cut off goes on with the next ``run`` of the same CACHE; what was finished is not repeated.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from arguments import make_parser, split_words
from volume_packing import PackedVolume, pack_volumes, unpack_part

WORK = "run"
"""Folder of the cache that holds the run folders of training."""

SECONDS = {
    "rates": 10.0,
    "base": 350.0,
    "base-rfn": 25.0,
    "base-joint": 70.0,
    "fast": 40.0,
    "inference": 20.0,
    "fast-rfn": 10.0,
    "tests": 40.0,
}
"""What is done, in this order, and the seconds that each phase may take.

Training phases count from the first step on: placing volumes, making the blocks of the rfn stages, the validation
before the first step and the one after the last come on top.
"""


def pack(options: argparse.Namespace) -> None:
    """Validation volumes first, so that one part is enough to begin with.

    Raises:
        UsageError: volumes that training would refuse.
    """
    for path in pack_volumes(read_volumes(options), options.out, round(options.part_mb * 1e6)):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


def read_volumes(options: argparse.Namespace) -> Iterator[tuple[PackedVolume, np.ndarray]]:
    """The volumes of every folder or list, as training has them."""
    from saint_cli.training import stages, volumes

    val, train = (
        [v for source in sources for v in volumes.load_dense_volumes(source, None)]
        for sources in (options.val, options.train)
    )
    volumes.require_disjoint(train, val)
    stages.require_scorable(val)
    for split, some in (("val", val), ("train", train)):
        for v in some:
            window = (v.values.low, v.values.high, v.values.scale)
            yield PackedVolume(v.name, split, tuple(v.voxels.shape), v.spacing_mm, window), v.voxels.numpy()


def stage(options: argparse.Namespace) -> None:
    """Unpack parts into the cache."""
    began = time.monotonic()
    for part in options.parts:
        volumes = unpack_part(part, options.cache)
        print(f"{part}: {len(volumes)} volumes, {time.monotonic() - began:.1f} s", flush=True)


def run(options: argparse.Namespace) -> None:
    """All phases that have time."""
    import torch
    import window_phases
    from window_files import load_data

    torch.backends.cudnn.benchmark = True  # patches are all of one shape
    work = options.cache / WORK
    for folder in (work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    recipe = window_phases.Recipe(
        init={"base": options.base_init, "fast": options.fast_init},
        shapes=[tuple(map(int, word.split("x"))) for word in split_words(options.shapes)],
        **{name: getattr(options, name) for name in ("batch", "slices", "blocks", "joint_batch")},
        **{name: getattr(options, name) for name in ("learning_rate", "device", "seed")},
    )
    window = window_phases.Window(load_data(options.cache), recipe, work, options.out)
    seconds = {name: getattr(options, name.replace("-", "_")) for name in SECONDS}
    window_phases.run_phases(window, seconds, options.total)


def parse() -> argparse.Namespace:
    """The command line; ``work`` is the function of the chosen command."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(required=True)
    add_pack(commands.add_parser("pack", help="pack volumes into parts"))
    add_stage(commands.add_parser("stage", help="unpack parts"))
    add_run(commands.add_parser("run", help="train, measure, test"))
    return parser.parse_args()


def add_pack(parser: argparse.ArgumentParser) -> None:
    """Options of ``pack``."""
    parser.add_argument("train", type=Path, nargs="+", help="folders or .txt lists")
    parser.add_argument("--val", type=Path, nargs="+", required=True, help="folders or .txt lists")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part-mb", type=float, default=60.0)
    parser.set_defaults(work=pack)


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Options of ``stage``."""
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, required=True)
    parser.set_defaults(work=stage)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Options of ``run``."""
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--total", type=float, default=560.0, help="seconds of all phases together")
    for name, seconds in SECONDS.items():
        parser.add_argument(f"--{name}", type=float, default=seconds, help="seconds")
    parser.add_argument("--base-init", default="base", help="weights to start from")
    parser.add_argument("--fast-init", default="fast", help="weights to start from")
    parser.add_argument("--batch", type=int, default=256, help="AMI patches a step")
    parser.add_argument("--slices", type=int, default=64, help="axial slices a step of the rfn stage")
    parser.add_argument("--blocks", type=int, default=240, help="that the rfn stage learns from")
    parser.add_argument("--joint-batch", type=int, default=8, help="blocks a step of the joint stage")
    parser.add_argument("--lr", type=float, default=8e-4, dest="learning_rate")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other batches")
    parser.add_argument("--shapes", default="512x512x30,512x512x100", help="of the scans to time")
    parser.set_defaults(work=run)


def main() -> None:
    """Do what the command line says."""
    options = parse()
    options.work(options)


if __name__ == "__main__":
    main()
