"""Pairs of volumes before and after interpolation, and whole pages of them, for tests of the report."""

import numpy as np

from saint_cli.geometry import RAS_FROM_LPS
from saint_cli.report import plane_cuts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.page import ErrorMapTexts, OpeningSentence, PageContent, SelfCheckContent, SliceComparisonContent
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.report.slice_comparison import SliceComparison
from saint_cli.report.windows import CT_WINDOWS

EVIL = """a<b>&amp;"quoted" 'single' <script>alert(1)</script>.nii.gz"""
"""A file name that breaks every page that forgets to escape."""


def affine(spacing_mm: tuple[float, float, float], *, ras: bool = False) -> np.ndarray:
    """Axes along the patient's, LPS, or against left and posterior as most NIfTI files have them."""
    diagonal = np.diag([*spacing_mm, 1.0])
    return RAS_FROM_LPS @ diagonal if ras else diagonal


def pair(shape: tuple[int, int, int] = (40, 30, 9), factor: int = 4) -> ScanPair:
    """A bright ball in noisy air: after at 1 x 1 x 1 mm, and before every ``factor``-th slice of it."""
    dense_shape = (*shape[:2], (shape[2] - 1) * factor + 1)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in dense_shape), indexing="ij")
    dense = np.where(sum(g**2 for g in grids) < 0.5, 700.0, -1000.0)
    dense += np.random.default_rng(0).normal(0, 30, dense_shape)
    before = UprightVolume.from_voxels(dense[..., ::factor].astype(np.int16), affine((1.0, 1.0, float(factor))))
    after = UprightVolume.from_voxels(dense.astype(np.int16), affine((1.0, 1.0, 1.0)))
    error_map = {axis: np.abs(dense.take(dense_shape[axis] // 2, axis)).astype(np.float32) / 50 for axis in (0, 1)}
    return ScanPair(before, after, 2, error_map)


def between(acquired: np.ndarray) -> SliceComparisonContent:
    """A synthesised slice beside linear interpolation, and an acquired slice [rows, columns]."""
    pictures = SliceComparison(
        linear=acquired - 80,
        synthesised=acquired - 40,
        acquired=acquired,
        name="axial",
        index=2,
        between=(0, 1),
        nearest=0,
        axis="z",
        edges=("R", "L", "A", "P"),
        noise_hu=(20.0, 12.0, 30.0),
    )
    return SliceComparisonContent(pictures, "between acquired slices", ("20 HU", "12 HU", "30 HU"))


def page(name: str = "chest.nii.gz", scan: ScanPair | None = None, **changes: object) -> PageContent:
    """A page with everything on it."""
    scan = pair() if scan is None else scan
    x, y, z = (n // 2 for n in scan.after.voxels.shape)
    shown = tuple(plane_cuts.make_cut(scan, axis, (x, y, z)) for axis in scan.list_planes())
    axial = scan.before.voxels[..., 0].T.astype(np.float32)
    figures = (("PSNR, dB", "39.50", "36.10"),)
    values: dict[str, object] = {
        "name": name,
        "version": "0",
        "verdict": OpeningSentence("On this scan saint predicts left-out slices 3.4 dB better.", is_warning=False),
        "headline": (("Slices", "9 → 33"),),
        "geometry": (("Spacing, mm", "4", "1"),),
        "cuts": shown,
        "between": between(axial),
        "windows": CT_WINDOWS,
        "shown_window": 0,
        "errors": ErrorMapTexts("Expected absolute error", "HU", "a note"),
        "check": SelfCheckContent(axial, axial + 5, axial + 9, figures, "HU", "what was left out"),
        "bone": (np.full((33, 40), 40, np.uint8), np.full((33, 40), 200, np.uint8)),
        "methods": f"Slices of {name} were interpolated with saint.",
        "facts": (("Input", name),),
        "warnings": (f"{name} looks odd",),
    }
    return PageContent(**(values | changes))
