"""Which spacings a scan can have, and which of them the networks know."""

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.geometry.affine import format_spacing, in_plane, spacing_mm

ACCEPTED_SPACING_MM = (1e-7, 100.0)
"""Spacings outside this range are refused: electron microscopes reach a nanometre, localisers and topograms stay below
100 mm; 500 "mm" are micrometres, or damage. The networks were trained on CT with pixels of about 1 mm. Of three such
scans with altered spacings, factors 2 and 4, `fast` has a PSNR over that of linear interpolation of 1.2 to 4.4 dB at a
10,000th, 1.4 to 4.6 dB unaltered, 0.2 to 2.7 dB at 5 times as much, -2.0 to 0.8 dB at 10 times, -5 to -15 dB (noise) at
100 times (benchmarks/spacings.py)."""

MAX_NETWORK_SPACING_MM = (6.0, 60.0)
"""Between pixels and between slices: beyond, networks do no better than linear interpolation (benchmarks/spacings.py).
Larger distances are all divided by one factor before the networks see them, as of a smaller body."""


def check_spacing(affine_lps: np.ndarray) -> None:
    """Refuse spacings that no scan has and no network knows.

    Raises:
        GeometryError: a spacing that is not finite, or outside ``ACCEPTED_SPACING_MM``.
    """
    spacing, (low, high) = spacing_mm(affine_lps), ACCEPTED_SPACING_MM
    if not all(low <= s <= high for s in spacing):
        finite = [s for s in spacing if np.isfinite(s)]
        far = f"above {high:g} mm" if max(finite, default=0.0) > high else f"below {low:g} mm"
        bound = far if len(finite) == len(spacing) else "that is not a number"
        raise GeometryError(
            f"spacing {format_spacing(spacing)} mm: no scan has one {bound}; correct the spacing, or its unit, in the "
            "header first"
        )


def network_spacing_mm(spacing: tuple[float, float, float], axis: int) -> tuple[float, float, float]:
    """Spacing along x, y (in-plane) and ``axis``, mm, scaled down to ``MAX_NETWORK_SPACING_MM`` where it is larger."""
    x, y = in_plane(spacing, axis)
    max_pixel, max_gap = MAX_NETWORK_SPACING_MM
    shrink = min(1.0, max_pixel / max(x, y), max_gap / spacing[axis])
    return x * shrink, y * shrink, spacing[axis] * shrink
