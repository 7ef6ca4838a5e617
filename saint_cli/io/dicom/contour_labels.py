"""DICOM RT Structure Sets as label maps: contours filled on the slices of the scan that they were drawn on."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError, UsageError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom.contour_filling import fill_contours
from saint_cli.io.dicom.label_objects import ScanIdentity, check_frame_of_reference, choose_segments
from saint_cli.io.dicom.label_painter import LabelPainter, choose_label_type, describe_segment
from saint_cli.io.dicom.label_planes import place_on_slices
from saint_cli.io.dicom.plane_steps import SLICE_TOLERANCE, ScanGrid
from saint_cli.io.dicom.structure_set import Region, read_structure_set
from saint_cli.io.read_options import LabelReadOptions
from saint_cli.runtime import memory
from saint_cli.volume import Header, Storage, Volume
from saint_cli.volume.label_map import LabelMap, Segment

NOUN = "region"

LEAST_WIDTH = 0.01
"""Of the length of all contours together, to tell their plane: files round the points of lines."""


@dataclass(frozen=True)
class _Contour:
    """A closed contour: its region's number, its vertices (n, 2) in pixels, and its place in slices of the scan."""

    number: int
    vertices: np.ndarray
    place: float


def read_contours(
    path: Path, files: Sequence[Path], scan: Volume | None, identity: ScanIdentity, options: LabelReadOptions
) -> LabelMap:
    """The label map of a Structure Set, with the pixels of ``scan`` and its slices, or thicker ones in their place.

    Of ``options``, segments and memory count.

    Raises:
        UnreadableError: damaged. UsageError: no scan; several files; regions that overlap or are not there; too little
            memory. GeometryError: contours that lie on no slice, or in another frame of reference.
    """
    if scan is None:
        raise UsageError(f"{path}: contours need the scan on which they were drawn, which has the pixels to fill")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UsageError(f"{path}: {len(files)} RT Structure Sets; give one of these files: {names}")
    structures = read_structure_set(files[0])
    described = tuple(region.segment for region in structures.regions)
    segments = choose_segments(path, described, options.segments, NOUN)
    regions = _choose_regions(path, structures.regions, segments)
    warnings = _list_warnings(regions)
    for region in regions:
        if region.contours:  # where the others lie does not matter
            warnings += check_frame_of_reference(path, region.frame_of_reference_uid, identity, region.image_uids)
    try:
        grid = ScanGrid.across(scan, _find_normal(structures.regions, scan))
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    contours = [contour for region in regions for contour in _project(path, region, grid)]
    origin = identity.find_origin(structures.source_uids)
    try:
        planes = place_on_slices(np.array([one.place for one in contours]), grid, origin)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    highest = max(segment.number for segment in segments)
    memory.check_voxels_fit(path, math.prod(planes.shape) * choose_label_type(highest).itemsize, options.max_memory)
    painter = LabelPainter(planes.shape, highest)
    _paint(painter, contours, planes.slices)
    painter.require_disjoint(path, segments, NOUN)
    storage, about = Storage(painter.labels.dtype), tuple(dict.fromkeys(warnings))
    header = Header(source_format="DICOM RTSTRUCT", storage=storage, warnings=about, is_labels=True)
    return LabelMap(painter.labels, planes.affine_lps, segments, header)


def _choose_regions(path: Path, regions: Iterable[Region], segments: Iterable[Segment]) -> list[Region]:
    """The regions of some segments.

    Raises:
        UsageError: none of them has a closed contour.
    """
    numbers = {segment.number for segment in segments}
    chosen = [region for region in regions if region.segment.number in numbers]
    if not any(region.contours for region in chosen):
        raise UsageError(f"{path}: no closed contours, which alone enclose voxels")
    return chosen


def _find_normal(regions: Iterable[Region], scan: Volume) -> np.ndarray:
    """(3,) LPS: the direction in which the points of contours vary least, each around its own middle.

    Points and lines along one direction tell none; they lie on slices along the scan's last axis.
    """
    centred = [contour - contour.mean(axis=0) for region in regions for contour in region.contours]
    spread, directions = np.linalg.eigh(np.sum([points.T @ points for points in centred], axis=0))  # mm2, ascending
    if spread[1] <= LEAST_WIDTH**2 * spread[2]:
        return np.asarray(np.cross(scan.affine_lps[:3, 0], scan.affine_lps[:3, 1]))
    return np.asarray(directions[:, 0])


def _project(path: Path, region: Region, grid: ScanGrid) -> list[_Contour]:
    """The contours of a region in pixels of the scan; one that is there twice is taken once.

    Raises:
        GeometryError: a contour that is not parallel to the slices.
    """
    contours, seen = [], set[bytes]()
    for points in region.contours:
        if (key := points.tobytes()) in seen:
            continue
        seen.add(key)
        indices = grid.to_indices(points)
        if float(np.ptp(indices[:, 2])) > 2 * SLICE_TOLERANCE:
            x, y, z = points[0]
            raise GeometryError(
                f"{path}: {describe_segment(region.segment, NOUN)} has a contour from ({x:.5g}, {y:.5g}, {z:.5g}) mm "
                "that is not parallel to the slices of the scan; give the scan on which it was drawn"
            )
        contours.append(_Contour(region.segment.number, indices[:, :2], float(indices[:, 2].mean())))
    return contours


def _paint(painter: LabelPainter, contours: Sequence[_Contour], slices: np.ndarray) -> None:
    """Fill contours slice by slice. Pixels on a contour go to its region where no other holds them."""
    by_slice: dict[int, dict[int, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for contour, z in zip(contours, slices, strict=True):
        by_slice[int(z)][contour.number].append(contour.vertices)
    shape = painter.labels.shape[:2]
    for z in sorted(by_slice):
        filled = {number: fill_contours(outlines, shape) for number, outlines in sorted(by_slice[z].items())}
        for number, masks in filled.items():
            painter.paint(z, number, masks.inside)
        for number, masks in filled.items():
            painter.paint_free(z, number, masks.border)


def _list_warnings(regions: Iterable[Region]) -> list[str]:
    regions = list(regions)
    skipped = Counter[str]()
    for region in regions:
        skipped += region.skipped
    warnings = [
        f"{format_count(count, f'{kind} contour')} skipped: only closed ones enclose voxels"
        for kind, count in sorted(skipped.items())
    ]
    empty = [region.segment for region in regions if not region.contours]
    if empty:
        names = ", ".join(describe_segment(segment, NOUN) for segment in empty[:5])
        warnings.append(f"without closed contours: {names}{' and more' * (len(empty) > 5)}")
    return warnings
