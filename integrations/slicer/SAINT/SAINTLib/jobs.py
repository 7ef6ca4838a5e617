"""A job of the module SAINT: from the window to the parameters of ``SAINTUpsample``, and what its end means.

Nothing here imports Slicer.
"""

from dataclasses import dataclass

OLDEST_PYTHON = (3, 11)
"""Of saint."""

ERROR_START, WARNING_START = "saint: ", "saint: warning: "


@dataclass(frozen=True)
class Request:
    """What the window asks for: how many times as many slices, or their distance, mm; 0 and 0: isotropic voxels.

    modality: ``ct``, ``mr`` or ``auto``; a volume of Slicer says nothing of it.
    """

    factor: int = 0
    spacing_mm: float = 0.0
    model: str = "auto"
    modality: str = "auto"
    noise: str = "keep"

    def make_parameters(self) -> "dict[str, int | float | str]":
        """The parameters of ``SAINTUpsample``, without the volumes."""
        words = {"model": self.model, "modality": self.modality, "noise": self.noise}
        return {"factor": self.factor, "spacing": self.spacing_mm, **words}

    def name_result(self, name: str) -> str:
        """The name of the result of a volume of this name."""
        if self.factor:
            return f"{name} x{self.factor}"
        return f"{name} {self.spacing_mm:g} mm" if self.spacing_mm else f"{name} isotropic"


def find_obstacle(python: "tuple[int, int]", package: str) -> "str | None":
    """Why saint cannot be installed in a Python of this version from this package; None where it can be tried."""
    if python < OLDEST_PYTHON:
        needed, found = (".".join(map(str, version)) for version in (OLDEST_PYTHON, python))
        return f"saint needs Python {needed}, and this Slicer has {found}: use a newer one, or saint slicer --launcher"
    if not package.endswith(".whl"):
        return "Choose saint's wheel (.whl) first"
    return None


def describe_failure(stderr: str) -> str:
    """The sentence with which saint failed, of all that it wrote to stderr."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    sentences = [line for line in lines if line.startswith(ERROR_START) and not line.startswith(WARNING_START)]
    return (sentences or lines or ["saint ended without a word"])[-1].removeprefix(ERROR_START)


def list_warnings(stderr: str) -> "list[str]":
    """What saint warned of."""
    lines = map(str.strip, stderr.splitlines())
    return [line.removeprefix(WARNING_START) for line in lines if line.startswith(WARNING_START)]
