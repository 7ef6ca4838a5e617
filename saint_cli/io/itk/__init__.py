"""NRRD and MetaImage in and out."""
