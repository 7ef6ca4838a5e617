"""Arrays as pictures inside a page: data URIs and colour maps."""

import base64
from io import BytesIO

import numpy as np

from saint_cli.report.plotting import prepare_matplotlib

COLOURS = "cividis"
"""Perceptually uniform, and the same to people with and without colour-vision deficiency."""

STOPS = 9
"""Colours of a gradient that stand for the whole map."""


def to_data_uri(picture: np.ndarray, quality: int) -> str:
    """uint8 [rows, columns] or [rows, columns, 3] as a WebP data URI; quality 1...100."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).convert("RGB").save(file, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def apply_colours(picture: np.ndarray, top: float) -> np.ndarray:
    """Values from 0 to ``top`` as uint8 [rows, columns, 3]; higher ones have the last colour."""
    prepare_matplotlib()
    from matplotlib import colormaps

    levels: np.ndarray = colormaps[COLOURS](np.clip(picture / top, 0, 1), bytes=True)[..., :3]
    return np.ascontiguousarray(levels)


def css_gradient() -> str:
    """The colours as a CSS gradient, 0 on the left."""
    prepare_matplotlib()
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return f"linear-gradient(to right, {', '.join(to_hex(c) for c in colormaps[COLOURS](np.linspace(0, 1, STOPS)))})"


def choose_colour_limit(*pictures: np.ndarray) -> float:
    """The 99.5th percentile, rounded up to a round value; 1 where all are 0."""
    highest = max((float(np.quantile(p, 0.995)) for p in pictures if p.size), default=0.0)
    if not np.isfinite(highest) or highest <= 0:
        return 1.0
    scale = 10.0 ** np.floor(np.log10(highest))
    return float(next(step * scale for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * scale >= highest * (1 - 1e-9)))
