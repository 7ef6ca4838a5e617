"""The quality-control page and pictures of one restored scan."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saint_cli.evaluation import selfcheck, tissues
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.progress import ProgressCallback, silent
from saint_cli.report import bone, label_outlines, methods_text, page, plane_cuts, preview, texts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.error_maps import make_error_maps
from saint_cli.report.job_facts import JobFacts, LabelPair
from saint_cli.report.plane_cuts import Cut, ScanPair
from saint_cli.report.slice_comparison import SliceComparison, compare_slice
from saint_cli.report.windows import CT_WINDOWS, Window, choose_windows
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume
from saint_cli.volume.float_limits import limit_values

MOST_ELONGATED_THUMBNAIL = 3.0
"""Longer over shorter side of a thumbnail across the slices."""


@dataclass(frozen=True)
class ReportFiles:
    """Where to write the page, the preview and the thumbnail, None for none; overwrite: whether they replace files."""

    page: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None
    overwrite: bool = True


@dataclass(frozen=True)
class Pictures:
    """The pictures of one restoration that page, preview and thumbnail share.

    between: a synthesised slice, None where there is none; shown_window: which of the windows suits the scan;
    bone: before and after as uint8 pictures, or why there are none.
    """

    pair: ScanPair
    cuts: tuple[Cut, ...]
    between: SliceComparison | None
    windows: tuple[Window, ...]
    shown_window: int
    bone: tuple[np.ndarray, np.ndarray] | str

    @property
    def window(self) -> Window:
        """The window that suits the scan."""
        return self.windows[self.shown_window]


def write_report(
    files: ReportFiles,
    facts: JobFacts,
    restoration: Restoration,
    result: Volume,
    check: selfcheck.SelfCheck | str | None,
    on_progress: ProgressCallback = silent,
) -> None:
    """Write the files that are wanted of a restoration and its ``result``, with the pixels of the scan.

    facts: of the file that is written, whose slices may have other pixels; check: the self-check of the restoration,
    or why there is none; None only where no page is wanted.

    Raises:
        OutputError: a file cannot be written.
    """
    on_progress("pictures", 0, 1)
    pictures = make_pictures(restoration, result, facts.labels)
    on_progress("pictures", 1, 1)
    if files.page is not None:
        assert check is not None
        content = make_page_content(facts, pictures, restoration, result, check)
        page.write_page(content, files.page, overwrite=files.overwrite)
    if files.preview is not None:
        titles = texts.describe_columns(facts, restoration, result)
        surface = None if isinstance(pictures.bone, str) else pictures.bone
        rows = preview.PreviewRows(pictures.cuts, pictures.between, surface)
        preview.write_preview(titles, rows, pictures.window, files.preview, overwrite=files.overwrite)
    if files.thumbnail is not None:
        thumbnail = _choose_thumbnail(pictures)
        preview.write_thumbnail(thumbnail, pictures.window, files.thumbnail, overwrite=files.overwrite)


def _choose_thumbnail(pictures: Pictures) -> np.ndarray:
    """A plane across the slices, or where that is but a strip a synthesised slice."""
    rows, columns = pictures.cuts[0].after.shape
    if pictures.between is not None and max(rows, columns) > MOST_ELONGATED_THUMBNAIL * min(rows, columns):
        return pictures.between.synthesised
    return pictures.cuts[0].after


def make_pictures(restoration: Restoration, result: Volume, labels: LabelPair | None = None) -> Pictures:
    """Planes through the middle of the body, before and after, with maps of their error; and the bone.

    With labels the planes that hold most of them, and their outlines.
    """
    is_ct = intensity.is_ct(restoration.source)
    source, result = (limit_values(volume) for volume in (restoration.source, result))
    shown = spread_slices(source, restoration.grid)
    before, after = (UprightVolume.from_voxels(v.voxels, v.affine_lps, v.header) for v in (shown, result))
    windows, shown_window = choose_windows(result, before, is_ct=is_ct)
    body_above = tissues.BODY_HU if windows == CT_WINDOWS else (windows[0].low + windows[0].high) / 2
    middle, upright_labels = tissues.find_middle(after.voxels, body_above, after.header), None
    if labels is not None:
        on_thick, on_fine = (UprightVolume.from_voxels(m.labels, m.affine_lps) for m in (labels.before, labels.after))
        middle, upright_labels = label_outlines.find_centre(on_fine) or middle, (on_thick, on_fine)
    through = before.find_axis(restoration.grid.axis)
    pair = ScanPair(before, after, through, make_error_maps(restoration, result, after, middle), upright_labels)
    surface: tuple[np.ndarray, np.ndarray] | str = texts.BONE_NEEDS_CT
    if is_ct:
        surface = (
            texts.TOO_FLAT_FOR_BONE if bone.is_too_flat(pair) else bone.draw_surface(pair) or texts.HARDLY_ANY_BONE
        )
    return Pictures(
        pair=pair,
        cuts=tuple(plane_cuts.make_cut(pair, fixed, middle) for fixed in pair.list_planes()),
        between=compare_slice(
            source, result, restoration.grid, after.find_source_index(through, middle[through]), body_above
        ),
        windows=windows,
        shown_window=shown_window,
        bone=surface,
    )


def spread_slices(source: Volume, grid: SliceGrid) -> Volume:
    """An uneven scan with the nearest acquired slice at each place of its regular grid; an even one as it is."""
    if grid.positions is None:
        return source
    nearest = [grid.find_nearest(j) for j in range(grid.count)]
    header = replace(source.header, slice_positions=())
    return Volume(source.voxels.take(nearest, grid.axis), grid.refine(source.affine_lps), header)


def make_page_content(
    facts: JobFacts, pictures: Pictures, restoration: Restoration, result: Volume, check: selfcheck.SelfCheck | str
) -> page.PageContent:
    """Everything on the page."""
    labels = None
    if facts.labels is not None:
        labels = label_outlines.make_table(facts.labels, texts.describe_labels(facts, restoration.grid))
    return page.PageContent(
        name=facts.source,
        version=__version__,
        verdict=texts.describe_verdict(check),
        headline=texts.describe_headline(facts, restoration),
        geometry=texts.describe_geometry(facts, restoration, pictures.pair),
        cuts=pictures.cuts,
        between=None if pictures.between is None else texts.describe_comparison(pictures.between, facts),
        windows=pictures.windows,
        shown_window=pictures.shown_window,
        errors=texts.describe_error_maps(restoration, resamples_planes=facts.resamples_planes),
        check=check if isinstance(check, str) else _self_check_content(check, restoration, facts),
        bone=pictures.bone,
        methods=methods_text.write_methods(facts, restoration, result, check),
        facts=texts.describe_provenance(facts),
        notes=texts.describe_orientation(restoration.source, restoration.grid.axis),
        warnings=facts.warnings,
        labels=labels,
    )


def _self_check_content(check: selfcheck.SelfCheck, restoration: Restoration, facts: JobFacts) -> page.SelfCheckContent:
    def draw(voxels: np.ndarray) -> np.ndarray:
        return plane_cuts.draw_slice(voxels, restoration.source.affine_lps, restoration.grid.axis)

    return page.SelfCheckContent(
        truth=draw(check.truth),
        predicted=draw(check.predicted),
        cubic=draw(check.cubic),
        figures=texts.describe_figures(check),
        measures=texts.describe_measures(check),
        unit=check.unit,
        note=texts.describe_self_check(check, restoration, facts),
    )
