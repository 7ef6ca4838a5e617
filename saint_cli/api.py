"""saint for Python: an image in, an image of the same kind out; errors name parameters.

Modules that need torch are imported by the first call.
"""

import operator
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, overload

import numpy as np

from saint_cli import io
from saint_cli.errors import UsageError
from saint_cli.io import images
from saint_cli.options.grid import GridRequest
from saint_cli.options.method import MATCH_NOISE_WARNING, MethodOptions, NoiseHandling
from saint_cli.options.model import ModelConfig
from saint_cli.progress import ProgressCallback, silent
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli.method import pipeline
    from saint_cli.models.weights import SaintModel

PathLike = str | os.PathLike[str]
Image = TypeVar("Image")
Settings = TypeVar("Settings")


class Options(TypedDict, total=False):
    """Keywords of ``upsample`` and ``restore``; each may be left out.

    model: "auto" ("base" on a GPU, "fast" on a CPU), another name, a weights file, or what ``load_model`` returned.
    device: "auto", "cpu", "cuda" (all GPUs), "cuda:0,cuda:1" or "mps".
    precision: "auto" (half if the hardware has it), "fp32", "bf16" or "fp16".
    batch_size: slices at once; None for as many as fit.
    threads: of the CPU; None for the free cores.
    max_memory: bytes; larger volumes go to disk in TMPDIR.
    tta: average over four flips: a little better, four times the time.
    directions: 2, or 4 with both diagonals.
    noise: of CT: "keep"; "match" makes synthesised slices as noisy as acquired ones, "smooth" acquired ones as quiet as
    synthesised ones. match_noise: the old name of ``noise="match"``, for one more release.
    regenerate: send acquired slices through the networks too.
    skip_air: interpolate the air around the body linearly; True unless given.
    spacing_mm: distance between slices, instead of a factor. isotropic: as near as pixels, which is the default.
    axis: the through-plane axis, 0, 1 or 2, if it is not the one with the largest spacing.
    extrapolate: repeat the last slice to get exactly N * factor slices.
    voxel_spacing_mm: (x, y, z) of a numpy array, which has no spacing of its own.
    modality: "CT" or "MR", if the image does not say so.
    allow_labels: interpolate a label map as if it were an image.
    on_progress: called with the name of a stage, the steps done and the steps in all.
    """

    model: "PathLike | SaintModel"
    device: str
    precision: str
    batch_size: int | None
    threads: int | None
    max_memory: int | None
    tta: bool
    directions: int
    noise: str
    match_noise: bool
    regenerate: bool
    skip_air: bool
    spacing_mm: float | None
    isotropic: bool
    axis: int | None
    extrapolate: bool
    voxel_spacing_mm: Sequence[float] | None
    modality: str | None
    allow_labels: bool
    on_progress: ProgressCallback


@dataclass(frozen=True, repr=False)
class Stages(Generic[Image]):
    """The stages of SAINT, each an image of the kind that was passed, made when it is asked for."""

    _source: Image
    _restoration: "pipeline.Restoration"

    def __repr__(self) -> str:
        shape = self._restoration.grid.output_shape(self._restoration.source.shape)
        return f"Stages({' x '.join(map(str, shape))}, model {self._restoration.model.name})"

    @property
    def sagittal(self) -> Image:
        """I_sag: AMI over the sagittal slices."""
        return self._make("sagittal")

    @property
    def coronal(self) -> Image:
        """I_cor: AMI over the coronal slices."""
        return self._make("coronal")

    @property
    def mean(self) -> Image:
        """(I_sag + I_cor) / 2."""
        return self._make("mean")

    @property
    def fused(self) -> Image:
        """I_fuse, the result: what ``upsample`` returns."""
        return self._make("fused")

    @property
    def expected_error(self) -> Image:
        """The absolute error, HU, to expect of each voxel of ``fused``, by the calibration of the weights.

        No self-check of the scan is made, as ``saint upsample --uncertainty`` does, so that the two differ in level.

        Raises:
            UsageError: not CT, a model without calibration, or options that it was not calibrated for.
        """
        if not self._restoration.has_known_error:
            raise UsageError(
                "expected errors are known for CT and models with a calibration, without `tta`, `noise`, "
                "`directions=4` and `extrapolate`"
            )
        error: Image = images.convert_like(self._source, self._restoration.error())
        return error

    def _make(self, stage: str) -> Image:
        from saint_cli.method.pipeline import ResultStage

        image: Image = images.convert_like(self._source, self._restoration.result(ResultStage(stage)))
        return image


