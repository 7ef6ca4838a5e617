"""DerivationDescription: in one sentence how a derived slice was made, and of which acquired ones."""

from pydicom.dataset import Dataset

from saint_cli.io.dicom.acquired_slices import ACQUIRED_SPACING, DERIVED_BY_SAINT, OF_SLABS
from saint_cli.io.dicom.derived_series import DerivedSeries, DerivedSlice
from saint_cli.io.dicom.slice_header import INTERPOLATED_BY_SAINT
from saint_cli.runtime.version import __version__

METHOD_DESCRIPTIONS = {
    "noise=match": "noise like that of acquired slices was added to synthesised ones",
    "noise=smooth": "noise of acquired slices was reduced to that of synthesised ones",
    "tta": "mean over flipped copies",
    "directions=4": "diagonal directions too",
    "regenerate": "acquired slices were computed anew",
    "no-skip-air": "air around the patient computed too",
    "extrapolate": "goes on beyond the last acquired slice",
    "irregular": "acquired slices are unevenly spaced",
    "average": "means of acquired slices",
    "slab-profile=gaussian": "their profile taken for Gaussian, as wide at half maximum as they are thick",
    "untilt": "slices moved in their plane to stand straight above each other",
}
"""What the words of ``Derivation.option_names`` mean, for those who read the image and not the manual."""


def derivation_description(data: Dataset, output: DerivedSlice, *, is_acquired: bool) -> str:
    """DerivationDescription in one sentence: method, options, acquired slices (PS3.3 C.12.4.1).

    ST holds 1024 characters, this is far below.
    """
    series = output.series
    model = "".join(c if c.isascii() and c.isprintable() else "?" for c in series.derivation.model[:64])
    options = "".join(f", {_describe_option(word, series)}" for word in series.derivation.option_names)
    numbers = [str(source.instance_number) for source in output.neighbours]
    grid, changes = series.derivation.grid, series.derivation.options
    if grid.averages:
        origin = f"mean of acquired slices {numbers[0]} to {numbers[-1]}"
    elif grid.slab is not None:
        origin = _describe_slabs(output)
    elif output.is_beyond:
        origin = f"extrapolated beyond acquired slice {numbers[0]}, which it repeats"
    elif is_acquired:
        origin = f"kept acquired slice {numbers[0]}"
    elif len(numbers) == 1 and "noise=smooth" in changes and "regenerate" not in changes:
        origin = f"acquired slice {numbers[0]} with less noise, not bit-exact"
    elif len(numbers) == 1 and output.is_moved:
        origin = f"acquired slice {numbers[0]} resampled"
    elif len(numbers) == 1:
        origin = f"computed in place of acquired slice {numbers[0]}"
    else:
        origin = f"synthesised between acquired slices {numbers[0]} and {numbers[1]}, offset {output.offset:.4g}"
    thickness = data.get("SliceThickness")
    thick = "" if thickness in (None, "") else f", acquired slice thickness {thickness} mm"
    spacing = f"{ACQUIRED_SPACING} {series.acquired_spacing_mm:.6g} mm"
    if grid.positions is not None:
        gaps = grid.gaps * series.acquired_spacing_mm
        spacing = f"{ACQUIRED_SPACING} {gaps.min():.6g} to {gaps.max():.6g} mm"
    what = f"{DERIVED_BY_SAINT}resampling without networks"
    if grid.needs_networks:
        what = f"{INTERPOLATED_BY_SAINT} {series.factor}, model {model}"
    return f"{what}, saint {__version__}{options}; {origin}; {spacing}{thick}"


def _describe_slabs(output: DerivedSlice) -> str:
    """Which acquired slabs a thin slice lies in, at least in part."""
    acquired = output.series.acquired
    numbers = [str(acquired[k].instance_number) for k in output.series.derivation.grid.find_slabs_around(output.index)]
    if not numbers:
        below, above = (str(header.instance_number) for header in output.neighbours)
        return f"thin slice in the gap between acquired slabs {below} and {above}"
    if len(numbers) == 1:
        return f"{OF_SLABS} {numbers[0]}"
    return f"{OF_SLABS}s {numbers[0]} {'and' if len(numbers) == 2 else 'to'} {numbers[-1]}"


def _describe_option(word: str, series: DerivedSeries) -> str:
    """What a word of ``Derivation.option_names`` means."""
    name, _, value = word.partition("=")
    if series.derivation.grid.slab is not None and name == "slab":
        thick = series.derivation.grid.slab.thickness * series.acquired_spacing_mm
        means = "near them, not equal to them" if series.derivation.means_differ else "equal to them but for rounding"
        before = "" if series.derivation.plane is None else " before slices were resampled"
        return f"acquired slices taken for slabs {thick:.4g} mm thick, means of the result over slabs {means}{before}"
    return f"pixels resampled to {value} mm" if name == "in-plane" else METHOD_DESCRIPTIONS.get(word, word)
