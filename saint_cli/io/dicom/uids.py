"""UIDs of derived series: the same slices, interpolated to the same values, get the same UIDs on every machine."""

import hashlib
import json
import uuid
from collections.abc import Sequence

import numpy as np

from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.runtime.version import __version__
from saint_cli.volume import Derivation, Volume

UID_NAMESPACE = uuid.UUID("5a1f7c1e-6f0b-5d0e-9c57-6b1d6a3f2c11")
"""Under which saint's UIDs are made (UUID version 5, written as 2.25.x: PS3.5 B.2)."""


def make_uid(name: str) -> str:
    """The same UID for the same name."""
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, name).int}"


def make_series_uid(
    volume: Volume, derivation: Derivation, acquired: Sequence[SliceHeader], *, keep_slice_thickness: bool
) -> str:
    """SeriesInstanceUID: one for the same acquired slices, weights, options, version of saint, and voxels."""
    voxels = hashlib.sha256()
    for k in range(volume.shape[2]):
        voxels.update(np.ascontiguousarray(volume.voxels[:, :, k].T).data)
    sources = [(header.series_uid, header.sop_instance, header.frame) for header in acquired]
    grid, options = derivation.grid, [*derivation.option_names, keep_slice_thickness]
    recipe = [__version__, derivation.weights_sha256, grid.step, grid.count, options]
    if grid.origin or grid.positions or derivation.plane:  # else the UIDs remain those of earlier versions
        recipe += [grid.origin, grid.positions, volume.affine_lps.tolist()]
    return make_uid(json.dumps([sources, recipe, voxels.hexdigest()]))


def find_study_uid(source: SliceHeader) -> str:
    """The source's StudyInstanceUID, or one made for its series where it has none."""
    return source.study_uid or make_uid(f"study of {source.series_uid}")


def find_frame_of_reference_uid(source: SliceHeader) -> str:
    """The source's FrameOfReferenceUID, or one made for its series where it has none (Type 1)."""
    return source.frame_of_reference_uid or make_uid(f"frame of reference {source.study_uid} {source.series_uid}")
