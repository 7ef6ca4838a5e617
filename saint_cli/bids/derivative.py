"""A BIDS derivative data set: its description, and the sidecar of each result, made of what the manifest says.

Every file here is a function of the raw data set and the records, and is written only where it differs: processes that
work on other participants of the data set at the same time write the same.
"""

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from saint_cli.batch.job_records import JobRecord
from saint_cli.batch.state_files import MANIFEST
from saint_cli.bids.dataset import DESCRIPTION_FILE, Metadata, RawDataset, RawImage, read_json
from saint_cli.bids.names import BIDS_VERSION
from saint_cli.errors import OutputError, UsageError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.folder_walk import is_folder
from saint_cli.io.path_identity import is_same_file
from saint_cli.io.whole_files import write_bytes
from saint_cli.options.grid import GridRequest
from saint_cli.options.method import MethodOptions
from saint_cli.options.model import ModelConfig
from saint_cli.runtime.version import __version__

PROGRAM = "saint"
RAW = "raw"
"""The name of the raw data set in BIDS URIs (BIDS, "BIDS URI")."""

README = f"""# Anatomical images with interpolated slices

Made by saint (slice interpolation by SAINT, Peng et al., CVPR 2020) from the data set that `DatasetLinks`
in `{DESCRIPTION_FILE}` names. Every `*_desc-saint_*.nii.gz` is an acquired image with slices synthesised between the
acquired ones; its `.json` names the source, the spacing before and after, the weights and the options. Synthesised
slices are predictions: look at the acquired image before a finding rests on them.

`sub-*/report/index.html` lists the images of a participant with a page of pictures each. `sub-*/{MANIFEST}` records
every run. Both are listed in `.bidsignore`.
"""

IGNORED = f"report\n{Path(MANIFEST).stem}*.jsonl\n"
"""What BIDS does not define: pages and manifests of a batch."""

KEPT_FIELDS = (
    "Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "ReceiveCoilName",
    "ReceiveCoilActiveElements", "PulseSequenceType", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "SequenceName", "PulseSequenceDetails", "NonlinearGradientCorrection", "MRAcquisitionType", "MTState",
    "MTOffsetFrequency", "MTPulseBandwidth", "MTNumberOfPulses", "MTPulseShape", "MTPulseDuration", "NumberShots",
    "SpoilingState", "SpoilingType", "WaterSuppression", "WaterSuppressionTechnique",
    "ParallelReductionFactorInPlane", "ParallelAcquisitionTechnique", "PartialFourier", "PartialFourierDirection",
    "MixingTime", "EchoTime", "InversionTime", "RepetitionTime", "RepetitionTimeExcitation",
    "RepetitionTimePreparation", "FlipAngle", "LookLocker", "NegativeContrast", "ContrastBolusIngredient",
    "BodyPart", "TaskName", "Units",
)  # fmt: skip
"""Fields of raw images that stay true: how the acquired slices were made. Of slices they hold nothing (SliceTiming,
SliceThickness), nor of places and serial numbers."""


LISTED_OPTIONS = {one.name for kind in (GridRequest, ModelConfig, MethodOptions) for one in fields(kind)} - {
    "match_noise",
    "skip_air",
}
"""Options that a sidecar lists: those of grid and method, but for such as are for CT alone."""


def check_output(output: Path, dataset: RawDataset) -> None:
    """Refuse a folder that is not for the results of this data set.

    Raises:
        UsageError: the raw data set itself or one of its participants, or the results of another data set or program,
            or described in another way than by BIDS.
    """
    if is_folder(output) and is_same_file(output, dataset.root):
        raise UsageError(f"{output}: is the raw data set; name another folder, such as {output / 'derivatives/saint'}")
    below = os.path.relpath(output.resolve(), dataset.root.resolve())
    if below.startswith("sub-"):
        raise UsageError(f"{output}: lies in a participant of the raw data set; name another folder")
    existing = _read_existing(output)
    if existing is None:
        return
    programs = [one.get("Name") for one in existing.get("GeneratedBy") or [{}]]
    if PROGRAM not in programs:
        raise UsageError(f"{output}: is a data set that saint did not make; name another folder")
    link = (existing.get("DatasetLinks") or {}).get(RAW)
    if link != _link_to_raw(output, dataset):
        raise UsageError(
            f"{output}: holds results of the data set at {link}, not of {dataset.root}; name another folder"
        )


