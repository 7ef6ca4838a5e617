"""What ``--noise`` does, on dense scans of which every fourth slice is kept; and pictures of it.

    python benchmarks/noise.py VOLUME... [--factor 4] [--slices 49] [--first N] [--thickness MM...] [--model medium]
    python benchmarks/noise.py VOLUME --picture NAME.jpg --show X0 X1 Y0 Y1 [...]

Noise is measured by ``saint_cli.evaluation.noise_measures`` in the most uniform patches of soft tissue, the same for
all. *ideal* is the cost in PSNR of noise as strong as what ``match`` adds, if it were independent of everything.
--thickness: of the slices of each volume, where it is known; NIfTI does not say. --slices 0: all.
A picture shows, from left to right, the acquired slices, keep, match, smooth and the truth: an axial slice half way
between two acquired ones (on the left the nearer acquired one), below a coronal one.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from arguments import make_parser
from edges import find_edges, measure_widths
from tables import format_table

from saint_cli import Volume, read_volume
from saint_cli.evaluation import noise_measures
from saint_cli.geometry import grid_by_factor, through_plane_axis
from saint_cli.method import noise_matching, pipeline
from saint_cli.method.pipeline import ResultStage
from saint_cli.models.weights import load_model
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.runtime.device_selection import select_compute

WINDOW_HU = (-60.0, 240.0)
GAP = 4
EDGE_SLICES = 24


@dataclass(frozen=True)
class Comparison:
    """Results for one scan, each [X, Y, output slices] HU; offset: of each slice; spacing_mm: of the output."""

    name: str
    truth: np.ndarray
    results: dict[str, np.ndarray]
    offset: np.ndarray
    spacing_mm: tuple[float, float, float]


def compare(path: Path, options: object, thickness_mm: float | None) -> Comparison:
    """The three ways for one dense scan made sparse."""
    dense = read_volume(path)
    axis = through_plane_axis(dense.spacing_mm, allow_isotropic=True)
    voxels = np.moveaxis(dense.voxels, axis, 2)
    count = options.slices or voxels.shape[2]
    first = options.first if options.first is not None else max(0, (voxels.shape[2] - count) // 2)
    truth = voxels[..., first : first + count]
    truth = truth[..., : (truth.shape[2] - 1) // options.factor * options.factor + 1]
    affine = dense.affine_lps.copy()
    affine[:3] = affine[:3, [*(i for i in range(3) if i != axis), axis, 3]]
    affine[:3, 2] *= options.factor
    sparse = Volume(truth[..., :: options.factor], affine, replace(dense.header, modality="CT", dicom_source=None))
    grid = grid_by_factor(sparse.shape[2], 2, options.factor)
    keep = pipeline.restore(sparse, load_model(options.model), grid, select_compute("cpu"))
    matched = keep.stage(ResultStage.FUSED)
    thickness = None if thickness_mm is None else thickness_mm / sparse.spacing_mm[2]
    noise_matching.match_noise(matched, sparse.voxels, keep.plan, thickness)
    smooth = replace(keep, options=MethodOptions(noise=NoiseHandling.SMOOTH)).stage(ResultStage.FUSED)
    results = {"keep": keep.stage(ResultStage.FUSED), "match": matched, "smooth": smooth}
    x, y, z = sparse.spacing_mm
    return Comparison(path.name, truth, results, grid.locate()[1], (x, y, z / options.factor))


def describe_noise(case: Comparison) -> list[list[str]]:
    """Rows: name, SD by offset over that of acquired slices, kurtosis, largest difference of spectrum, correlation."""
    patches = noise_measures.find_noise_patches(noise_measures.make_guide(case.truth))
    figures = {
        name: noise_measures.measure_noise(slices, case.offset, patches)
        for name, slices in {"truth": case.truth, **case.results}.items()
    }
    truth, rows = figures["truth"], []
    for name, found in figures.items():
        distance = noise_measures.compute_spectrum_distance(found.spectrum, truth.spectrum)
        acquired = noise_measures.measure_spectrum(case.truth, patches, np.flatnonzero(case.offset == 0))
        rows.append(
            [
                *(case.name, name, f"{found.deviation_hu[0]:.1f}"),
                " ".join(f"{ratio:.3f}" for ratio in found.deviation_ratio[1:]),
                *(f"{found.kurtosis:+.2f}", f"{100 * distance:.0f} %"),
                f"{100 * noise_measures.compute_spectrum_distance(found.spectrum, acquired):.0f} %",
                *(f"{found.slice_correlation:.2f}", f"{found.slice_noise_index:.3f}"),
            ]
        )
    return rows


def describe_cost(case: Comparison) -> list[str]:
    """A row: name, cost in PSNR of ``match`` and of ideal noise, dB; widths of edges by ``smooth``, in-plane."""
    new, truth = case.offset > 0, case.truth.astype(float)
    error = {name: np.mean((slices[..., new] - truth[..., new]) ** 2) for name, slices in case.results.items()}
    added = np.mean((case.results["match"][..., new].astype(float) - case.results["keep"][..., new]) ** 2)
    cost, ideal = (10 * np.log10(e / error["keep"]) for e in (error["match"], error["keep"] + added))
    widths: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for j in range(0, len(case.offset), max(1, len(case.offset) // EDGE_SLICES)):
        before, after = (case.results[name][..., j] for name in ("keep", "smooth"))
        places = find_edges(before)
        pair = np.stack([measure_widths(plane, places) for plane in (before, after)])
        widths[bool(case.offset[j])].append(pair[:, np.isfinite(pair).all(0)])
    ratios = []
    for is_new in (False, True):
        before, after = np.median(np.concatenate(widths[is_new], axis=1), axis=1)
        ratios.append(f"{after / before:.3f}")
    return [case.name, f"{cost:.3f}", f"{ideal:.3f}", *ratios]


def draw(case: Comparison, box: tuple[int, int, int, int], file: Path) -> None:
    """Write the picture of a comparison; box: x from, x to, y from, y to."""
    from PIL import Image

    x, y = slice(*box[:2]), slice(*box[2:])
    factor = int(np.flatnonzero(case.offset == 0)[1])
    j = len(case.offset) // 2 // factor * factor + factor // 2
    nearest = np.rint(np.arange(len(case.offset)) / factor + 1e-6).astype(int) * factor
    columns = {"acquired": case.truth[..., nearest], **case.results, "truth": case.truth}
    middle, height = (box[2] + box[3]) // 2, case.spacing_mm[2] / case.spacing_mm[0]
    rows = []
    for cut in (lambda v: v[x, y, j].T, lambda v: v[x, middle, ::-1].T):
        rows.append(np.hstack([np.pad(cut(v), ((0, GAP), (0, GAP)), constant_values=3000) for v in columns.values()]))
    axial, coronal = (np.uint8(255 * np.clip((r - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]), 0, 1)) for r in rows)
    stretched = Image.fromarray(coronal).resize((coronal.shape[1], round(coronal.shape[0] * height)), Image.NEAREST)
    Image.fromarray(np.vstack([axial, np.asarray(stretched)])).save(file, quality=85)


def main() -> None:
    """Two tables, or a picture."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--slices", type=int, default=49)
    parser.add_argument("--first", type=int)
    parser.add_argument("--thickness", nargs="+", type=float, default=[])
    parser.add_argument("--model", default="medium")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--show", nargs=4, type=int, default=(0, 160, 0, 160))
    options = parser.parse_args()
    thickness = [*options.thickness, *[None] * len(options.volumes)]
    noise_rows, cost_rows = [], []
    for path, thickness_mm in zip(options.volumes, thickness, strict=False):
        case = compare(path, options, thickness_mm)
        if options.picture is not None:
            draw(case, options.show, options.picture)
        noise_rows += describe_noise(case)
        cost_rows.append(describe_cost(case))
    header = ["scan", "", "acquired SD, HU", "SD by offset / acquired", "kurtosis", "spectrum against truth"]
    print(format_table([*header, "against acquired", "slice correlation", "slice noise index"], noise_rows), "\n")
    header = ["scan", "cost of match, dB", "ideal, dB", "edges of acquired, smooth / keep", "of synthesised"]
    print(format_table(header, cost_rows))


if __name__ == "__main__":
    main()
