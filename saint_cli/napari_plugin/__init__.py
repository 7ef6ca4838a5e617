"""saint in napari: a manifest (``napari.yaml``) and one widget; imported by napari alone."""
