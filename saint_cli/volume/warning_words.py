"""Words of warnings that a reader gives a volume, and that are changed where they are not true of its result."""

TILTED = "slices are tilted and kept as acquired"

HIDDEN = "kept there, hidden from the networks"
"""What a warning says of voxels without a measurement."""
