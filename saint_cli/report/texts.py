"""All texts of the quality-control page that depend on the scan; templates/ has those that do not."""

from collections.abc import Callable, Iterable

from saint_cli.evaluation.selfcheck import SelfCheck
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.report.bone import BONE_HU
from saint_cli.report.job_facts import JobFacts
from saint_cli.report.page import ErrorMapTexts
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume

OBLIQUE_DEGREES = 10.0
"""Scans that are more oblique get a note on the page."""

DIRECTIONS = ("left to right", "front to back", "foot to head")

BONE_NEEDS_CT = "Only for CT: other modalities have no threshold for bone."
HARDLY_ANY_BONE = f"Hardly any voxel above {BONE_HU:g} HU is seen from the front."

TIMES = " \N{MULTIPLICATION SIGN} "
MINUS = "\N{MINUS SIGN}"


def describe_headline(
    facts: JobFacts, restoration: Restoration, result: Volume, check: SelfCheck | str
) -> tuple[tuple[str, str], ...]:
    """The headline: distance between slices, their number, the self-check, time."""
    grid = restoration.grid
    before, after = (v.spacing_mm[grid.axis] for v in (restoration.source, result))
    lines = [
        ("Distance between slices", f"{before:.3g} → {after:.3g} mm"),
        ("Slices", f"{grid.acquired} → {grid.count}"),
    ]
    if isinstance(check, SelfCheck):
        gain = f"{check.psnr_db:.1f} dB, {format_signed(check.psnr_db - check.cubic_db)} dB against cubic"
        lines.append((f"Self-check at {2 * before:.3g} mm", gain))
    return (*lines, ("Time", format_exact_duration(facts.seconds)))


def describe_columns(facts: JobFacts, restoration: Restoration, result: Volume) -> tuple[str, str]:
    """Titles of the preview's columns: the file and its spacing before, the spacing after, along x, y, z."""
    before, after = (" x ".join(f"{s:.3g}" for s in v.spacing_mm) + " mm" for v in (restoration.source, result))
    return f"{facts.source}, {before}", after


def describe_geometry(
    facts: JobFacts, restoration: Restoration, result: Volume, pair: ScanPair
) -> tuple[tuple[str, str, str], ...]:
    """Voxels, spacing and extent before and after."""
    grid = restoration.grid
    axis = f"{'xyz'[grid.axis]}, {DIRECTIONS[pair.through_plane]}"

    def compare(label: str, describe: Callable[[Volume], Iterable[str]]) -> tuple[str, str, str]:
        return label, TIMES.join(describe(restoration.source)), TIMES.join(describe(result))

    return (
        compare("Voxels along x, y, z", lambda v: map(str, v.shape)),
        compare("Spacing, mm", lambda v: (f"{s:.4g}" for s in v.spacing_mm)),
        compare("Extent, mm", lambda v: (f"{s * n:.4g}" for s, n in zip(v.spacing_mm, v.shape, strict=True))),
        ("Interpolated along", axis, axis),
        ("Acquired slices", str(grid.acquired), f"{facts.acquired_kept} kept bit for bit"),
    )


def describe_provenance(facts: JobFacts) -> tuple[tuple[str, str], ...]:
    """Program, files, weights, options, device and time."""
    options = " ".join(f"{flag} {text}".rstrip() for flag, text in facts.options.items())
    return (
        ("Program", f"saint {__version__}"),
        ("Input", facts.source),
        ("Output", facts.target),
        ("Weights", f"{facts.model}, sha256 {facts.weights_sha256}"),
        ("Options", options),
        ("Device and precision", f"{facts.device}, {facts.precision}"),
        (
            "Time",
            f"{format_exact_duration(facts.seconds)} to read and restore; this page and writing the result not counted",
        ),
    )


def describe_orientation(pair: ScanPair) -> tuple[str, ...]:
    """Notes on the orientation of the planes."""
    degrees = pair.before.oblique_degrees
    if degrees <= OBLIQUE_DEGREES:
        return ()
    return (f"This scan is {degrees:.0f}° oblique; its planes are named after the nearest anatomical planes.",)


def describe_error_maps(restoration: Restoration, *, is_calibrated: bool) -> ErrorMapTexts:
    """How to read the error maps."""
    if is_calibrated:
        return ErrorMapTexts(
            "Expected absolute error",
            "HU",
            "Estimated from the difference between the sagittal and the coronal result, calibrated on dense CT. It is "
            "0 at acquired slices, which are copied. Trust where errors are large more than their exact size.",
        )
    return ErrorMapTexts(
        f"Disagreement |I_sag {MINUS} I_cor|",
        _unit(restoration),
        "Difference between the sagittal and the coronal result, in scanner values; 0 at acquired slices, which are "
        "copied. It shows where the result is uncertain, but it is not an error: these weights, options or values have "
        "no calibration.",
    )


def describe_self_check(check: SelfCheck, restoration: Restoration) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    """What was checked, as a paragraph, and the figures: (what, SAINT, cubic)."""
    axis, unit = restoration.grid.axis, _unit(restoration)
    spacing_mm = restoration.source.spacing_mm[axis]
    where = "over their whole planes"
    if not check.region.is_whole:
        box = ", ".join(f"{'xyz'[i]} {s.start}…{s.stop - 1}" for i, s in enumerate(check.region.scored_box))
        where = f"inside a region around the middle of the body ({box}), which saves time"
    note = (
        "A quality figure without ground truth: every second acquired slice was left out and predicted from the others "
        f"by the same networks, {check.slices} of {check.acquired} slices {where}. This is harder than the job itself: "
        f"the known slices are {2 * spacing_mm:.4g} mm apart instead of {spacing_mm:.4g} mm. PSNR uses a data range of "
        f"{' '.join([f'{check.data_range:.5g}', unit]).strip()}; cubic interpolation is aligned to slice centres. "
        f"Shown: slice {'xyz'[axis]} = {check.index}. The check took {format_exact_duration(check.seconds)}."
    )
    label = f"Mean absolute error, {unit}" if unit else "Mean absolute error"
    figures = (
        ("PSNR, dB", f"{check.psnr_db:.2f}", f"{check.cubic_db:.2f}"),
        (label, f"{check.mean_error:.3g}", f"{check.cubic_error:.3g}"),
    )
    return note, figures


def format_signed(value: float) -> str:
    """One decimal with its sign."""
    return f"{value:+.1f}".replace("-", MINUS)


def format_exact_duration(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _unit(restoration: Restoration) -> str:
    return "HU" if intensity.is_ct(restoration.source) else ""
