"""PSNR of slices synthesised in an uneven stack, against even stacks with gaps of the same width.

    python benchmarks/uneven.py VOLUME... [--model fast] [--gaps 3,6] [--slices 61] [--crop 160] [--seed 1] [--one-pass]

Of a dense volume slices are kept so that gaps of some widths (in dense slices) alternate at random. Every slice that
lies in a gap is compared twice: synthesised from the uneven stack, and from the even stack of that gap's width which
holds the same two neighbours. Widths must be multiples of the first. PSNR by protocol ``paper``. --one-pass leaves out
the second pass (``saint_cli/method/even_context.py``), to show what it gains.
"""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from arguments import make_parser, split_integers

from saint_cli import read_volume
from saint_cli.evaluation.inputs import keep_central_slices
from saint_cli.evaluation.interpolators import interpolate_linear
from saint_cli.evaluation.metrics import PAPER, psnr
from saint_cli.evaluation.scores import crop_in_plane
from saint_cli.geometry import SliceGrid, grid_by_factor, grid_of_uneven, through_plane_axis
from saint_cli.method import even_context, pipeline
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.runtime.device_selection import Compute, select_compute
from saint_cli.volume import Volume


def draw_gaps(widths: list[int], slices: int, seed: int) -> np.ndarray:
    """Indices of the dense slices that are kept: gaps of all widths, in random order."""
    random = np.random.default_rng(seed)
    kept = [0]
    while kept[-1] + max(widths) < slices:
        kept.append(kept[-1] + int(random.choice(widths)))
    return np.array(kept)


def pick(dense: Volume, indices: np.ndarray, widths: list[int]) -> tuple[Volume, SliceGrid]:
    """Some slices of a volume [x, y, z], and the grid from the first to the last of them with dense slices."""
    common = widths[0]
    affine = dense.affine_lps.copy()
    affine[:3, 3] += indices[0] * affine[:3, 2]
    affine[:3, 2] *= common
    gaps = np.diff(indices)
    places = tuple(((indices - indices[0]) / common).tolist())
    header = replace(dense.header, slice_positions=() if len(set(gaps.tolist())) == 1 else places)
    sparse = Volume(dense.voxels[..., indices], affine, header)
    if header.slice_positions:
        return sparse, grid_of_uneven(places, 2, affine, float(np.linalg.norm(affine[:3, 2])) / common)
    affine[:3, 2] *= gaps[0] / common
    return sparse, grid_by_factor(len(indices), 2, int(gaps[0]))


def restore(dense: Volume, indices: np.ndarray, widths: list[int], network: tuple[SaintModel, Compute]) -> np.ndarray:
    """[2, x, y, z]: every dense slice from the first of ``indices`` to the last, by the networks and linearly."""
    sparse, grid = pick(dense, indices, widths)
    result = pipeline.restore(sparse, network[0], grid, network[1]).result().voxels
    return np.stack([result.astype(np.float32), interpolate_linear(sparse.voxels, grid)])


def compare(dense: Volume, widths: list[int], seed: int, network: tuple[SaintModel, Compute]) -> list[list[float]]:
    """For each width: slices compared, PSNR of the uneven stack, of the even one, and linear, dB."""
    kept = draw_gaps(widths, dense.shape[2], seed)
    uneven = restore(dense, kept, widths, network)
    even = {}
    for width in widths:
        for phase in range(0, width, widths[0]):
            indices = np.arange(phase, kept[-1] + 1, width)
            even[width, phase] = restore(dense, indices, widths, network)[0]
    rows = []
    for width in widths:
        truths, results = list[np.ndarray](), list[list[np.ndarray]]([[], [], []])
        for first in kept[:-1][np.diff(kept) == width]:
            phase = int(first) % width
            for z in range(int(first) + 1, int(first) + width):
                truths.append(PAPER.clip(dense.voxels[..., z]))
                shown = uneven[0, ..., z], even[width, phase][..., z - phase], uneven[1, ..., z]
                for into, result in zip(results, shown, strict=True):
                    into.append(PAPER.clip(result))
        figures = (psnr(np.array(truths), np.array(some), PAPER.data_range) for some in results)
        rows.append([len(truths), *figures])
    return rows


def main() -> None:
    """One row a volume and width of gap."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--gaps", type=split_integers, default=[3, 6])
    parser.add_argument("--slices", type=int, default=61)
    parser.add_argument("--crop", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one-pass", action="store_true")
    options = parser.parse_args()
    if options.one_pass:
        mock.patch.object(even_context, "plan_second_pass", return_value=None).start()
    network = load_model(options.model), select_compute("cpu")
    print("| volume | gap, mm | slices | linear, dB | even stack | uneven stack | difference |\n|" + "---|" * 7)
    for path in options.volumes:
        dense = read_volume(path)
        axis = through_plane_axis(dense.spacing_mm, allow_isotropic=True)
        dense = crop_in_plane(keep_central_slices(dense, axis, options.slices), axis, options.crop)
        spacing = dense.spacing_mm[2]
        rows = compare(dense, options.gaps, options.seed, network)
        for width, (count, uneven, even, linear) in zip(options.gaps, rows, strict=True):
            shown = (f"{value:.2f}" for value in (linear, even, uneven, uneven - even))
            print(f"| {path.name} | {width * spacing:.3g} | {count} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
