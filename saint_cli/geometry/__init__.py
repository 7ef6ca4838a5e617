"""Pure geometry in LPS millimetres: affines, stacks of slices, refined slice grids. No files, no torch."""

from saint_cli.geometry.affine import (
    MAX_COORDINATE_MM,
    NEAR_ISOTROPIC_RATIO,
    RAS_FROM_LPS,
    check_affine,
    cosine,
    format_spacing,
    in_plane,
    refine_axis,
    slice_distance_mm,
    spacing_mm,
    through_plane_axis,
)
from saint_cli.geometry.slice_grid import (
    ACQUIRED_TOLERANCE,
    MAX_FACTOR,
    MIN_FACTOR,
    SliceGrid,
    check_factor,
    grid_by_factor,
    grid_by_spacing,
)
from saint_cli.geometry.slice_stack import (
    ORTHOGONAL_COSINE,
    SliceStack,
    positions_along_normal,
    slice_directions,
    stack_slices,
)
from saint_cli.geometry.tilt import tilt_degrees

__all__ = [
    "ACQUIRED_TOLERANCE",
    "MAX_COORDINATE_MM",
    "MAX_FACTOR",
    "MIN_FACTOR",
    "NEAR_ISOTROPIC_RATIO",
    "ORTHOGONAL_COSINE",
    "RAS_FROM_LPS",
    "SliceGrid",
    "SliceStack",
    "check_affine",
    "check_factor",
    "cosine",
    "format_spacing",
    "grid_by_factor",
    "grid_by_spacing",
    "in_plane",
    "positions_along_normal",
    "refine_axis",
    "slice_directions",
    "slice_distance_mm",
    "spacing_mm",
    "stack_slices",
    "through_plane_axis",
    "tilt_degrees",
]
