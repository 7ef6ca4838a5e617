"""4-D CT as files, and jobs of all of its volumes."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from make_jobs import make_job

from saint_cli.jobs import GridRequest, JobResult, ModelConfig, run_job
from saint_cli.progress import silent

SHAPE = (20, 18, 5)


def ct_volumes(count: int = 4, dtype: str = "int16") -> np.ndarray:
    """[x, y, z, volume] CT with air around it, each volume with noise of its own."""
    random = np.random.default_rng(11)
    voxels = random.normal(40, 60, (*SHAPE, count))
    voxels[:2] = voxels[-1:] = -1000
    return voxels.round().astype(dtype) if np.dtype(dtype).kind in "iu" else voxels.astype(dtype)


def save(voxels: np.ndarray, path: Path, **header: Any) -> Path:
    image = nibabel.Nifti1Image(voxels, np.diag([0.7, 0.9, 5.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def run(source: Path, target: Path, model: ModelConfig, volume: Any = "all", **more: Any) -> JobResult:
    return run_job(make_job(source, target, GridRequest(factor=3), model, volume=volume, **more), silent)
