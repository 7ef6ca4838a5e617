"""Warnings that a reader gives a volume, or words of them: not all are true of its result, or of labels on its grid."""

TILTED = "slices are tilted and kept as acquired"

HIDDEN = "kept there, hidden from the networks"
"""What a warning says of voxels without a measurement."""

NO_LABELS = "saint interpolates intensities"
"""What a warning says of a label map that is taken for a scan."""

MORE_THAN_ITS_HEADER = "than the header says: its number of voxels, or their type, may be wrong"
"""What a warning says of a file, not of one of its volumes."""

MADE_BY_SAINT = (
    "its header says that this is a result of saint: synthesised slices count as acquired ones here; upsample the "
    "acquired scan instead, with a larger factor or a smaller spacing"
)
