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
from saint_cli.geometry.plane_grid import PlaneGrid, make_plane_grid
from saint_cli.geometry.sampling_weights import LineWeights, box_weights
from saint_cli.geometry.slab_profile import ProfileShape, SlabProfile
from saint_cli.geometry.slice_grid import (
    ACQUIRED_TOLERANCE,
    MAX_FACTOR,
    MIN_FACTOR,
    SNAP_FRACTION,
    SliceGrid,
    check_factor,
    grid_by_averaging,
    grid_by_factor,
    grid_by_spacing,
    grid_of_slabs,
    same_grid,
)
from saint_cli.geometry.slice_stack import (
    ORTHOGONAL_COSINE,
    SliceStack,
    positions_along_normal,
    slice_directions,
    stack_slices,
    stack_uneven_slices,
)
from saint_cli.geometry.tilt import tilt_degrees
from saint_cli.geometry.uneven_grid import MAX_GAP_MM, grid_of_uneven

__all__ = [
    "ACQUIRED_TOLERANCE",
    "MAX_COORDINATE_MM",
    "MAX_FACTOR",
    "MAX_GAP_MM",
    "MIN_FACTOR",
    "NEAR_ISOTROPIC_RATIO",
    "ORTHOGONAL_COSINE",
    "RAS_FROM_LPS",
    "SNAP_FRACTION",
    "LineWeights",
    "PlaneGrid",
    "ProfileShape",
    "SlabProfile",
    "SliceGrid",
    "SliceStack",
    "box_weights",
    "check_affine",
    "check_factor",
    "cosine",
    "format_spacing",
    "grid_by_averaging",
    "grid_by_factor",
    "grid_by_spacing",
    "grid_of_slabs",
    "grid_of_uneven",
    "in_plane",
    "make_plane_grid",
    "positions_along_normal",
    "refine_axis",
    "same_grid",
    "slice_directions",
    "slice_distance_mm",
    "spacing_mm",
    "stack_slices",
    "stack_uneven_slices",
    "through_plane_axis",
    "tilt_degrees",
]
