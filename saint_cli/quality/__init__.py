"""The quality-control page and pictures of one restored scan: what ``report`` draws is gathered here."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import saint_cli
from saint_cli import intensity, selfcheck
from saint_cli.choices import Report, silent
from saint_cli.compute import Compute
from saint_cli.pipeline import Restoration
from saint_cli.quality import words
from saint_cli.quality.about import About
from saint_cli.report import anatomy, bone, cuts, page, still
from saint_cli.report.anatomy import Upright
from saint_cli.report.cuts import Cut, Pair
from saint_cli.report.windows import Window, windows_for
from saint_cli.volume import Volume

__all__ = ["About", "Wanted", "write"]

TISSUE_HU = -300.0
"""What tells the patient from air, to place the planes."""


@dataclass(frozen=True)
class Wanted:
    """Where to write: the page, the still picture, the thumbnail; None for what is not wanted."""

    page: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None


@dataclass(frozen=True)
class Look:
    """The pictures of one restoration that page, preview and thumbnail share.

    bone: before and after as uint8 pictures, or why there are none; centre: the voxel x, y, z of the source in which
    the planes meet.
    """

    pair: Pair
    cuts: tuple[Cut, ...]
    windows: tuple[Window, ...]
    bone: tuple[np.ndarray, np.ndarray] | str
    centre: tuple[int, int, int]


def write(
    wanted: Wanted, about: About, restoration: Restoration, result: Volume, compute: Compute, report: Report = silent
) -> None:
    """Write what is wanted of a restoration and its ``result``.

    Raises:
        OutputError: a file cannot be written.
    """
    report("pictures", 0, 1)
    look = look_at(restoration, result)
    report("pictures", 1, 1)
    if wanted.page is not None:
        check = checked(restoration, look, compute, report)
        page.write_page(page_of(about, look, restoration, result, check), wanted.page)
    if wanted.preview is not None:
        surface = None if isinstance(look.bone, str) else look.bone
        still.write_preview(
            words.titles(about, restoration, result), look.cuts, look.windows[0], surface, wanted.preview
        )
    if wanted.thumbnail is not None:
        still.write_thumbnail(look.cuts[0], look.windows[0], wanted.thumbnail)


def look_at(restoration: Restoration, result: Volume) -> Look:
    """Planes through the middle of the body, before and after, with what is known of their error; and the bone."""
    ct = intensity.is_ct(restoration.source)
    source, result = (drawable(volume) for volume in (restoration.source, result))
    before, after = (Upright.of(v.voxels, v.affine_lps, v.header) for v in (source, result))
    windows = windows_for(result, ct=ct)
    middle = anatomy.middle(after, TISSUE_HU if ct else (windows[0].low + windows[0].high) / 2)
    through = before.axis(restoration.grid.axis)
    pair = Pair(before, after, through, error_planes(restoration, result, after, middle))
    surface: tuple[np.ndarray, np.ndarray] | str = "Only for CT: other modalities have no threshold for bone."
    if ct:
        surface = bone.render(pair) or f"Hardly any voxel above {bone.BONE_HU:g} HU is seen from the front."
    planes = tuple(cuts.cut(pair, fixed, middle[fixed]) for fixed in pair.planes())
    return Look(pair, planes, windows, surface, _source_voxel(restoration, after, middle))


def drawable(volume: Volume) -> Volume:
    """The volume with values that float32 pictures and figures can hold: what is beyond ``intensity.LARGE`` is that."""
    voxels, most = volume.voxels, intensity.LARGE
    if voxels.dtype.kind != "f" or not (np.abs(voxels) > most).any():
        return volume
    padding = tuple((max(-most, min(low, most)), max(-most, min(high, most))) for low, high in volume.header.padding)
    clipped = np.clip(voxels, -most, most).astype(np.float32)
    return replace(volume, voxels=clipped, header=replace(volume.header, padding=padding))


def _source_voxel(restoration: Restoration, after: Upright, at: tuple[int, int, int]) -> tuple[int, int, int]:
    """The voxel of the source nearest to a voxel of the upright result."""
    own = [0, 0, 0]
    for i, axis in enumerate(after.order):
        own[axis] = after.source_index(i, at[i])
    grid = restoration.grid
    own[grid.axis] = min(round(own[grid.axis] * grid.step), grid.acquired - 1)
    return own[0], own[1], own[2]


def knows_error(restoration: Restoration) -> bool:
    """Whether errors were measured for what was done: calibrated weights on CT, and the options of the calibration."""
    grid, choices = restoration.grid, restoration.choices
    window, offset = grid.locate()
    beyond = bool(((window == grid.acquired - 1) & (offset > 0)).any())
    usual = choices.directions == 2 and not (choices.tta or choices.match_noise or beyond)
    return usual and restoration.model.calibration is not None and intensity.is_ct(restoration.source)


def error_planes(
    restoration: Restoration, result: Volume, after: Upright, at: tuple[int, int, int]
) -> dict[int, np.ndarray]:
    """Of the upright planes ``at`` a voxel that hold the through-plane axis: the expected error of the output's voxels,
    or how far I_sag and I_cor lie apart where that is not known; [across, along] float32.
    """
    plan, axis = restoration.plan, restoration.grid.axis
    calibration = restoration.model.calibration if knows_error(restoration) else None
    in_plane = [source_axis for source_axis in range(3) if source_axis != axis]
    between, found = plan.offset > 0, dict[int, np.ndarray]()
    for fixed, source_axis in enumerate(after.order):
        if source_axis == axis:
            continue
        own = after.source_index(fixed, at[fixed])
        x, y = (slice(own, own + 1) if a == source_axis else slice(None) for a in in_plane)
        values = np.minimum(restoration.difference((x, y))[..., between], intensity.LARGE)
        dense = np.zeros((*values.shape[:2], plan.count), np.float32)
        dense[..., plan.synthesised[between]] = values if calibration is None else calibration.expected_error(values)
        found[fixed] = Upright.of(np.moveaxis(dense, 2, axis), result.affine_lps).voxels.take(0, fixed)
    return found


def checked(restoration: Restoration, look: Look, compute: Compute, report: Report) -> selfcheck.SelfCheck | str:
    """The self-check, or why there is none."""
    reason = selfcheck.why_not(restoration.source, restoration.grid.axis)
    low, high = intensity.FLOAT32_SCALES
    if reason is None and not low < restoration.scene.values.scale < high:
        reason = "its values are too large, or too near to each other, for figures"
    if reason is not None:
        return reason
    found = selfcheck.check(replace(restoration, measured=drawable(restoration.measured)), compute, look.centre, report)
    if not (math.isfinite(found.psnr_db) and math.isfinite(found.cubic_db)):
        return "the slices that were left out came back exactly, so there is no error to tell"
    return found


def page_of(
    about: About, look: Look, restoration: Restoration, result: Volume, check: selfcheck.SelfCheck | str
) -> page.Page:
    """Everything that the page tells."""
    view = check if isinstance(check, str) else _check_view(check, restoration)
    return page.Page(
        name=about.source,
        version=saint_cli.__version__,
        headline=words.headline(about, restoration, result, view),
        geometry=words.geometry(about, restoration, result, look.pair),
        cuts=look.cuts,
        windows=look.windows,
        errors=words.errors(restoration, known=knows_error(restoration)),
        check=view,
        bone=look.bone,
        facts=words.facts(about),
        notes=words.notes(look.pair),
        warnings=about.warnings,
    )


def _check_view(check: selfcheck.SelfCheck, restoration: Restoration) -> page.CheckView:
    note, figures = words.check(check, restoration)
    truth, predicted, cubic = (_hung(voxels, restoration) for voxels in (check.truth, check.predicted, check.cubic))
    return page.CheckView(
        truth=truth,
        predicted=predicted,
        cubic=cubic,
        figures=figures,
        psnr_db=check.psnr_db,
        gain_db=check.psnr_db - check.cubic_db,
        unit="HU" if intensity.is_ct(restoration.source) else "",
        note=note,
    )


def _hung(slice_voxels: np.ndarray, restoration: Restoration) -> np.ndarray:
    """One slice, its through-plane axis of length 1, as a picture."""
    upright = Upright.of(slice_voxels, restoration.source.affine_lps)
    fixed = upright.axis(restoration.grid.axis)
    return cuts.cut(Pair(upright, upright, fixed), fixed, 0).after
