"""What the manifest says of each job, and how a damaged record is recognised."""

import json
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, get_type_hints

from saint_cli.batch.json_values import has_type, parse_object, restore_tuples
from saint_cli.errors import ClusterError, TargetExistsError
from saint_cli.io.text_files import can_be_path

MAX_LINE_BYTES = 1 << 20
"""Bytes of the longest record; those of jobs have a few thousand."""


class JobStatus(StrEnum):
    """How far a job has come; ``SKIPPED``: its scan turned out to be none to upsample."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class JobFailure:
    """Why a job has no result: the class of the error, its message, and the exit code that it leads to."""

    error_class: str
    message: str
    exit_code: int

    @classmethod
    def from_json(cls, document: dict[str, Any] | None) -> "JobFailure":
        """The failure in a record.

        Raises:
            ValueError: it is damaged.
        """
        document = document or {}
        names = {"class": str, "message": str, "exit_code": int}
        if not all(has_type(document.get(name), kind) for name, kind in names.items()):
            raise ValueError("'error' of a wrong type")
        return cls(*(document[name] for name in names))

    def to_json(self) -> dict[str, Any]:
        """As it stands in records and summaries."""
        return {"class": self.error_class, "message": self.message, "exit_code": self.exit_code}


@dataclass(frozen=True)
class JobRecord:
    """One job: what it is made of, and its result. The fields are those that a later run uses.

    target, labels_target: paths of the result and of its labels below the output folder; key: distinguishes the job
    from all others (``job_keys``); source: as the user named it; source_path: its absolute path, None at a URL; shapes
    in voxels x, y, z, and voxels_after, of one volume; volumes: how many, of a 4-D scan; versions: of saint, and once
    the job has run of torch, numpy and Python; details: what else a record says, for people.
    """

    target: str
    key: str
    status: JobStatus
    name: str
    source: str
    model: str
    options: dict[str, Any]
    error: JobFailure | None = None
    labels_target: str | None = None
    source_path: str | None = None
    fingerprint: str | None = None
    weights_sha256: str | None = None
    shape_before: tuple[int, int, int] | None = None
    shape_after: tuple[int, int, int] | None = None
    spacing_before_mm: tuple[float, float, float] | None = None
    spacing_after_mm: tuple[float, float, float] | None = None
    voxels_after: int | None = None
    volumes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    threads: int | None = None
    device: str | None = None
    page: str | None = None
    warnings: tuple[str, ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def has_begun(self) -> bool:
        """Whether the job may have written its files: it has begun, and perhaps failed or lost its worker since.

        Not where it failed because another file has the name of its result.
        """
        if self.status in (JobStatus.BEGUN, JobStatus.DONE):
            return True
        if self.error is not None and self.error.error_class == TargetExistsError.__name__:
            return False
        has_lost_worker = self.error is not None and self.error.exit_code == ClusterError.exit_code
        return self.status is JobStatus.FAILED and (self.seconds is not None or has_lost_worker)

    @property
    def is_without_networks(self) -> bool:
        """Whether it is of a result that no networks made: means of slices, or slices resampled in their plane."""
        return self.status is JobStatus.DONE and self.weights_sha256 == ""

    @property
    def full_source(self) -> str:
        """The absolute path of the source, or its URL; earlier versions recorded no more than what was typed."""
        return self.source_path or self.source

    @property
    def reason(self) -> str:
        """The message of the error; "" where there is none."""
        return "" if self.error is None else self.error.message

    def error_to_json(self) -> dict[str, Any]:
        """The fields of the error; none where there is none."""
        return {} if self.error is None else self.error.to_json()

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "JobRecord":
        """The record in a JSON object.

        Raises:
            ValueError: it is damaged; the text says in which way.
        """
        for name in REQUIRED_FIELDS:
            if name not in document:
                raise ValueError(f"without '{name}'")
        for name, kind in FIELD_TYPES.items():
            if name in document and not has_type(document[name], kind):
                raise ValueError(f"'{name}' of a wrong type")
        values = {name: document[name] for name in FIELD_TYPES if name in document}
        values["status"] = JobStatus(values["status"])
        has_failed = values["status"] in (JobStatus.FAILED, JobStatus.SKIPPED)
        values["error"] = JobFailure.from_json(values.get("error")) if has_failed else None
        for name in ("target", "labels_target"):
            if values.get(name) is not None and not _is_inside(values[name]):
                raise ValueError(f"'{name}' outside the output folder")
        for name in ("source", "source_path"):
            if values.get(name) is not None and not can_be_path(values[name]):
                raise ValueError(f"'{name}' that no file can have")
        if any((values.get(name) or 0) < 0 for name in ("seconds", "threads", "voxels_after", "volumes")):
            raise ValueError("a negative number")
        details = {name: value for name, value in document.items() if name not in FIELD_TYPES}
        return cls(**restore_tuples(values), details=details)

    @classmethod
    def from_line(cls, line: bytes) -> "JobRecord":
        """The record in a line of the manifest, or in a receipt.

        Raises:
            ValueError: it is damaged; the text says in which way.
        """
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
        return cls.from_json(parse_object(line))

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; before a job is done it has no field for what only a result has."""
        values = {name: getattr(self, name) for name in FIELD_TYPES}
        values["error"] = self.error and self.error.to_json()
        is_done = self.status is JobStatus.DONE
        known = {n: value for n, value in values.items() if is_done or value is not None or n in PLANNED_FIELDS}
        return known | self.details

    def to_line(self) -> bytes:
        """The record as a line of the manifest."""
        return json.dumps(self.to_json(), allow_nan=False).encode("ascii") + b"\n"


FIELD_TYPES: dict[str, Any] = {
    **{f.name: get_type_hints(JobRecord)[f.name] for f in fields(JobRecord) if f.name != "details"},
    **{"status": JobStatus, "error": dict[str, Any] | None},
}
"""What each field may be in JSON."""

REQUIRED_FIELDS = ("target", "key", "status", "name", "source", "model", "options")

PLANNED_FIELDS = ("fingerprint", "weights_sha256", "shape_before", "spacing_before_mm", "voxels_after")
"""Known, or known to be unknown, before a job runs."""


def _is_inside(target: str) -> bool:
    path = PurePosixPath(target)
    return can_be_path(target) and bool(path.name) and not path.is_absolute() and ".." not in path.parts
