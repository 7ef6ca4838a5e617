"""Text of a DICOM file that says whose or what it is; read for eyes only, never for names, logs or results."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from saint_cli.io.dicom_file import read_header
from saint_cli.io.dicom_values import many

PATIENT_TAGS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyDescription"),
    *("SeriesDescription", "AccessionNumber"),
)
"""What ``saint info --phi`` shows of a patient and a study."""

SERIES_TAGS = ("SeriesDescription", "ProtocolName")
"""What ``saint info`` shows of a series: what its operator called it, which is no patient text."""


def patient_text(path: Path) -> dict[str, str]:
    """Patient and study text of a file, by DICOM keyword, where it holds any; for eyes that asked for it."""
    return _texts(path, PATIENT_TAGS)


def series_text(path: Path) -> dict[str, str]:
    """What a file calls its series, by DICOM keyword, where it says so."""
    return _texts(path, SERIES_TAGS)


def _texts(path: Path, names: Sequence[str]) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data, _ = read_header(path, names)
            return {name: "\\".join(map(str, many(data[name].value))) for name in names if data.get(name)}
        except Exception:  # damage makes pydicom raise whatever its parser stumbles over
            return {}
