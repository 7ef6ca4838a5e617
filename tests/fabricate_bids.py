"""BIDS data sets with thick anatomical images, made for tests."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

THICK, ISOTROPIC = (0.8, 0.8, 5.0), (1.0, 1.0, 1.0)


def save_image(path: Path, spacing_mm: tuple[float, ...] = THICK, shape: tuple[int, ...] = (16, 14, 5)) -> Path:
    """A bright ellipsoid with noise [x, y, z] in arbitrary units, int16."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    voxels = np.where(sum(grid**2 for grid in grids) < 0.8, 400, 10) + np.random.default_rng(5).normal(0, 10, shape)
    image = nib.Nifti1Image(voxels.round().astype("int16"), np.diag([*spacing_mm[:3], 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def save_json(path: Path, **fields: Any) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def save_dataset(root: Path, *images: str, **fields: Any) -> Path:
    """A raw data set with thick images at these paths."""
    save_json(root / "dataset_description.json", Name="Trial", BIDSVersion="1.11.1", DatasetType="raw", **fields)
    (root / "README").write_text("Thick slices, made for a test. " * 10)
    for image in images:
        save_image(root / image)
    return root
