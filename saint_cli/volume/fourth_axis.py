"""What a 4-D scan says of its volumes: how they follow each other, and what distinguishes them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FourthAxis:
    """The axis along which the volumes of a 4-D scan follow each other, as a NIfTI header has it.

    step: from one volume to the next, in ``unit`` (pixdim[4]); 0 where it is not known. start: of the first (toffset).
    unit: of NIfTI, bits 3 to 5 of xyzt_units: 8 s, 16 ms, 24 us, 32 Hz, 40 ppm, 48 rad/s, 0 unknown.
    intent_code, intent_parameters, intent_name: what the values mean, as NIfTI has it; 0 and empty if not said.
    """

    step: float = 0.0
    start: float = 0.0
    unit: int = 0
    intent_code: int = 0
    intent_parameters: tuple[float, float, float] = (0.0, 0.0, 0.0)
    intent_name: bytes = b""


def name_volume(number: int, count: int, label: str = "") -> str:
    """One of several volumes, from 1, with what distinguishes it: ``volume 2 of 4 (EchoTime 30)``; "" of one alone."""
    return "" if count == 1 else f"volume {number} of {count}" + (f" ({label})" if label else "")


@dataclass(frozen=True)
class VolumeMark:
    """What distinguishes a volume of a 4-D scan from the others.

    label: such as "EchoTime 30"; "" where nothing does but its place. elements: DICOM keywords and values (as text)
    that every slice of it has, by which readers separate the volumes.
    """

    label: str = ""
    elements: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
