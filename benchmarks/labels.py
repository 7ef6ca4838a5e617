"""How well label maps are interpolated: dense labels of which every fourth or eighth slice is kept.

    python benchmarks/labels.py VOLUME... [--factors 4,8] [--slices 49] [--pixels 112] [--model fast] [--each]
    python benchmarks/labels.py VOLUME --picture NAME.png [--row Y]

Each volume gives two windows beside its centre (``label_cases``). The image is the scan itself, of which the same
slices are kept, upsampled by ``--model``; without a model, shapes alone are used. ITK's method needs
``pip install itk-morphologicalcontourinterpolation``, and is left out without it.
A picture shows coronal cuts of the first window: nearest, signed distances, ITK, by shape, by image, the truth.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from arguments import make_parser, split_integers
from label_cases import Agreement, Case, TrueLabel, make_cases
from scipy import ndimage
from tables import format_table

from saint_cli import Volume
from saint_cli.geometry import SliceGrid, grid_by_factor, refine_axis
from saint_cli.labels import refine_labels
from saint_cli.method import pipeline
from saint_cli.models.weights import load_model
from saint_cli.runtime.device_selection import select_compute
from saint_cli.volume.label_map import LabelMap

Method = Callable[[LabelMap, SliceGrid], np.ndarray]


def interpolate_nearest(labels: LabelMap, grid: SliceGrid) -> np.ndarray:
    """The nearer acquired slice, the first of two."""
    window, offset = grid.locate()
    return labels.labels[..., window + (offset > 0.5)]


def interpolate_linear(labels: LabelMap, grid: SliceGrid) -> np.ndarray:
    """The label of the largest linearly interpolated mask, the smallest of equal ones."""
    return _choose_largest(labels, grid, lambda mask: mask.astype(np.float32))


def interpolate_distances(labels: LabelMap, grid: SliceGrid) -> np.ndarray:
    """The label of the largest interpolated signed distance (Raya and Udupa 1990)."""

    def distance(mask: np.ndarray) -> np.ndarray:
        if mask.all() or not mask.any():
            return np.full(mask.shape, 1e3 if mask.all() else -1e3)
        inside, outside = (ndimage.distance_transform_edt(m, sampling=labels.spacing_mm[:2]) for m in (mask, ~mask))
        return np.asarray(inside - outside)

    return _choose_largest(labels, grid, distance)


def _choose_largest(labels: LabelMap, grid: SliceGrid, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    window, offset = grid.locate()
    result = np.zeros(grid.output_shape(labels.shape), labels.labels.dtype)
    best = np.full(result.shape, -np.inf, np.float32)
    for number in np.unique(labels.labels):
        maps = np.stack([measure(plane == number) for plane in np.moveaxis(labels.labels, 2, 0)], 2)
        value = (1 - offset) * maps[..., window] + offset * maps[..., np.minimum(window + 1, grid.acquired - 1)]
        better = value > best
        best[better], result[better] = value[better], number
    result[..., offset == 0] = labels.labels
    return result


def interpolate_itk(labels: LabelMap, grid: SliceGrid) -> np.ndarray:
    """``itk.MorphologicalContourInterpolator``: each label alone, by morphological medians of aligned parts."""
    import itk

    empty = np.zeros(grid.output_shape(labels.shape), np.uint8)
    empty[..., grid.locate()[1] == 0] = labels.labels
    interpolator = itk.MorphologicalContourInterpolator.New(itk.image_from_array(empty.transpose().copy()))
    interpolator.SetAxis(2)
    interpolator.Update()
    return itk.array_from_image(interpolator.GetOutput()).transpose()


def list_methods(image: Volume | None) -> dict[str, Method]:
    """By name; image: the upsampled scan."""
    methods: dict[str, Method] = {
        "nearest neighbour": interpolate_nearest,
        "linear, threshold": interpolate_linear,
        "signed distances": interpolate_distances,
        "saint, shapes": lambda labels, grid: refine_labels(labels, grid).labels,
    }
    if find_spec("itk"):
        methods["ITK morphological"] = interpolate_itk
    if image is not None:
        methods["saint, image"] = lambda labels, grid: refine_labels(labels, grid, image).labels
    return methods


def upsample(case: Case, factor: int, model: str) -> Volume | None:
    """The scan of which every ``factor``-th slice is kept, upsampled; None without a model."""
    if not model:
        return None
    affine = refine_axis(case.scan.affine_lps, 2, factor)
    sparse = replace(case.scan, voxels=np.ascontiguousarray(case.scan.voxels[..., ::factor]), affine_lps=affine)
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    return pipeline.restore(sparse, load_model(model), grid, select_compute("cpu")).result()


def run_methods(case: Case, factor: int, model: str) -> Iterator[tuple[str, np.ndarray, float]]:
    """Each method's name, labels and seconds."""
    image = upsample(case, factor, model)
    affine = refine_axis(case.scan.affine_lps, 2, factor)
    sparse = LabelMap(np.ascontiguousarray(case.labels[..., ::factor]), affine)
    grid = grid_by_factor(sparse.shape[2], 2, factor)
    for name, method in list_methods(image).items():
        began = time.process_time()
        result = method(sparse, grid)
        yield name, result, time.process_time() - began


