"""Real thick slices made thin, against thin slices that the scanner reconstructed of the same raw data.

    python benchmarks/thick_thin.py THICK THIN [--models medium,slab-medium] [--crop 256] [--slabs 12] [--threads N]
                                    [--picture FILE]

THICK and THIN are two series of one acquisition, THIN with slices of a whole fraction of THICK's distance. RMSE is in
HU, of all voxels whose thin value is above -500 HU; the rise is the median distance between 10 and 90 % of steps across
slices. Models whose names begin with ``slab-`` take THICK's slices for slabs. All is compared on the same slices, those
between the middles of the first and the last thick one. The picture has a coronal plane of each.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from arguments import make_parser, split_words
from PIL import Image, ImageDraw
from tables import format_table

import saint_cli
from saint_cli.evaluation.edge_measures import find_edges
from saint_cli.evaluation.interpolators import interpolate_cubic, interpolate_linear
from saint_cli.geometry import grid_by_factor
from saint_cli.volume import Volume

BODY_HU = -500.0
WINDOW_HU = (-200.0, 1000.0)
"""Black and white of the picture."""
HEIGHT = 220
"""Of each panel of the picture, pixels."""

TOLERANCE_MM = 0.02


def main() -> None:
    """One row a method."""
    parser = make_parser(__doc__)
    parser.add_argument("thick", type=Path)
    parser.add_argument("thin", type=Path)
    parser.add_argument("--models", type=split_words, default=["medium", "slab-medium"])
    parser.add_argument("--crop", type=int, default=256, help="pixels across, in the middle")
    parser.add_argument("--slabs", type=int, default=12, help="thick slices, in the middle")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    thick, thin = (crop_plane(saint_cli.read_volume(path), options.crop) for path in (options.thick, options.thin))
    thick = keep_middle(thick, options.slabs)
    factor = round(measure_distance(thick) / measure_distance(thin))
    truth = thin.voxels[..., find_slices(thin, thick, factor)].astype(np.float32)
    grid = grid_by_factor(thick.shape[2], 2, factor)
    results = {
        "linear": interpolate_linear(thick.voxels, grid),
        "cubic": interpolate_cubic(thick.voxels.astype(np.float32), grid),
    }
    for model in options.models:
        results[model] = upsample(thick, factor, model, options.threads)
    body, edges = truth > BODY_HU, find_edges(truth, factor, measure_distance(thin))
    rows = [["thin", "", format_rise(edges.measure_rise(truth))]]
    for name, voxels in results.items():
        rmse = np.sqrt(np.square(voxels.astype(np.float32) - truth)[body].mean())
        rows.append([name, f"{rmse:.1f}", format_rise(edges.measure_rise(voxels))])
    print(f"{' x '.join(map(str, truth.shape))} voxels, x{factor}, {len(edges.place)} edges\n")
    print(format_table(["", "RMSE HU", "rise mm"], rows))
    if options.picture:
        draw({**results, "thin": truth}, thin.spacing_mm).save(options.picture)


def draw(volumes: dict[str, np.ndarray], spacing_mm: tuple[float, ...]) -> Image.Image:
    """The coronal plane in the middle of each [X, Y, slices] HU, side by side, head up, with square mm."""
    panels = []
    for name, voxels in volumes.items():
        plane = voxels[:, voxels.shape[1] // 2, ::-1].T.astype(np.float32)  # [slices, X]
        grey = np.clip((plane - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]), 0, 1) * 255
        width = round(HEIGHT * plane.shape[1] * spacing_mm[0] / (plane.shape[0] * spacing_mm[2]))
        panel = Image.fromarray(np.rint(grey).astype(np.uint8)).resize((width, HEIGHT), Image.Resampling.BICUBIC)
        ImageDraw.Draw(panel).text((4, 4), name, fill=255)
        panels.append(panel)
    width = panels[0].width + 2
    canvas = Image.new("L", (len(panels) * width, HEIGHT), 255)
    for i, panel in enumerate(panels):
        canvas.paste(panel, (i * width, 0))
    return canvas


def upsample(thick: Volume, factor: int, model: str, threads: int | None) -> np.ndarray:
    """[X, Y, slices] from the middle of the first thick slice to that of the last."""
    slab = Path(model).name.startswith("slab")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = saint_cli.upsample(thick, factor, model=model, slab=slab, threads=threads)
    return result.voxels[..., find_slices(result, thick, factor)]


def find_slices(fine: Volume, thick: Volume, factor: int) -> np.ndarray:
    """The slices of a volume that lie on the grid between the thick slices' middles.

    Raises:
        SystemExit: there are none in some of its places.
    """
    normal = thick.affine_lps[:3, 2] / measure_distance(thick)
    wanted = normal @ thick.affine_lps[:3, 3] + np.arange((thick.shape[2] - 1) * factor + 1) * (
        measure_distance(thick) / factor
    )
    there = normal @ fine.affine_lps[:3, 3] + np.arange(fine.shape[2]) * (normal @ fine.affine_lps[:3, 2])
    nearest = np.abs(wanted[:, None] - there).argmin(1)
    if np.abs(there[nearest] - wanted).max() > TOLERANCE_MM:
        raise SystemExit("the thin slices do not lie on the grid of the thick ones")
    return nearest


def measure_distance(volume: Volume) -> float:
    """Between the middles of slices, mm."""
    return float(np.linalg.norm(volume.affine_lps[:3, 2]))


def crop_plane(volume: Volume, across: int) -> Volume:
    """The middle of every slice, HU."""
    x, y = (max(0, (n - across) // 2) for n in volume.shape[:2])
    affine = volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, :2] @ (x, y)
    return replace(volume, voxels=volume.voxels[x : x + across, y : y + across], affine_lps=affine)


def keep_middle(volume: Volume, slices: int) -> Volume:
    """So many slices in the middle."""
    first = max(0, (volume.shape[2] - slices) // 2)
    affine = volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return replace(volume, voxels=volume.voxels[..., first : first + slices], affine_lps=affine)


def format_rise(rise_mm: float | None) -> str:
    """With two decimals, or what there is none of."""
    return "no edges" if rise_mm is None else f"{rise_mm:.2f}"


if __name__ == "__main__":
    main()
