"""Which spacings a scan can have, and which of them the networks know."""

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError

SPACING_MM = (1e-7, 100.0)
"""Spacings outside this range are refused. Nothing that is imaged for slices to be interpolated has others: electron
microscopes reach a nanometre, localisers and topograms stay below 100 mm; 500 "mm" are micrometres, or damage. The
networks were trained on CT with pixels of about 1 mm. Three such scans with altered spacings, factors 2 and 4, PSNR of
`fast` over that of linear interpolation: 1.2 to 4.4 dB at a 10,000th (they cannot tell small distances apart), 1.4 to
4.6 dB unaltered, 0.2 to 2.7 dB at 5 times as much, -2.0 to 0.8 dB at 10 times, -6 to -15 dB (noise) at 100 times."""

KNOWN_MM = (6.0, 60.0)
"""Between pixels and between slices, the distances beyond which networks do no better than linear interpolation (the
same scans). Of a volume with larger ones they are told all distances made smaller by one factor: a smaller body."""


def check_spacing(affine_lps: np.ndarray) -> None:
    """Refuse spacings that no scan has and no network knows.

    Raises:
        GeometryError: a spacing that is not finite, or outside ``SPACING_MM``.
    """
    spacing, (low, high) = geometry.spacing_mm(affine_lps), SPACING_MM
    if not all(low <= s <= high for s in spacing):
        shown = " x ".join(f"{s:.4g}" for s in spacing)
        finite = [s for s in spacing if np.isfinite(s)]
        far = f"above {high:g} mm" if max(finite, default=0.0) > high else f"below {low:g} mm"
        bound = far if len(finite) == len(spacing) else "that is no number"
        raise GeometryError(
            f"spacing {shown} mm: no scan has one {bound}; correct the spacing, or its unit, in the header first"
        )


def known_spacing(spacing: tuple[float, float, float], axis: int) -> tuple[float, float, float]:
    """Spacing along x, y (in-plane) and ``axis``, mm, in the proportions of ``spacing``, none beyond ``KNOWN_MM``."""
    x, y = (s for i, s in enumerate(spacing) if i != axis)
    most_plane, most_gap = KNOWN_MM
    shrink = min(1.0, most_plane / max(x, y), most_gap / spacing[axis])
    return x * shrink, y * shrink, spacing[axis] * shrink
