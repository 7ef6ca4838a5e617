"""Text of a DICOM file that says whose or what it is; only ever shown, never part of names, logs or results."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from saint_cli.io.dicom.bounded_parse import read_header
from saint_cli.io.dicom.values import list_values

PATIENT_TAGS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyDescription"),
    *("SeriesDescription", "AccessionNumber"),
)
"""What ``saint info --phi`` shows of a patient and a study; only for users who asked for it."""

SERIES_TAGS = ("SeriesDescription", "ProtocolName")
"""What ``saint info`` shows of a series: what its operator called it, which is no patient text."""


def read_texts(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Those of some elements of a file, by DICOM keyword, that hold text; none of a file that cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data, _ = read_header(path, names)
            return {name: "\\".join(map(str, list_values(data[name].value))) for name in names if data.get(name)}
        except Exception:  # damage makes pydicom raise whatever its parser stumbles over
            return {}
