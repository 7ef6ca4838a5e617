"""What DerivationDescription says of a slice (PS3.3 C.12.4.1): method, options, the acquired slices behind it."""

from typing import TYPE_CHECKING

from pydicom.dataset import Dataset

import saint_cli

if TYPE_CHECKING:
    from saint_cli.io.dicom_derived import DerivedSeries

METHODS = {
    "match-noise": "noise like that of neighbouring acquired slices was added to synthesised ones",
    "tta": "mean over flipped copies",
    "directions=4": "diagonal directions too",
    "regenerate": "acquired slices were computed anew",
    "no-skip-air": "air around the patient computed too",
    "extrapolate": "goes on beyond the last acquired slice",
}
"""What the words of ``Derivation.method`` mean, for those who read the image and not the manual."""


def factor(series: "DerivedSeries") -> str:
    """How many times as many slices, as ``x4``."""
    return f"x{1 / series.derivation.grid.step:.4g}"


def told(data: Dataset, series: "DerivedSeries", index: int, *, kept: bool) -> str:
    """One sentence of provenance; ST holds 1024 characters, this is far below."""
    how = f"SAINT slice interpolation {factor(series)}, model {_plain(series.derivation.model[:64])}"
    method = "".join(f", {METHODS.get(word, word)}" for word in series.derivation.method)
    numbers = [str(series.acquired[i].instance_number) for i in series.neighbours(index)]
    if series.is_beyond(index):
        what = f"extrapolated beyond acquired slice {numbers[0]}, which it repeats"
    elif kept:
        what = f"kept acquired slice {numbers[0]}"
    elif len(numbers) == 1:
        what = f"computed in place of acquired slice {numbers[0]}"
    else:
        offset = series.located[1][index]
        what = f"synthesised between acquired slices {numbers[0]} and {numbers[1]}, offset {offset:.4g}"
    acquired = f"; acquired slice spacing {series.spacing_mm / series.derivation.grid.step:.6g} mm"
    thickness = data.get("SliceThickness")
    acquired += "" if thickness in (None, "") else f", acquired slice thickness {thickness} mm"
    return f"{how}, saint {saint_cli.__version__}{method}; {what}{acquired}"


def _plain(name: str) -> str:
    """A name in characters that every character set has."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in name)
