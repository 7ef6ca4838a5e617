"""From a BIDS data set to its derivative: a part of a batch for each participant, with a manifest of its own.

So processes may work on different participants of one data set at the same time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from saint_cli.batch import find, workflow
from saint_cli.batch.inputs import Root
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.manifest import ManifestState, merge_states, read_state
from saint_cli.batch.output_names import ADDED_BYTES, MAX_PART_BYTES
from saint_cli.batch.plan import Plan, merge_plans
from saint_cli.batch.search import Scan
from saint_cli.batch.summary import Summary
from saint_cli.batch.workflow import BatchPart, BatchProgressCallback, BatchRequest
from saint_cli.bids import derivative
from saint_cli.bids.dataset import Participant, RawDataset, RawImage, Selection
from saint_cli.errors import UnreadableError
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.options.grid import GridRequest

if TYPE_CHECKING:
    from saint_cli.batch.execute import BatchProgress

NM_PER_MM = 1_000_000
UNITS_NM = {"mm": NM_PER_MM, "um": 1000, "nm": 1}


@dataclass(frozen=True)
class BidsRun:
    """What is to be done: the data set, and the scans of each participant with their images by target."""

    dataset: RawDataset
    output: Path
    parts: tuple[BatchPart, ...]
    images: dict[str, RawImage]

    def name_source(self, record: JobRecord) -> str:
        """Path of the image that a record is of, below the raw data set; of an unknown one the name of its result."""
        image = self.images.get(record.target)
        return record.name if image is None else image.path

    def make_plan(self) -> tuple[Plan, ManifestState]:
        """What is left to do, and what the manifests say; nothing is written."""
        states = [read_state(part.request.state_dir) for part in self.parts]
        pairs = zip(self.parts, states, strict=True)
        plans = [workflow.make_plan(part.request, part.findings, state) for part, state in pairs]
        return merge_plans(plans), merge_states(states)

    def run(self, on_progress: BatchProgressCallback, on_message: MessageCallback) -> Summary:
        """Run what is left to do; every result has its sidecar as soon as it is done, or the next run writes it.

        Raises:
            OutputError: another process works on one of the participants, or the folder cannot be written.
            ClusterError: no cluster, or it disappeared.
        """
        if self.images:
            derivative.write_description(self.output, self.dataset)

        def on_record(progress: "BatchProgress", record: JobRecord | None) -> None:
            self._write_sidecars([] if record is None else [record])
            on_progress(progress, record)

        summary = workflow.run_parts(self.parts, on_record, on_message)
        self._write_sidecars(summary.records)
        return replace(summary, plan=replace(summary.plan, state_dir=self.output))

    def _write_sidecars(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            if record.status is JobStatus.DONE:
                image = self.images[record.target]
                derivative.write_sidecar(self.output / f"sub-{image.name.entities['sub']}", record, image)


def discover(request: BatchRequest, bids_dir: Path, chosen: Selection, on_progress: Callable[[int], None]) -> BidsRun:
    """Find the images that are asked for; results go to ``request.state_dir``, with a manifest for each participant.

    Raises:
        UnreadableError: no BIDS data set, or one without participants.
        UsageError: labels that are not there; a folder of results that belongs to something else.
    """
    dataset, output = RawDataset.open(bids_dir), request.state_dir
    participants = dataset.find_participants(chosen)
    derivative.check_output(output, dataset)
    resolution = name_resolution(request.rules.make_settings({}).grid)
    parts, images, count = list[BatchPart](), dict[str, RawImage](), 0
    for one in participants:
        rules = replace(request.rules, state_dir=output / f"sub-{one.label}")
        part = _find_scans(replace(request, rules=rules), one, resolution, lambda n: on_progress(count + n))  # noqa: B023
        images |= {f"{image.name.derive_path(resolution)}.nii.gz": image for image in one.images}
        count += len(part.findings.scans)
        parts.append(part)
    return BidsRun(dataset, output, tuple(parts), images)


def name_resolution(grid: GridRequest) -> str:
    """The label of ``res-``, another one for every grid: ``iso``, ``x4``, ``2mm``, ``750um``, ``isoIn1mmAxisZ``, ..."""
    if grid.factor is not None:
        label = f"x{grid.factor}"
    else:
        label = "iso" if grid.spacing_mm is None else _name_distance(grid.spacing_mm)
    label += "" if grid.in_plane_mm is None else f"In{_name_distance(grid.in_plane_mm)}"
    label += "" if grid.axis is None else f"Axis{'XYZ'[grid.axis]}"
    if grid.slab:
        label += "Slab" if grid.slab is True else f"Slab{_name_distance(grid.slab)}"
        label += "Gaussian" if grid.slab_profile == "gaussian" else ""
    return label + ("Extrapolated" if grid.extrapolate else "") + ("Untilted" if grid.untilt else "")


def _name_distance(distance_mm: float) -> str:
    """A distance in letters and digits, in the largest unit that makes it whole: ``2mm``, ``750um``, ``781250nm``."""
    nm = round(distance_mm * NM_PER_MM)
    unit, size = next((unit, size) for unit, size in UNITS_NM.items() if nm % size == 0)
    return f"{nm // size}{unit}"


def _find_scans(
    request: BatchRequest, participant: Participant, resolution: str, on_progress: Callable[[int], None]
) -> BatchPart:
    """The scans of one participant; one that has a problem, or is no NIfTI, with that as its error."""
    names = {image.path: image.name.derive_path(resolution) for image in participant.images}
    problems = {image.path: image.problem or _check_length(names[image.path], image) for image in participant.images}
    roots = [Root(image.file, name=names[image.path]) for image in participant.images if not problems[image.path]]
    findings = find.find_scans(roots, request.rules, on_progress)
    images = {names[image.path]: image for image in participant.images}
    findings.scans = [
        _take_thickness(scan, images.get(scan.path)) if scan.settings.series is None else _refuse_dicom(scan)
        for scan in findings.scans
    ]
    settings = request.rules.make_settings({})
    for image in participant.images:
        if problem := problems[image.path]:
            error = UnreadableError(problem)
            findings.scans.append(Scan(names[image.path], image.path, image.file, settings, (image.file,), error=error))
    paths = {name: path for path, name in names.items()}
    findings.skipped = [*((paths.get(name, name), why) for name, why in findings.skipped), *participant.skipped]
    return BatchPart(request, findings)


def _check_length(name: str, image: RawImage) -> str:
    """Why a result cannot have its name; "" if it can. A batch would shorten it, and BIDS not know it."""
    is_too_long = len(PurePosixPath(name).name) > MAX_PART_BYTES - ADDED_BYTES
    return f"{image.file}: the name of its result is longer than file systems take" if is_too_long else ""


def _take_thickness(scan: Scan, image: RawImage | None) -> Scan:
    """With ``--slab``, slices as thick as the sidecar says, for NIfTI says nothing of that."""
    thickness = None if image is None else image.metadata.get("SliceThickness")
    if scan.settings.grid.slab is not True or isinstance(thickness, bool) or not isinstance(thickness, int | float):
        return scan
    if not 0 < thickness < math.inf:
        return scan
    grid = replace(scan.settings.grid, slab=float(thickness))
    return replace(scan, settings=replace(scan.settings, grid=grid))


def _refuse_dicom(scan: Scan) -> Scan:
    return replace(scan, error=UnreadableError(f"{scan.source_name}: holds DICOM, where BIDS has NIfTI; convert it"))
