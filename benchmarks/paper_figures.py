"""The pictures of the comparison, in the manner of the paper's Figs. 1, 6 and 7."""

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from paper_runners import make_runner
from paper_scoring import Scoring
from paper_systems import Regime, find_system
from PIL import Image, ImageDraw

from saint_cli.evaluation.metrics import PAPER, list_scored_slices
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.io.whole_files import write_bytes
from saint_cli.report import bone
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.difference_maps import Comparison, write_difference_maps
from saint_cli.report.plane_cuts import ScanPair

FACTOR = 4

FIGURES = {
    "comparison-2d.jpg": ("cubic", "mdsr", "rdn", "meta-sr", "ami-published", "ami"),
    "comparison-3d.jpg": ("cubic", "mdsr-3d", "mdcsrn", "rdn-3d", "saint-published", "saint"),
}
"""Systems of Figs. 6 and 7, by the name of the picture."""

BONE_FIGURE, BONE_SYSTEMS = "comparison-bone.jpg", ("bicubic-misaligned", "cubic", "mdcsrn", "rdn-3d", "saint")
"""Fig. 1; the truth is drawn last."""

BONES_A_ROW, BONE_ZOOM = 2, 2
"""Pictures beside each other, and how many times as large they are drawn."""

BONE_HU = 250.0
SPINE_MM = 50.0
"""Half the side of the close-up of the spine."""

QUALITY, LINE, GAP = 88, 24, 8


@dataclass(frozen=True)
class Restored:
    """A degraded scan and what each system makes of it, by label: [X, Y, slices]."""

    degraded: DegradedScan
    results: dict[str, np.ndarray]


def write_figures(scoring: Scoring, regime: Regime, volume: str, folder: Path) -> list[Path]:
    """Draw every figure whose systems are there; returns the files.

    Raises:
        OutputError: one cannot be written.
    """
    degraded, written, made = scoring.read_degraded(volume, FACTOR), list[Path](), dict[str, np.ndarray]()
    for name in {*BONE_SYSTEMS, *(name for names in FIGURES.values() for name in names)}:
        if (runner := make_runner(scoring.runs, find_system(name), regime, FACTOR)) is not None:
            made[name] = runner.restore(degraded)
    box = find_spine(degraded)
    for figure, names in FIGURES.items():
        if any(name in made for name in names[1:]):
            draw_differences(cut(Restored(degraded, _pick(made, names)), box), folder / figure)
            written.append(folder / figure)
    if draw_bones(Restored(degraded, _pick(made, BONE_SYSTEMS)), folder / BONE_FIGURE):
        written.append(folder / BONE_FIGURE)
    return written


def _pick(made: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {find_system(name).label: made[name] for name in names if name in made}


def find_spine(degraded: DegradedScan) -> tuple[slice, slice]:
    """In-plane voxels around the middle of all bone, which in a trunk is a vertebra."""
    places = np.nonzero(degraded.truth > BONE_HU)
    axes = [axis for axis in range(3) if axis != degraded.grid.axis]
    box = []
    for i, axis in enumerate(axes):
        size, half = degraded.truth.shape[i], round(SPINE_MM / degraded.sparse.spacing_mm[axis])
        middle = int(np.median(places[i])) if len(places[i]) else size // 2
        start = min(max(0, middle - half), max(0, size - 2 * half))
        box.append(slice(start, min(size, start + 2 * half)))
    return box[0], box[1]


def cut(restored: Restored, box: tuple[slice, slice]) -> Restored:
    """The same, of some in-plane voxels; the sparse volume stays whole."""
    degraded = replace(restored.degraded, truth=restored.degraded.truth[box])
    return Restored(degraded, {label: result[box] for label, result in restored.results.items()})


def draw_differences(restored: Restored, path: Path) -> None:
    """Pictures and |difference| of every system, as JPEG."""
    degraded = restored.degraded
    comparison = Comparison(
        title=f"{degraded.volume} x{FACTOR}",
        truth=degraded.truth,
        restored=restored.results,
        synthesised=list_scored_slices(degraded.grid.count, FACTOR, PAPER),
        affine_lps=degraded.affine_lps,
        protocol=PAPER,
    )
    with TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.png"
        write_difference_maps(comparison, drawn)
        _write_jpeg(Image.open(drawn), path)


def draw_bones(restored: Restored, path: Path) -> bool:
    """The bone surface of every system and of the truth, side by side; False where hardly any bone is seen."""
    degraded = restored.degraded
    affine_lps = degraded.sparse.affine_lps
    before = UprightVolume.from_voxels(degraded.sparse.voxels, affine_lps)
    pictures = {}
    for label, result in {**restored.results, "truth": degraded.truth}.items():
        dense = np.moveaxis(result, 2, degraded.grid.axis)
        after = UprightVolume.from_voxels(dense, degraded.grid.refine(affine_lps))
        shown = bone.draw_surface(ScanPair(before, after, after.find_axis(degraded.grid.axis)))
        if shown is None:
            return False
        pictures[label] = shown[1]
    labelled = [_draw_label(label, picture) for label, picture in pictures.items()]
    labelled += [np.full_like(labelled[0], 255)] * (-len(labelled) % BONES_A_ROW)
    rows = [np.concatenate(labelled[i : i + BONES_A_ROW], 1) for i in range(0, len(labelled), BONES_A_ROW)]
    _write_jpeg(Image.fromarray(np.concatenate(rows)), path)
    return True


def _draw_label(label: str, picture: np.ndarray) -> np.ndarray:
    """A picture, enlarged, with its label above and a gap to its right, uint8 [rows, columns]."""
    picture = np.kron(picture, np.ones((BONE_ZOOM, BONE_ZOOM), np.uint8))
    canvas = Image.new("L", (picture.shape[1] + GAP, picture.shape[0] + LINE), 255)
    canvas.paste(Image.fromarray(picture), (0, LINE))
    ImageDraw.Draw(canvas).text((4, 4), label.strip("`"), fill=0)
    return np.asarray(canvas)


def _write_jpeg(picture: Image.Image, path: Path) -> None:
    file = BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=QUALITY, optimize=True)
    write_bytes(file.getvalue(), path)
