"""What a job says of its result: for the command line and the manifest, and for the page."""

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path

from saint_cli.jobs import labels
from saint_cli.jobs.job import JobResult, LoadedJob, PlannedJob
from saint_cli.options.job import page_options
from saint_cli.options.method import NoiseHandling
from saint_cli.report.job_facts import JobFacts, LabelPair
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap

NO_NETWORKS = "no networks"
"""The model of a result that none made."""


def make_result(loaded: LoadedJob, restored: Volume, seconds: float, refined: LabelPair | None = None) -> JobResult:
    """The result of a job, but for memory, which is known when all is written."""
    result = make_result_without_networks(loaded, restored, seconds)
    if not loaded.grid.needs_networks:
        return result
    job, model, compute = loaded.job, loaded.model, loaded.compute
    result = replace(
        result,
        model=model.name,
        weights_sha256=model.sha256,
        device=",".join(map(str, compute.devices)),
        precision=str(compute.precision).removeprefix("torch."),
        modality=loaded.modality,
        uncertainty=None if job.uncertainty is None else str(job.uncertainty),
        page=None if job.page is None else str(job.page),
        preview=None if job.preview is None else str(job.preview),
        threads=compute.threads,
    )
    return add_labels(result, loaded, loaded.labels, refined)


def add_labels(
    result: JobResult, planned: PlannedJob, label_map: LabelMap | None, refined: LabelPair | None
) -> JobResult:
    """The result with what it says of its labels; ``label_map`` as it was read."""
    result = replace(result, warnings=(*result.warnings, *labels.list_warnings(label_map)))
    if refined is None:
        return result
    return replace(
        result,
        labels=str(planned.job.labels_target),
        label_volumes=refined.volumes,
        labels_reach_end=planned.grid.needs_networks
        and planned.grid.origin == 0
        and labels.reach_end(refined.before, planned.grid.axis),
    )


RESAMPLING_WORDS = ("irregular", "average", "slab", "slab-profile", "untilt", "in-plane")
"""Of ``Derivation.option_names``, those that the grid brings."""


def make_result_without_networks(planned: PlannedJob, restored: Volume, seconds: float) -> JobResult:
    """The result of a job, but for its networks, the files beside it, and memory, known when all is written."""
    job, volume, grid = planned.job, planned.volume, planned.grid
    derivation = restored.header.derivation
    words = () if derivation is None else derivation.option_names
    # what was done, not what was asked for: there may have been no noise to change
    noise = next((one for one in NoiseHandling if f"noise={one}" in words), NoiseHandling.KEEP)
    return JobResult(
        source=str(job.source),
        target=str(job.target),
        shape_before=volume.shape,
        shape_after=restored.shape,
        spacing_before_mm=volume.spacing_mm,
        spacing_after_mm=restored.spacing_mm,
        axis="xyz"[grid.axis],
        acquired_kept=_count_kept(planned, noise),
        noise=noise,
        model=NO_NETWORKS,
        weights_sha256="",
        device="cpu",
        precision="float64",
        seconds=seconds,
        peak_memory_mb=None,
        warnings=restored.header.warnings,
        slab_deviation=None if derivation is None else derivation.slab_deviation,
        resampling=tuple(_format_word(word, planned) for word in words if word.partition("=")[0] in RESAMPLING_WORDS),
    )


def _format_word(word: str, planned: PlannedJob) -> str:
    """A word of ``Derivation.option_names`` with millimetres for distances between slices."""
    if not word.startswith("slab="):
        return word
    return f"slab={planned.grid.slab_thickness_mm(planned.volume.affine_lps):.4g}"


def _count_kept(planned: PlannedJob, noise: NoiseHandling) -> int:
    """How many acquired slices the result holds bit for bit; ``noise``: what was done with it."""
    grid, plane = planned.grid, planned.plane
    options = replace(planned.job.settings.method_options, noise=noise, match_noise=False)
    if not options.keeps_acquired and grid.needs_networks:
        return 0
    return sum(1 for k in grid.kept.nonzero()[0] if plane is None or plane.is_exact(int(k)))


def make_facts(loaded: LoadedJob, result: JobResult, refined: LabelPair | None = None) -> JobFacts:
    """What the page says of the job; of paths the names alone, and no UID."""
    written, settings = loaded.volume.placeholder_on(loaded.grid, loaded.plane), loaded.resolved_settings
    if result.noise is NoiseHandling.KEEP:
        settings = replace(settings, method_options=settings.method_options.with_noise_kept)
    return JobFacts(
        source=", ".join(filter(None, (Path(result.source).absolute().name, loaded.volume.header.volume_name))),
        target=Path(result.target).absolute().name,
        model=result.model,
        weights_sha256=result.weights_sha256,
        device=result.device,
        precision=result.precision,
        seconds=result.seconds,
        acquired_kept=result.acquired_kept,
        shape_after=written.shape,
        spacing_after_mm=written.spacing_mm,
        resamples_planes=loaded.plane is not None,
        options=page_options(settings),
        warnings=result.warnings,
        labels=refined,
        slab_deviation=result.slab_deviation,
    )


def seconds_since(began: float) -> float:
    """Seconds since ``time.perf_counter`` was ``began``, to hundredths."""
    return round(time.perf_counter() - began, 2)


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process so far, where the system says."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; what getrusage says there may be a parent's
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # bytes on macOS, kilobytes elsewhere