@overload
def upsample(source: PathLike, factor: int | None = None, **options: Unpack[Options]) -> Volume: ...
@overload
def upsample(source: Image, factor: int | None = None, **options: Unpack[Options]) -> Image: ...
def upsample(source: Any, factor: int | None = None, **options: Unpack[Options]) -> Any:
    """Synthesise slices between those of an image; isotropic voxels if neither factor nor spacing is given.

    source: a path, a Volume, a numpy array [x, y, z], a nibabel or a SimpleITK image, 3-D. The result is of the same
    kind (of a path, a Volume), and the input is not modified. Acquired slices come back bit for bit, except with
    ``noise="smooth"``. Voxels keep their integer dtype; floats, and the scaled integers of a nibabel image, become
    float32 if that holds them exactly, else float64. An array made of a SimpleITK image is [z, y, x]: pass
    ``array.transpose()``.
    factor: how many times as many slices, 2 to 16.
    options: keywords, listed under ``Options``.

    Problems with an image become a ``UserWarning``; a Volume, also that of a path, has them in ``header.warnings``.

    Raises:
        UsageError: parameters that do not fit, something that is no image, too little memory.
        LabelMapError: a label map.
        GeometryError: no through-plane axis, too few slices, an impossible spacing.
        UnreadableError: a path that cannot be read.
        WeightsError: no such model.
    """
    return Stages(source, _restore(source, {"factor": factor, **options})).fused


@overload
def restore(source: PathLike, factor: int | None = None, **options: Unpack[Options]) -> Stages[Volume]: ...
@overload
def restore(source: Image, factor: int | None = None, **options: Unpack[Options]) -> Stages[Image]: ...
def restore(source: Any, factor: int | None = None, **options: Unpack[Options]) -> Any:
    """Every stage of SAINT: I_sag, I_cor, their mean, the fused result and its expected error.

    Parameters and errors are those of ``upsample``.
    """
    return Stages(source, _restore(source, {"factor": factor, **options}))


def _restore(source: Any, keywords: dict[str, Any]) -> "pipeline.Restoration":
    """What the networks make of an image, with the keywords of ``upsample``."""
    given = {name: CHECKS[name](name, value) if name in CHECKS else value for name, value in keywords.items()}
    loaded = None if isinstance(given.get("model", ""), str) else given.pop("model")
    request, options, config = _take(given, GridRequest), _take(given, MethodOptions), _take(given, ModelConfig)
    allow_labels, on_progress = given.pop("allow_labels", False), given.pop("on_progress", silent)
    image_keywords = {name: given.pop(name, None) for name in ("voxel_spacing_mm", "modality")}
    if given:
        raise TypeError(f"{next(iter(given))} is not a keyword of upsample or restore")
    if options.match_noise:
        warnings.warn(MATCH_NOISE_WARNING, FutureWarning, stacklevel=3)
    volume = images.to_volume(source, **image_keywords)
    if not allow_labels:
        io.check_intensities(volume)
    grid = request.make_grid(volume)
    images.check_convertible(source, volume, grid)
    from saint_cli.method import memory_needs, pipeline

    model, compute = config.start(loaded)
    compute = memory_needs.with_memory_budget(volume, model, grid, compute, config.max_memory)
    if not isinstance(source, Volume | str | os.PathLike):
        for sentence in volume.header.warnings:
            warnings.warn(sentence, stacklevel=3)
    return pipeline.restore(volume, model, grid, compute, options, on_progress)


def _take(given: dict[str, Any], kind: type[Settings]) -> Settings:
    """Move the keywords that are fields of a dataclass into one."""
    names = [field.name for field in fields(kind) if field.name in given]  # type: ignore[arg-type]
    return kind(**{name: given.pop(name) for name in names})


def _check_whole_number(name: str, value: Any) -> int | None:
    """A whole number or None; no truth value, and no fraction."""
    if value is None:
        return None
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    hint = "; for any distance between slices give `spacing_mm`" if name == "factor" else ""
    raise UsageError(f"`{name}={value!r}` must be a whole number{hint}")


def _check_number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"`{name}={value!r}` must be a number")
    return float(value)


def _check_axis(name: str, value: Any) -> int | None:
    axis = _check_whole_number(name, value)
    if axis not in (None, 0, 1, 2):
        raise UsageError(f"`{name}={value!r}` must be 0, 1 or 2, for x, y or z")
    return axis


def _check_word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"`{name}={value!r}` must be a word, such as 'auto'")
    return value


def _check_model(name: str, value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if not hasattr(value, "ami"):
        raise UsageError(f"`{name}={value!r}` must be a name, the path of a weights file, or a loaded model")
    return value


def _check_directions(name: str, value: Any) -> int:
    if value not in (2, 4):
        raise UsageError(f"`{name}={value!r}` must be 2 or 4")
    return int(value)


def _check_noise(name: str, value: Any) -> NoiseHandling:
    if value not in tuple(NoiseHandling):
        raise UsageError(f"`{name}={value!r}` must be one of {', '.join(NoiseHandling)}")
    return NoiseHandling(value)


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool):
        raise UsageError(f"`{name}={value!r}` must be True or False")
    return bool(value)


FLAGS = ("tta", "match_noise", "regenerate", "skip_air", "isotropic", "extrapolate", "allow_labels")

CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("factor", "batch_size", "threads", "max_memory"), _check_whole_number),
    **dict.fromkeys(("device", "precision"), _check_word),
    **dict.fromkeys(FLAGS, _check_flag),
    "model": _check_model,
    "noise": _check_noise,
    "directions": _check_directions,
    "spacing_mm": _check_number,
    "axis": _check_axis,
}
"""What turns away a keyword of another type, by name."""