def measure(case: Case, factor: int, model: str) -> dict[str, tuple[list[Agreement], bool, float]]:
    """By method: the agreement of each label, whether acquired slices are exact, and seconds."""
    count = (case.labels.shape[2] - 1) // factor * factor + 1
    case = replace(case, labels=case.labels[..., :count], scan=replace(case.scan, voxels=case.scan.voxels[..., :count]))
    truth = [TrueLabel(case.labels == n + 1, case.scan.spacing_mm) for n in range(len(case.names))]
    found = {}
    for name, result, seconds in run_methods(case, factor, model):
        exact = np.array_equal(result[..., ::factor], case.labels[..., ::factor])
        found[name] = [t.compare(result == n + 1) for n, t in enumerate(truth)], exact, seconds
    return found


def print_tables(options: Namespace) -> None:
    """A table of means for each factor, with ``--each`` one of all labels before it."""
    cases = [case for path in options.volumes for case in make_cases(path, options.slices, options.pixels)]
    for factor in split_integers(options.factors):
        results = [measure(case, factor, options.model) for case in cases]
        if options.each:
            rows = [
                [case.name, name, method, f"{a.dice:.3f}", f"{a.distance_mm:.3f}", f"{a.volume_ratio:.3f}"]
                for case, found in zip(cases, results, strict=True)
                for method, (agreements, *_) in found.items()
                for name, a in zip(case.names, agreements, strict=True)
            ]
            print(format_table(["scan", "label", "method", "Dice", "surface distance, mm", "volume"], rows), "\n")
        rows = []
        for method in results[0]:
            labels = [a for found in results for a in found[method][0]]
            ratios = np.array([a.volume_ratio for a in labels])
            rows.append(
                [
                    *(f"x{factor}", method, f"{np.mean([a.dice for a in labels]):.3f}"),
                    *(f"{np.mean([a.distance_mm for a in labels]):.3f}", f"{ratios.mean():.3f}"),
                    *(f"{np.median(np.abs(ratios - 1)):.3f}", "yes" if all(f[method][1] for f in results) else "NO"),
                    f"{sum(f[method][2] for f in results):.1f}",
                ]
            )
        header = ["factor", "method", "Dice", "surface distance, mm", "volume / true", "median error of volume"]
        print(format_table([*header, "acquired exact", "s"], rows), "\n", flush=True)


def draw(case: Case, factor: int, options: Namespace) -> None:
    """Write a picture of coronal cuts of a case."""
    from PIL import Image

    colours = np.random.default_rng(1).integers(60, 255, (256, 3)).astype(np.uint8)
    colours[0] = 0
    stretch = round(case.scan.spacing_mm[2] / case.scan.spacing_mm[0] * 4)
    volumes = [result for _, result, _ in run_methods(case, factor, options.model)] + [case.labels]
    row = options.row if options.row is not None else options.pixels // 2
    cuts = [np.kron(colours[v[:, row, ::-1].T], np.ones((stretch, 4, 1), np.uint8)) for v in volumes]
    Image.fromarray(np.vstack([np.pad(cut, ((0, 6), (0, 0), (0, 0)), constant_values=255) for cut in cuts])).save(
        options.picture
    )


def main() -> None:
    """Tables, or a picture."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--factors", default="4,8")
    parser.add_argument("--slices", type=int, default=49)
    parser.add_argument("--pixels", type=int, default=112)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--row", type=int)
    options = parser.parse_args()
    if options.picture is None:
        print_tables(options)
    else:
        case = make_cases(options.volumes[0], options.slices, options.pixels)[0]
        draw(case, split_integers(options.factors)[0], options)


if __name__ == "__main__":
    main()
