"""The stages of a job and what each is assumed to take, for the bar that shows the whole of it."""

from typing import TYPE_CHECKING

from saint_cli.jobs.job import Job
from saint_cli.progress import Stage

if TYPE_CHECKING:
    from saint_cli.compute import Compute
    from saint_cli.geometry import SliceGrid
    from saint_cli.volume import Volume
    from saint_cli.weights import SaintModel

FETCHING, READING, LOADING, SLICES, PICTURES, WRITING, UPLOADING = (
    "fetching",
    "reading",
    "loading networks",
    "joining slices",
    "pictures",
    "writing",
    "uploading",
)

READ_S, LOAD_S, UPLOAD_S = 1.0, 4.0, 5.0
"""Seconds that reading, torch and networks, and an upload are assumed to take."""

PICTURES_S = 0.5
"""Seconds of a page's pictures, and as much for each hundred million voxels."""

JOIN_S, NOISE_S, WRITE_S = 4e-8, 3e-7, 1.5e-7
"""Seconds per output voxel: linear part and residual, ``--match-noise``, and compressing and writing."""


def before_reading(*, fetches: bool) -> tuple[Stage, ...]:
    """What can be expected of any job."""
    stages = (Stage(READING, READ_S), Stage(LOADING, LOAD_S))
    return (Stage(FETCHING, READ_S), *stages) if fetches else stages


def after_loading(
    job: Job, volume: "Volume", grid: "SliceGrid", model: "SaintModel", compute: "Compute"
) -> tuple[Stage, ...]:
    """What is still to be done of a job once its scan and its networks are known."""
    from saint_cli import workload

    about = model, volume.shape, grid, compute, job.choices
    networks = workload.network_stages(*about)
    voxels = volume.voxels.size // grid.acquired * grid.count
    stages = [*networks, Stage(SLICES, voxels * (JOIN_S + NOISE_S * job.choices.match_noise))]
    if any((job.page, job.preview, job.thumbnail)):
        stages.append(Stage(PICTURES, PICTURES_S * (1 + voxels / 1e8)))
    if job.page is not None:
        stages.append(workload.check_stage(*about))
    return (*stages, Stage(WRITING, voxels * WRITE_S * (1 if job.uncertainty is None else 2)))