def write_description(output: Path, dataset: RawDataset) -> None:
    """Write what describes the data set as a whole; what people added to its description stays.

    Source: BIDS, "Derived dataset and pipeline description".

    Raises:
        OutputError: it cannot be written.
    """
    source, link = dataset.description, _link_to_raw(output, dataset)
    existing = _read_existing(output) or {}
    others = [one for one in existing.get("GeneratedBy") or [] if one.get("Name") != PROGRAM]
    document = {
        "Name": f"{source.get('Name') or 'Data set'}: interpolated slices",
        **{name: source[name] for name in ("License",) if source.get(name)},
        "SourceDatasets": [{"DOI": source["DatasetDOI"]} if source.get("DatasetDOI") else {"URL": link}],
        **existing,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [*others, {"Name": PROGRAM, "Version": __version__}],
        "DatasetLinks": {**(existing.get("DatasetLinks") or {}), RAW: link},
    }
    for name, text in {"README.md": README, ".bidsignore": IGNORED}.items():
        if not (output / name).exists():
            _write(output / name, text)
    _write_json(output / DESCRIPTION_FILE, document)


def write_sidecar(folder: Path, record: JobRecord, image: RawImage) -> None:
    """Write the sidecar of a result whose target lies below ``folder``.

    Source: BIDS, "Common data types and metadata" and "Imaging data types" of derivatives.

    Raises:
        OutputError: it cannot be written.
    """
    _write_json(folder / f"{record.name}.json", make_sidecar(record, image))


def make_sidecar(record: JobRecord, image: RawImage) -> Metadata:
    """What is said of a result: fields of the raw image that stay true, those of BIDS, and ``Saint``."""
    uri = f"bids:{RAW}:{image.path}"
    before, after = (_format_spacing(one) for one in (record.spacing_before_mm, record.spacing_after_mm))
    axis, kept = record.details.get("axis"), record.details.get("acquired_kept")
    acquired = _count_slices(record.shape_before, axis)
    of_all = f"{kept} of {acquired}" if acquired else f"{kept}"
    return {
        **{name: value for name, value in sorted(image.metadata.items()) if name in KEPT_FIELDS},
        "Description": f"{_describe_slices(record, axis)}; acquired slices kept bit for bit: {of_all}",
        "Sources": [uri],
        "SpatialReference": uri,
        "Resolution": f"{after} mm, {'resampled' if record.is_without_networks else 'interpolated'} from {before} mm",
        "SkullStripped": bool(image.metadata.get("SkullStripped", False)),
        "Saint": {
            "Version": record.versions.get("saint"),
            "Model": Path(record.model).name,
            "WeightsSHA256": record.weights_sha256,
            "Options": _list_options(record),
            "SpacingBefore": _round(record.spacing_before_mm),
            "SpacingAfter": _round(record.spacing_after_mm),
            "ShapeBefore": record.shape_before,
            "ShapeAfter": record.shape_after,
            "Axis": axis,
            "AcquiredSlices": acquired,
            "AcquiredSlicesKept": kept,
            "Warnings": list(record.warnings or ()),
        },
    }


def _describe_slices(record: JobRecord, axis: str | None) -> str:
    """How the slices of a result were made."""
    if not record.is_without_networks:
        return f"Slices interpolated along {axis} by SAINT"
    before, after = (_count_slices(shape, axis) or 0 for shape in (record.shape_before, record.shape_after))
    return f"Means of acquired slices along {axis}" if after < before else "Acquired slices resampled in their plane"


def _count_slices(shape: tuple[int, int, int] | None, axis: str | None) -> int | None:
    """The slices along an axis, None where shape or axis are not known."""
    return shape["xyz".index(axis)] if axis and shape else None


def _list_options(record: JobRecord) -> dict[str, Any]:
    """The options that changed the result, also those at their defaults; not what was left open."""
    return {name: value for name, value in record.options.items() if name in LISTED_OPTIONS and value is not None}


def _round(spacing_mm: tuple[float, float, float] | None) -> list[float]:
    """Spacings in mm to a nanometre; those of NIfTI have the digits of float32."""
    return [round(one, 6) for one in spacing_mm or ()]


def _format_spacing(spacing_mm: tuple[float, float, float] | None) -> str:
    return " x ".join(f"{one:.4g}" for one in spacing_mm or ())


def _link_to_raw(output: Path, dataset: RawDataset) -> str:
    return quote(os.path.relpath(dataset.root.resolve(), output.resolve()))


def _read_existing(output: Path) -> Metadata | None:
    """The description in a folder of results, with the types that BIDS gives to what is read of it; None without one.

    Raises:
        UsageError: it has other types.
        UnreadableError: it is no JSON object.
    """
    path = output / DESCRIPTION_FILE
    if not path.exists():
        return None
    document = read_json(path)
    programs, links = document.get("GeneratedBy") or [], document.get("DatasetLinks") or {}
    if not isinstance(programs, list) or not all(isinstance(one, dict) for one in programs):
        raise UsageError(f"{path}: not a description by BIDS, for GeneratedBy is no list of objects; correct it")
    if not isinstance(links, dict):
        raise UsageError(f"{path}: not a description by BIDS, for DatasetLinks is no object; correct it")
    return document


def _write_json(path: Path, document: Metadata) -> None:
    _write(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file whole, unless it holds this text."""
    content = text.encode()
    with convert_os_errors(path, "written", OutputError):
        if not path.is_file() or path.read_bytes() != content:
            write_bytes(content, path)
