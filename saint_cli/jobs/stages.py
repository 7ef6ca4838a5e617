"""The stages of a job and what each is assumed to take, for the bar that shows the whole of it."""

from saint_cli.jobs.job import LoadedJob
from saint_cli.options.method import NoiseHandling
from saint_cli.progress import ProgressStage

FETCHING, READING, LOADING, SLICES, LABELS, PICTURES, WRITING, UPLOADING = (
    "fetching",
    "reading",
    "loading networks",
    "joining slices",
    "labels",
    "pictures",
    "writing",
    "uploading",
)

READ_S, LOAD_S, UPLOAD_S = 1.0, 4.0, 5.0
"""Seconds that reading, torch and networks, and an upload are assumed to take."""

PICTURES_S = 0.5
"""Seconds of a page's pictures, and as much for each hundred million voxels."""

JOIN_S, NOISE_S, LABELS_S, WRITE_S = 4e-8, 3e-7, 5e-7, 1.5e-7
"""Seconds per output voxel: linear part and residual, ``--noise``, ``--labels``, and compressing and writing."""


def list_first_stages(*, fetches: bool = False) -> tuple[ProgressStage, ...]:
    """The stages of any job until its networks are loaded."""
    stages = (ProgressStage(READING, READ_S), ProgressStage(LOADING, LOAD_S))
    return (ProgressStage(FETCHING, READ_S), *stages) if fetches else stages


def list_remaining_stages(loaded: LoadedJob) -> tuple[ProgressStage, ...]:
    """The other stages of a job, once its scan and its networks are loaded."""
    from saint_cli.evaluation import workload

    job, volume, grid, options = loaded.job, loaded.volume, loaded.grid, loaded.job.settings.method_options
    networks = workload.estimate_network_stages(loaded.model, volume.shape, grid, loaded.compute, options)
    voxels = volume.voxels.size // grid.acquired * grid.count
    stages = [*networks, ProgressStage(SLICES, voxels * (JOIN_S + NOISE_S * (options.noise is not NoiseHandling.KEEP)))]
    if loaded.labels is not None:
        stages.append(ProgressStage(LABELS, voxels * LABELS_S))
    if job.has_self_check:
        stages.append(workload.estimate_self_check(loaded.model, volume.shape, grid, loaded.compute, options))
    if job.has_pictures:
        stages.append(ProgressStage(PICTURES, PICTURES_S * (1 + voxels / 1e8)))
    return (*stages, ProgressStage(WRITING, voxels * WRITE_S * (1 if job.uncertainty is None else 2)))
