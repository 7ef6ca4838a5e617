"""The quality-control page and pictures of one restored scan."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saint_cli.evaluation import selfcheck
from saint_cli.geometry import SliceGrid
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.progress import ProgressCallback, silent
from saint_cli.report import anatomy, bone, page, plane_cuts, preview, texts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.error_maps import make_error_maps
from saint_cli.report.job_facts import JobFacts
from saint_cli.report.plane_cuts import Cut, ScanPair
from saint_cli.report.windows import Window, choose_windows
from saint_cli.runtime.device_selection import Compute
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume, hounsfield

__all__ = ["JobFacts", "ReportFiles", "write_report"]

TISSUE_HU = -300.0
"""Voxels above belong to the patient, in whose middle the planes are placed."""


@dataclass(frozen=True)
class ReportFiles:
    """Where to write the page, the preview and the thumbnail; None for none."""

    page: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None


@dataclass(frozen=True)
class Pictures:
    """The pictures of one restoration that page, preview and thumbnail share.

    bone: before and after as uint8 pictures, or why there are none; centre: the voxel x, y, z of the source in which
    the planes meet.
    """

    pair: ScanPair
    cuts: tuple[Cut, ...]
    windows: tuple[Window, ...]
    bone: tuple[np.ndarray, np.ndarray] | str
    centre: tuple[int, int, int]


def write_report(
    files: ReportFiles,
    facts: JobFacts,
    restoration: Restoration,
    result: Volume,
    compute: Compute,
    on_progress: ProgressCallback = silent,
) -> None:
    """Write the files that are wanted of a restoration and its ``result``.

    Raises:
        OutputError: a file cannot be written.
    """
    on_progress("pictures", 0, 1)
    pictures = make_pictures(restoration, result)
    on_progress("pictures", 1, 1)
    if files.page is not None:
        check = try_self_check(restoration, pictures, compute, on_progress)
        page.write_page(make_page_content(facts, pictures, restoration, result, check), files.page)
    if files.preview is not None:
        titles = texts.describe_columns(facts, restoration, result)
        surface = None if isinstance(pictures.bone, str) else pictures.bone
        preview.write_preview(titles, pictures.cuts, pictures.windows[0], surface, files.preview)
    if files.thumbnail is not None:
        preview.write_thumbnail(pictures.cuts[0], pictures.windows[0], files.thumbnail)


def make_pictures(restoration: Restoration, result: Volume) -> Pictures:
    """Planes through the middle of the body, before and after, with maps of their error; and the bone."""
    is_ct = intensity.is_ct(restoration.source)
    source, result = (limit_values(volume) for volume in (restoration.source, result))
    before, after = (UprightVolume.from_voxels(v.voxels, v.affine_lps, v.header) for v in (source, result))
    windows = choose_windows(result, is_ct=is_ct)
    middle = anatomy.find_body_centre(after, TISSUE_HU if is_ct else (windows[0].low + windows[0].high) / 2)
    through = before.find_axis(restoration.grid.axis)
    pair = ScanPair(before, after, through, make_error_maps(restoration, result, after, middle))
    surface: tuple[np.ndarray, np.ndarray] | str = texts.BONE_NEEDS_CT
    if is_ct:
        surface = bone.render(pair) or texts.HARDLY_ANY_BONE
    planes = tuple(plane_cuts.make_cut(pair, fixed, middle[fixed]) for fixed in pair.list_planes())
    return Pictures(pair, planes, windows, surface, _find_source_voxel(restoration.grid, after, middle))


def limit_values(volume: Volume) -> Volume:
    """The volume with values that float32 pictures and figures can hold, cut at ``hounsfield.OVERFLOW_LIMIT``."""
    voxels, most = volume.voxels, hounsfield.OVERFLOW_LIMIT
    if voxels.dtype.kind != "f" or not (np.abs(voxels) > most).any():
        return volume
    padding = tuple((max(-most, min(low, most)), max(-most, min(high, most))) for low, high in volume.header.padding)
    clipped = np.clip(voxels, -most, most).astype(np.float32)
    return replace(volume, voxels=clipped, header=replace(volume.header, padding=padding))


def _find_source_voxel(grid: SliceGrid, after: UprightVolume, voxel: tuple[int, int, int]) -> tuple[int, int, int]:
    """The voxel of the source nearest to a voxel of the upright result."""
    x, y, z = (after.find_source_index(i, voxel[i]) for i in map(after.axis_order.index, range(3)))
    nearest = [x, y, z]
    nearest[grid.axis] = min(round(nearest[grid.axis] * grid.step), grid.acquired - 1)
    return nearest[0], nearest[1], nearest[2]


def try_self_check(
    restoration: Restoration, pictures: Pictures, compute: Compute, on_progress: ProgressCallback
) -> selfcheck.SelfCheck | str:
    """The self-check, or why there is none."""
    reason = selfcheck.find_reason_to_skip(restoration.source, restoration.grid.axis)
    low, high = intensity.FLOAT32_SCALES
    if reason is None and not low < restoration.network_input.intensity_map.scale < high:
        reason = "its values are too large, or too near to each other, for figures"
    if reason is not None:
        return reason
    limited = replace(restoration, measured=limit_values(restoration.measured))
    check = selfcheck.run_self_check(limited, compute, pictures.centre, on_progress)
    if not (math.isfinite(check.psnr_db) and math.isfinite(check.cubic_db)):
        return "the slices that were left out came back exactly, so there is no error to show"
    return check


def make_page_content(
    facts: JobFacts, pictures: Pictures, restoration: Restoration, result: Volume, check: selfcheck.SelfCheck | str
) -> page.PageContent:
    """Everything on the page."""
    return page.PageContent(
        name=facts.source,
        version=__version__,
        headline=texts.describe_headline(facts, restoration, result, check),
        geometry=texts.describe_geometry(facts, restoration, result, pictures.pair),
        cuts=pictures.cuts,
        windows=pictures.windows,
        errors=texts.describe_error_maps(restoration, is_calibrated=restoration.has_known_error),
        check=check if isinstance(check, str) else _self_check_content(check, restoration),
        bone=pictures.bone,
        facts=texts.describe_provenance(facts),
        notes=texts.describe_orientation(pictures.pair),
        warnings=facts.warnings,
    )


def _self_check_content(check: selfcheck.SelfCheck, restoration: Restoration) -> page.SelfCheckContent:
    note, figures = texts.describe_self_check(check, restoration)
    return page.SelfCheckContent(
        truth=_slice_picture(check.truth, restoration),
        predicted=_slice_picture(check.predicted, restoration),
        cubic=_slice_picture(check.cubic, restoration),
        figures=figures,
        unit="HU" if intensity.is_ct(restoration.source) else "",
        note=note,
    )


def _slice_picture(voxels: np.ndarray, restoration: Restoration) -> np.ndarray:
    """One slice, its through-plane axis of length 1, as a picture."""
    upright = UprightVolume.from_voxels(voxels, restoration.source.affine_lps)
    fixed = upright.find_axis(restoration.grid.axis)
    return plane_cuts.make_cut(ScanPair(upright, upright, fixed), fixed, 0).after
