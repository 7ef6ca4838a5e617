"""What the quality-control page says, as text."""

import saint_cli
from saint_cli import intensity
from saint_cli.pipeline import Restoration
from saint_cli.quality.about import About
from saint_cli.report.cuts import Pair
from saint_cli.report.page import CheckView, ErrorMaps, Line
from saint_cli.selfcheck import SelfCheck
from saint_cli.volume import Volume

OBLIQUE_DEGREES = 10.0
"""Angle from which on a page says that its planes are oblique."""

ALONG = ("left to right", "front to back", "foot to head")

TIMES = " \N{MULTIPLICATION SIGN} "
MINUS = "\N{MINUS SIGN}"


def headline(
    about: About, restoration: Restoration, result: Volume, view: CheckView | str
) -> tuple[tuple[str, str], ...]:
    """The figures on top: distance between slices, their number, the self-check, time."""
    grid = restoration.grid
    sides = [v.spacing_mm[grid.axis] for v in (restoration.source, result)]
    lines = [
        ("Distance between slices", f"{sides[0]:.3g} → {sides[1]:.3g} mm"),
        ("Slices", f"{grid.acquired} → {grid.count}"),
    ]
    if isinstance(view, CheckView):
        lines.append(
            (f"Self-check at {2 * sides[0]:.3g} mm", f"{view.psnr_db:.1f} dB, {signed(view.gain_db)} dB against cubic")
        )
    return (*lines, ("Time", duration(about.seconds)))


def titles(about: About, restoration: Restoration, result: Volume) -> tuple[str, str]:
    """What stands above the still pictures before and after: the file, and the spacing along x, y, z."""
    sides = (" x ".join(f"{s:.3g}" for s in v.spacing_mm) + " mm" for v in (restoration.source, result))
    return f"{about.source}, {next(sides)}", next(sides)


def geometry(about: About, restoration: Restoration, result: Volume, pair: Pair) -> tuple[Line, ...]:
    """Voxels, spacing and extent before and after."""
    both, grid = (restoration.source, result), restoration.grid
    axis = f"{'xyz'[grid.axis]}, {ALONG[pair.through]}"
    shapes = [TIMES.join(map(str, v.shape)) for v in both]
    spacings = [TIMES.join(f"{s:.4g}" for s in v.spacing_mm) for v in both]
    extents = [TIMES.join(f"{s * n:.4g}" for s, n in zip(v.spacing_mm, v.shape, strict=True)) for v in both]
    return (
        Line("Voxels along x, y, z", *shapes),
        Line("Spacing, mm", *spacings),
        Line("Extent, mm", *extents),
        Line("Interpolated along", axis, axis),
        Line("Acquired slices", str(grid.acquired), f"{about.acquired_kept} kept bit for bit"),
    )


def facts(about: About) -> tuple[tuple[str, str], ...]:
    """Where the result comes from."""
    options = " ".join(
        option if value is True else f"{option} {value}"
        for option, value in about.options.items()
        if value is not None and value is not False
    )
    return (
        ("Program", f"saint {saint_cli.__version__}"),
        ("Input", about.source),
        ("Output", about.target),
        ("Weights", f"{about.model}, sha256 {about.weights_sha256}"),
        ("Options", options),
        ("Device and precision", f"{about.device}, {about.precision}"),
        ("Time", f"{duration(about.seconds)} to read and restore, without this page and without writing the result"),
    )


def notes(pair: Pair) -> tuple[str, ...]:
    """What a reader of the pictures must know of this scan."""
    degrees = pair.before.oblique_degrees
    if degrees <= OBLIQUE_DEGREES:
        return ()
    return (f"This scan lies {degrees:.0f}° oblique: its planes are named after the nearest anatomical ones.",)


def errors(restoration: Restoration, *, known: bool) -> ErrorMaps:
    """How to read the error maps."""
    if known:
        return ErrorMaps(
            "Expected absolute error",
            "HU",
            "Estimated from the difference between the sagittal and the coronal network, calibrated on dense CT; 0 "
            "at acquired slices, which are copied. Trust where errors are large more than their exact size.",
        )
    return ErrorMaps(
        f"Disagreement |I_sag {MINUS} I_cor|",
        _unit(restoration),
        "How far the sagittal and the coronal network lie apart, in scanner values; 0 at acquired slices, which are "
        "copied. It shows where to look; it is no error, for none was measured for these weights, options or values.",
    )


def check(found: SelfCheck, restoration: Restoration) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    """What was checked, as a paragraph, and what came of it: (what, SAINT, cubic)."""
    axis, gap, unit = restoration.grid.axis, restoration.source.spacing_mm[restoration.grid.axis], _unit(restoration)
    where = "over their whole planes"
    if not found.region.whole:
        box = ", ".join(f"{'xyz'[i]} {s.start}…{s.stop - 1}" for i, s in enumerate(found.region.scored))
        where = f"inside a region around the middle of the body ({box}): a part of each plane is enough, and cheap"
    note = (
        "A quality figure without ground truth: every second acquired slice was left out and predicted from the others "
        f"by the same networks, {found.slices} of {found.acquired} slices {where}. That is harder than the job itself, "
        f"for known slices lie {2 * gap:.4g} mm apart here instead of {gap:.4g} mm. PSNR uses a data range of "
        f"{' '.join([f'{found.data_range:.5g}', unit]).strip()}; cubic interpolation is aligned to slice centres. "
        f"Shown: slice {'xyz'[axis]} = {found.index}. The check took {duration(found.seconds)}."
    )
    label = f"Mean absolute error, {unit}" if unit else "Mean absolute error"
    figures = (
        ("PSNR, dB", f"{found.psnr_db:.2f}", f"{found.cubic_db:.2f}"),
        (label, f"{found.mean_error:.3g}", f"{found.cubic_error:.3g}"),
    )
    return note, figures


def signed(value: float) -> str:
    """One decimal with its sign."""
    return f"{value:+.1f}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _unit(restoration: Restoration) -> str:
    return "HU" if intensity.is_ct(restoration.source) else ""
