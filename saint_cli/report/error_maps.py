"""Maps of the expected error: planes of it on the voxels of the result, or of the disagreement of both networks."""

import numpy as np

from saint_cli.geometry import in_plane
from saint_cli.method.pipeline import Restoration
from saint_cli.report.anatomy import UprightVolume
from saint_cli.volume import Volume, hounsfield


def make_error_maps(
    restoration: Restoration, result: Volume, after: UprightVolume, centre: tuple[int, int, int]
) -> dict[int, np.ndarray]:
    """Of the planes of ``after`` that meet at ``centre`` and hold the through-plane axis, by the axis they fix: the
    expected error, or |I_sag - I_cor| where that is not known; [across, along] float32.
    """
    plan, axis = restoration.plan, restoration.grid.axis
    calibration = restoration.calibration if restoration.has_known_error else None
    plane_axes = in_plane(range(3), axis)
    is_between, maps = plan.offset > 0, dict[int, np.ndarray]()
    for fixed, source_axis in enumerate(after.axis_order):
        if source_axis == axis:
            continue
        index = after.find_source_index(fixed, centre[fixed])
        x, y = (slice(index, index + 1) if a == source_axis else slice(None) for a in plane_axes)
        values = np.minimum(restoration.difference((x, y))[..., is_between], hounsfield.OVERFLOW_LIMIT)
        dense = np.zeros((*values.shape[:2], plan.count), np.float32)
        dense[..., plan.synthesised[is_between]] = values if calibration is None else calibration.expected_error(values)
        upright = UprightVolume.from_voxels(np.moveaxis(dense, 2, axis), result.affine_lps)
        maps[fixed] = upright.voxels.take(0, fixed)
    return maps
