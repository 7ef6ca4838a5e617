"""All texts of the quality-control page that depend on the scan; templates/ has those that do not."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from saint_cli import geometry
from saint_cli.evaluation.selfcheck import SelfCheck
from saint_cli.evaluation.tissue_measures import TissueFigures
from saint_cli.geometry import ProfileShape, SliceGrid
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.bone import BONE_HU
from saint_cli.report.bone_planes import DENSE_HU
from saint_cli.report.job_facts import JobFacts
from saint_cli.report.page import ErrorMapTexts, OpeningSentence, SliceComparisonContent
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.report.slice_comparison import SliceComparison
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume

OBLIQUE_DEGREES = 10.0
"""Scans that are more oblique get a note on the page."""

LEAST_TILT_DEGREES = 0.5
"""Smaller tilts get no note, and angles that differ by less are the same."""

END_TOLERANCE = 0.02
"""Of a slice of the result: nearer to the last acquired slice than so it ends at that, as far as headers can tell."""

DIRECTIONS = ("left to right", "front to back", "foot to head")

BONE_NEEDS_CT = "Only for CT: other modalities have no threshold for bone."
HARDLY_ANY_BONE = f"Hardly any voxel above {BONE_HU:g} HU lies near compact bone (above {DENSE_HU:g} HU)."

TOO_FLAT_FOR_BONE = "The stack is too flat for a view from the front."

NOTHING = "\N{EN DASH}"
"""In place of a figure that is not defined."""

TIMES = " \N{MULTIPLICATION SIGN} "
MINUS = "\N{MINUS SIGN}"


def describe_verdict(check: SelfCheck | str) -> OpeningSentence:
    """The sentence that the page opens with."""
    if isinstance(check, str):
        return OpeningSentence(f"This result was not checked: {check}.", is_warning=False)
    return OpeningSentence(check.verdict.describe(), is_warning=not check.verdict.is_better)


def describe_headline(facts: JobFacts, restoration: Restoration) -> tuple[tuple[str, str], ...]:
    """The headline: distance between slices, their number, time."""
    grid = restoration.grid
    after = facts.spacing_after_mm[grid.axis]
    return (
        ("Distance between slices", f"{format_gaps(restoration, digits=3)} → {after:.3g} mm"),
        ("Slices", f"{grid.acquired} → {grid.count}"),
        ("Model", facts.model),
        ("Time", format_exact_duration(facts.seconds)),
    )


def format_gaps(restoration: Restoration, *, digits: int) -> str:
    """The distance between acquired slices without its unit; the least and the greatest of uneven ones."""
    gaps = restoration.grid.gaps * restoration.source.spacing_mm[restoration.grid.axis]
    ends = sorted({f"{mm:.{digits}g}" for mm in (gaps.min(), gaps.max())}, key=float)
    return " to ".join(ends)


def describe_columns(facts: JobFacts, restoration: Restoration, result: Volume) -> tuple[str, str]:
    """Titles of the preview's columns: the file and its spacing before, that of ``result``, along x, y, z."""
    before, after = (f"{geometry.format_spacing(v.spacing_mm, 3)} mm" for v in (restoration.source, result))
    return f"{facts.source}, {before}", after


def describe_geometry(facts: JobFacts, restoration: Restoration, pair: ScanPair) -> tuple[tuple[str, str, str], ...]:
    """Voxels, spacing and extent before and after; the extent is that between centres, which interpolation keeps."""
    grid, source = restoration.grid, restoration.source
    axis = f"{'xyz'[grid.axis]}, {DIRECTIONS[pair.through_plane]}"
    spacings = source.spacing_mm, facts.spacing_after_mm
    steps = _count_steps(source), [n - 1 for n in facts.shape_after]
    extents = [[s * n for s, n in zip(*one, strict=True)] for one in zip(spacings, steps, strict=True)]

    def compare(label: str, before_and_after: Iterable[Iterable[float]], form: str) -> tuple[str, str, str]:
        before, after = (TIMES.join(format(value, form) for value in values) for values in before_and_after)
        return label, before, after

    return (
        compare("Voxels along x, y, z", (source.shape, facts.shape_after), "d"),
        compare("Spacing, mm", spacings, ".4g"),
        compare("Extent between voxel centres, mm", extents, ".4g"),
        ("Interpolated along", axis, axis),
        ("Acquired slices", str(grid.acquired), f"{facts.acquired_kept} kept bit for bit"),
        *_describe_slabs(facts, restoration),
    )


