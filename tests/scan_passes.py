"""Several passes over the same positions in one series, and what may distinguish them."""

from collections.abc import Callable, Sequence

import fabricate
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

Edit = Callable[[int, Dataset], None]

FIRST, SECOND = 100, 2000
"""Stored values of the slices of two passes: 100 + index and 2000 + index."""


def scan_pass(
    heights: Sequence[float], value: int, edit: Edit = lambda k, data: None, *, modality: str = "CT"
) -> list[Dataset]:
    """Slices at these heights, mm, of one stored value each, ``value`` + index, which is their InstanceNumber too."""
    series = fabricate.slices(len(heights), modality=modality)
    for k, (data, height) in enumerate(zip(series, heights, strict=True)):
        data.ImagePositionPatient = [-10, 20, float(height)]
        data.SOPInstanceUID, data.InstanceNumber = uid.generate_uid(), value + k
        fabricate.set_pixels(data, np.full((12, 16), value + k, dtype="u2"))
        edit(k, data)
    return series


def put(**values: object) -> Edit:
    def edit(k: int, data: Dataset) -> None:
        for name, value in values.items():
            setattr(data, name, value)

    return edit


def rising(name: str, start: float, step: float = 1.0) -> Edit:
    """A time of day, or a number, that rises from slice to slice."""

    def edit(k: int, data: Dataset) -> None:
        at = start + k * step
        clock = f"{int(at // 3600):02d}{int(at // 60) % 60:02d}{at % 60:09.6f}"
        setattr(data, name, clock if name.endswith("Time") and name != "TriggerTime" else f"{at:g}")

    return edit


def shuffled_numbers(series: list[Dataset], seed: int = 3) -> list[Dataset]:
    for data, number in zip(series, np.random.default_rng(seed).permutation(len(series)), strict=True):
        data.InstanceNumber = int(number) + 1
    return series


def without_numbers(series: list[Dataset]) -> list[Dataset]:
    for data in series:
        del data.InstanceNumber
    return series


SAME = [5.0 * k for k in range(8)]

TOLD_APART = {
    "energies": (put(KVP="80"), put(KVP="140")),
    "kernels": (put(ConvolutionKernel="B30f"), put(ConvolutionKernel="B70f")),
    "filters": (put(FilterType="HEAD"), put(FilterType="BODY")),
    "rescale types": (put(RescaleType="HU"), put(RescaleType="MGML")),
    "units": (put(Units="BQML"), put(Units="GML")),
    "cardiac phases": (put(NominalPercentageOfCardiacPhase=30.0), put(NominalPercentageOfCardiacPhase=70.0)),
    "scan options": (put(ScanOptions="HELICAL"), put(ScanOptions="AXIAL")),
    "fields of view": (put(ReconstructionDiameter="350"), put(ReconstructionDiameter="200")),
    "inversion times": (put(InversionTime="400"), put(InversionTime="900")),
    "flip angles": (put(FlipAngle="5"), put(FlipAngle="20")),
    "b-values": (put(DiffusionBValue=0.0), put(DiffusionBValue=1000.0)),
    "time points": (put(TemporalPositionIdentifier=1), put(TemporalPositionIdentifier=2)),
    "acquisitions": (put(AcquisitionNumber=1), put(AcquisitionNumber=2)),
    "an attribute that one lacks": (put(), put(ContrastBolusAgent="SECRET")),
    "acquisition times": (rising("AcquisitionTime", 43200), rising("AcquisitionTime", 43260)),
    "content times that do not pause": (rising("ContentTime", 43200), rising("ContentTime", 43208)),
    "an acquisition number per rotation": (rising("AcquisitionNumber", 1), rising("AcquisitionNumber", 9)),
}
