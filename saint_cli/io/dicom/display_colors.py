"""Display colours of segments: sRGB, and CIELab as DICOM stores it (PS3.3 C.10.7.1.1), white point D65."""

import numpy as np

XYZ_FROM_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""Of linear sRGB (IEC 61966-2-1)."""

WHITE = XYZ_FROM_RGB.sum(axis=1)
"""So that white is L* 100, a* 0, b* 0. DICOM names D50; dcmqi, highdicom and 3D Slicer write D65, and so does saint."""

EPSILON, KAPPA = 216 / 24389, 24389 / 27

SCALE, SHIFT = np.array([65535 / 100, 65535 / 255, 65535 / 255]), np.array([0.0, 128.0, 128.0])
"""Stored value = (L*, a*, b*) + ``SHIFT``, times ``SCALE``."""

GOLDEN_ANGLE = 0.618033988749895
"""Of a turn: hues of successive numbers differ as much as they can."""


def encode_color(rgb: tuple[int, int, int]) -> list[int]:
    """RecommendedDisplayCIELabValue of an sRGB colour, 0 to 255 each."""
    part = np.array(rgb) / 255
    linear = np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92)
    ratio = XYZ_FROM_RGB @ linear / WHITE
    x, y, z = np.where(ratio > EPSILON, np.cbrt(ratio), (KAPPA * ratio + 16) / 116)
    lab = np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    return [int(v) for v in np.clip(np.rint((lab + SHIFT) * SCALE), 0, 65535)]


def decode_color(stored: list[int]) -> tuple[int, int, int]:
    """The nearest sRGB colour, 0 to 255 each, of a RecommendedDisplayCIELabValue."""
    lightness, a, b = np.array(stored, np.float64) / SCALE - SHIFT
    y = (lightness + 16) / 116
    root = np.array([y + a / 500, y, y - b / 200])
    ratio = np.where(root**3 > EPSILON, root**3, (116 * root - 16) / KAPPA)
    linear = np.clip(np.linalg.solve(XYZ_FROM_RGB, ratio * WHITE), 0, 1)
    part = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = (int(v) for v in np.rint(np.clip(part, 0, 1) * 255))
    return red, green, blue


def choose_color(number: int) -> tuple[int, int, int]:
    """A colour for a label without one: the same for the same number, and unlike those of its neighbours."""
    hue, value = number * GOLDEN_ANGLE % 1, 0.95 if number % 2 else 0.75
    distance = np.abs((hue * 6 + np.array([3.0, 1.0, 5.0])) % 6 - 3)  # of red, green and blue, in sixths of a turn
    part = value * (1 - 0.65 * (1 - np.clip(distance - 1, 0, 1)))
    red, green, blue = (int(v) for v in np.rint(part * 255))
    return red, green, blue