def _describe_slabs(facts: JobFacts, restoration: Restoration) -> Iterator[tuple[str, str, str]]:
    """What slices were taken for, and how far means over them are off; nothing where they are no slabs."""
    grid, unit = restoration.grid, _unit(restoration)
    if grid.slab is not None:
        profile = ", Gaussian profile" if grid.slab.shape is ProfileShape.GAUSSIAN else ""
        thick = f"{grid.slab_thickness_mm(restoration.source.affine_lps):.4g}{profile}"
        yield "Slices taken for slabs as thick as, mm", thick, ""
    if facts.slab_deviation is not None:
        largest, rms = (_add_unit(f"{v:.3g}", unit) for v in (facts.slab_deviation.largest, facts.slab_deviation.rms))
        when = ", before slices were resampled in their plane" if facts.resamples_planes else ""
        yield "Means over slabs", "acquired slices", f"at most {largest} from these, root mean square {rms}{when}"


def _count_steps(volume: Volume) -> tuple[float, float, float]:
    """From the first to the last voxel, in spacings along x, y, z."""
    x, y, z = (n - 1.0 for n in volume.shape)
    return x, y, volume.header.slice_positions[-1] if volume.header.slice_positions else z


def describe_labels(facts: JobFacts, grid: SliceGrid) -> str:
    """What the outlines of labels show, and where labels end; grid: of the result."""
    result = "the result, whose acquired slices have the same labels" if grid.slab is None else "the thin slices"
    sentences = [f"Outlines above: before, on the acquired slices, as the label map has them; after, on {result}."]
    if facts.resamples_planes:
        sentences.append("Outlines are those before slices were resampled in their plane; volumes are those after it.")
    if grid.origin == 0 and not grid.extrapolated.any():
        sentences.append(_describe_ends(grid, facts.spacing_after_mm[grid.axis]))
    return " ".join(sentences)


def _describe_ends(grid: SliceGrid, spacing_mm: float) -> str:
    """Where a result begins and ends that lies between the first and the last acquired slice; spacing_mm: its own."""
    end = grid.positions[-1] if grid.positions else grid.acquired - 1
    missing = (end - grid.places[-1]) / grid.step  # in slices of the result
    lost = "labels that reach the first or last slice lose up to half a slice there"
    if missing < END_TOLERANCE:
        return f"The result ends in the middle of the last acquired slice, and so begins: {lost}."
    before = f"{missing * spacing_mm:.2g} mm"
    return (
        f"The result begins in the middle of the first acquired slice and ends {before} before the middle of the last: "
        f"{lost}, at the end up to {before} more."
    )


def describe_provenance(facts: JobFacts) -> tuple[tuple[str, str], ...]:
    """Program, files, weights, options, device and time."""
    return (
        ("Program", f"saint {__version__}"),
        ("Input", facts.source),
        ("Output", facts.target),
        ("Weights", f"{facts.model}, sha256 {facts.weights_sha256}"),
        ("Options", facts.options_text),
        ("Device and precision", f"{facts.device}, {facts.precision}"),
        (
            "Time",
            f"{format_exact_duration(facts.seconds)} to read and restore; this page and writing the result not counted",
        ),
    )


def describe_orientation(source: Volume, axis: int) -> tuple[str, ...]:
    """Notes on the orientation of the planes."""
    tilt = geometry.tilt_degrees(source.affine_lps, axis)
    oblique = UprightVolume.from_voxels(source.voxels, source.affine_lps).oblique_degrees
    nearest = "planes are named after the nearest anatomical planes."
    if tilt >= LEAST_TILT_DEGREES and abs(tilt - oblique) < LEAST_TILT_DEGREES:
        return (f"Gantry tilt {tilt:.1f}°: {nearest}",)
    notes = (f"Gantry tilt {tilt:.1f}°.",) if tilt >= LEAST_TILT_DEGREES else ()
    return (*notes, f"This scan is {oblique:.1f}° oblique: {nearest}") if oblique > OBLIQUE_DEGREES else notes


def describe_error_maps(restoration: Restoration, *, resamples_planes: bool = False) -> ErrorMapTexts:
    """How to read the error maps of a restoration; resamples_planes: as in ``JobFacts``."""
    keeps = restoration.options.keeps_acquired and restoration.grid.slab is None
    copied = ", before they are resampled" if resamples_planes else ", which are copied"
    zero = f"It is 0 at acquired slices{copied}. " if keeps else ""
    if restoration.has_known_error:
        dense = "dense CT" if intensity.is_ct(restoration.source) else "dense scans"
        by = f"{dense}; the self-check could not calibrate it on this scan"
        if restoration.is_calibrated_on_scan:
            by = f"{dense} and, by the self-check, on this scan"
        return ErrorMapTexts(
            "Expected absolute error",
            _unit(restoration),
            f"Estimated from the difference between the sagittal and the coronal result, calibrated on {by}. "
            f"{zero}Trust where errors are large more than their exact size.",
        )
    return ErrorMapTexts(
        f"Disagreement |I_sag {MINUS} I_cor|",
        _unit(restoration),
        "Difference between the sagittal and the coronal result, in scanner values. "
        f"{zero}It shows where the result is uncertain, but it is not an error: these weights, options or values have "
        "no calibration.",
    )


