"""Attributes that separate the volumes of one series, and their values as comparable values and as times."""

from datetime import datetime
from typing import Any

Key = tuple[str, ...]
"""Keywords of attributes that are compared together."""


def _single_keys(*names: str) -> tuple[Key, ...]:
    return tuple((name,) for name in names)


UNIT_KEYS = _single_keys("RescaleType", "Units")
"""Units of the values, which some slices of a volume may not name."""

CONTRAST_KEYS = (
    *_single_keys("EchoNumbers", "EchoTime", "DiffusionBValue"),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    *_single_keys("TemporalPositionIdentifier", "TemporalPositionTimeOffset", "NominalPercentageOfCardiacPhase"),
    *_single_keys("NominalPercentageOfRespiratoryPhase", "NominalCardiacTriggerTimePriorToRPeak", "KVP"),
    *_single_keys("MonoenergeticEnergyEquivalent", "ConvolutionKernel", "FilterType", "InversionTime", "FlipAngle"),
    *_single_keys("SequenceName", "ContrastBolusAgent", "ReconstructionDiameter", "ScanOptions"),
    *(*UNIT_KEYS, ("PhotometricInterpretation",)),
)
"""Attributes that are the same in all slices of a volume, so that another value is another volume; the surest first."""

ACQUISITION_KEYS = _single_keys(
    *("StackID", "RepetitionTime", "TriggerTime", "NominalCardiacTriggerDelayTime", "AcquisitionNumber"),
    "SliceThickness",
)
"""Attributes that separate volumes where they cut a series into whole ones, but may differ within a volume too."""

TIME_KEYS = _single_keys(
    *("AcquisitionDateTime", "AcquisitionTime", "FrameReferenceTime", "ContentTime", "InstanceCreationTime")
)
"""Times, which differ from slice to slice by nature: they count where all slices of one volume come before the next."""

RANK_KEYS = _single_keys("TriggerTime", "NominalCardiacTriggerDelayTime")
"""Times that start anew at every position, as those after an R wave do."""

ORDER_KEYS = (("AcquisitionNumber",), *TIME_KEYS)
"""Numbers and times that rise from slice to slice, or from volume to volume."""

DATED_KEY, FRAME_TIME_KEY = TIME_KEYS[0], TIME_KEYS[2]
"""The key of times with dates, and that of milliseconds since the series began; other times are of day."""

VOLUME_KEYS = (*CONTRAST_KEYS, *ACQUISITION_KEYS, *TIME_KEYS)
"""Attributes that may separate the volumes of one series."""

VOLUME_KEYWORDS = sorted({name for key in VOLUME_KEYS for name in key})

HIDDEN_KEYS = (("ContrastBolusAgent",), *TIME_KEYS)
"""Keys whose values are not for showing: free text, and the time of day."""

FRAME_GROUPS = {
    "CardiacSynchronizationSequence": (
        *("NominalCardiacTriggerDelayTime", "NominalPercentageOfCardiacPhase", "NominalCardiacTriggerTimePriorToRPeak"),
    ),
    "RespiratorySynchronizationSequence": ("NominalPercentageOfRespiratoryPhase",),
    "CTXRayDetailsSequence": ("KVP", "FilterType"),
    "CTReconstructionSequence": ("ConvolutionKernel", "ReconstructionDiameter"),
    "CTAdditionalXRaySourceSequence": ("MonoenergeticEnergyEquivalent",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRTimingAndRelatedParametersSequence": ("FlipAngle", "RepetitionTime"),
    "PixelMeasuresSequence": ("SliceThickness",),
    "PixelValueTransformationSequence": ("RescaleType",),
    "FrameContentSequence": ("StackID",),
    "TemporalPositionSequence": ("TemporalPositionTimeOffset",),
}
FRAME_ELEMENTS = {name: (group, name) for group, names in FRAME_GROUPS.items() for name in names} | {
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "InversionTime": ("MRModifierSequence", "InversionTimes"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "AcquisitionDateTime": ("FrameContentSequence", "FrameAcquisitionDateTime"),
}
"""The functional group and element in which a frame keeps what a single-frame image keeps under these keywords."""

DAY_S = 86400.0


def comparable_value(value: Any) -> Any:
    """A value of :data:`VOLUME_KEYS` such that 80 and 80.0 are equal; None where absent or empty."""
    if isinstance(value, tuple):
        values = tuple(comparable_value(v) for v in value)
        return None if all(v is None for v in values) else values
    if value in (None, ""):
        return None
    try:
        return round(float(value), 4)
    except ValueError:
        return value.strip()


def is_time_of_day(key: Key) -> bool:
    """Whether the values of a key are times of day, which start anew at midnight."""
    return key in TIME_KEYS and key not in (DATED_KEY, FRAME_TIME_KEY)


def parse_seconds(key: Key, values: Any) -> float | None:
    """The time or number by which slices are put in order; None where absent or damaged.

    DICOM times (HHMMSS.F) and times with dates (YYYYMMDDHHMMSS.F) are recognised by their keyword (PS3.5 section 6.2).
    """
    value = comparable_value(values)
    value = value[0] if isinstance(value, tuple) else value
    if value is None:
        return None
    is_dated = key == DATED_KEY
    if not is_dated and not is_time_of_day(key):
        return value if isinstance(value, float) else None
    text = str(values[0]).partition("+")[0].partition("-")[0].replace(":", "")
    digits, _, fraction = text.partition(".")
    clock = digits[8:] if is_dated else digits
    days = _parse_day(digits[:8]) if is_dated else 0
    if not clock.isdecimal() or len(clock) not in (4, 6) or days is None:
        return None
    hours, minutes, seconds = int(clock[:2]), int(clock[2:4]), int(clock[4:] or 0)
    return days * DAY_S + hours * 3600.0 + minutes * 60.0 + seconds + float(f"0.{fraction or 0}")


def _parse_day(text: str) -> int | None:
    """The number of a day, YYYYMMDD; None where there is no such day."""
    try:
        return datetime.strptime(text, "%Y%m%d").toordinal()
    except ValueError:
        return None