def describe_comparison(between: SliceComparison, facts: JobFacts) -> SliceComparisonContent:
    """What the pictures of a synthesised slice show."""
    first, second = between.between
    where = "among those farthest from acquired ones"
    if "--slab" in facts.options:
        where = "which were taken for slabs and are not in the result"
    note = (
        f"The {between.name} slice {between.axis} = {between.index} of the result lies between acquired slices {first} "
        f"and {second} (all counted from 0), {where}. Slide between linear interpolation, as workstations "
        "do it, and saint; compare its grain with that of the acquired slice."
    )
    if facts.options.get("--noise") == "smooth":
        note += " It is shown as acquired; in the result it is smoothed."
    elif not {"--noise", "--slab"} & facts.options.keys() and not np.isnan(between.noise_hu[0]):
        note += " Noise cannot be predicted, so that synthesised slices are smoother."
    noise = [f"noise {value:.1f} HU" if not np.isnan(value) else "" for value in between.noise_hu]
    return SliceComparisonContent(between, note, (noise[0], noise[1], noise[2]))


def describe_self_check(check: SelfCheck, restoration: Restoration, facts: JobFacts) -> str:
    """What was checked, as a paragraph."""
    axis = restoration.grid.axis
    spacing_mm = restoration.source.spacing_mm[axis]
    where = "over their whole planes"
    if not check.region.is_whole:
        box = ", ".join(f"{'xyz'[i]} {s.start}…{s.stop - 1}" for i, s in enumerate(check.region.scored_box))
        where = f"inside a region around the middle of the body ({box}), which saves time"
    noise = facts.options.get("--noise")
    unapplied = f"--noise {noise} was not applied here. " if noise else ""
    return (
        "A quality figure without ground truth: every second acquired slice was left out and predicted from the others "
        f"by the same networks, {check.slices} of {check.acquired} slices {where}. This is harder than the job itself: "
        f"the known slices are {2 * spacing_mm:.4g} mm apart instead of {spacing_mm:.4g} mm. PSNR uses a data range of "
        f"{_add_unit(f'{check.data_range:.5g}', check.unit)}; cubic interpolation is aligned to slice centres. "
        f"{unapplied}Shown: slice {'xyz'[axis]} = {check.index}. The check took {format_exact_duration(check.seconds)}."
    )


def describe_figures(check: SelfCheck) -> tuple[tuple[str, str, str], ...]:
    """The figures of the predicted slices: (what, SAINT, cubic)."""
    comma_unit = f", {check.unit}" if check.unit else ""
    figures = [
        ("PSNR, dB", f"{check.psnr_db:.2f}", f"{check.cubic_db:.2f}"),
        (f"Mean absolute error{comma_unit}", f"{check.mean_error:.3g}", f"{check.cubic_error:.3g}"),
    ]
    if not math.isnan(check.body_error):
        figures.append((f"Mean absolute error inside the body{comma_unit}", f"{check.body_error:.3g}", NOTHING))
    if check.noise_error is not None:
        noise = f"{check.noise_error:.3g}"
        figures.append((f"Error that noise alone makes there{comma_unit}", noise, noise))
    return tuple(figures)


def describe_measures(check: SelfCheck) -> tuple[tuple[str, ...], ...]:
    """What users measure in a CT, a row each: its name, and the value of the truth, SAINT, cubic and linear."""
    if not check.measures:
        return ()
    rows = []
    for columns in zip(*(one.tissues for one in check.measures), strict=True):
        if columns[0].true_ml > 0:
            rows.append((f"Volume of {columns[0].tissue}, ml", *(_format_volume(figures) for figures in columns)))
            distances = (figures.surface_mm for figures in columns[1:])
            cells = (f"{d:.2f}" if d is not None else NOTHING for d in distances)
            what = f"Mean distance of the surface of {columns[0].tissue} from the truth's, mm"
            rows.append((what, "", *cells))
    rises = [one.edge_rise_mm for one in check.measures]
    if rises[0] is not None:
        rows.append(("Width of edges across slices (10 to 90 %), mm", *(f"{r:.2f}" if r else NOTHING for r in rises)))
    return tuple(rows)


def _format_volume(figures: TissueFigures) -> str:
    """As in ``31.2 (+4.0 %)``; the truth has no difference."""
    error = figures.volume_error
    share = "" if not error else f" ({error:+z.1%})".replace("-", MINUS).replace("%", "\N{NO-BREAK SPACE}%")
    return f"{figures.found_ml:.3g}{share}"


def format_exact_duration(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _add_unit(value: str, unit: str) -> str:
    return f"{value} {unit}".strip()


def _unit(restoration: Restoration) -> str:
    return "HU" if intensity.is_ct(restoration.source) else ""
