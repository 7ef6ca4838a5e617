"""The way into saint for Python: an image in, an image of the same kind out, and errors in the words of Python."""

import inspect
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from saint_cli import images, io
from saint_cli.choices import Choices
from saint_cli.errors import SaintError, UsageError
from saint_cli.jobs import Engine, Grid
from saint_cli.volume import Volume

Image = TypeVar("Image")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

OPTION = re.compile(r"(?<![\w/-])--([a-z]+(?:-[a-z]+)*)(?: (-?\d+(?:\.\d+)?\b(?! ?[GMT]B)|x\|y\|z|cpu\b|fp16\b))?")
"""An option in a message of the command line, and its value where one follows."""

ARGUMENTS = {"spacing": "spacing_mm"}
"""What Python calls an option otherwise than by its name."""

ENGINE = ("model", "device", "precision", "batch_size", "threads", "max_memory")
CHOICES = ("directions", "regenerate", "tta", "match_noise")

WHOLE_NUMBERS = ("batch_size", "threads", "max_memory")
"""What may be None or a whole number of an Engine."""


def _with_python_names(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, its errors naming arguments where the command line names options."""

    @wraps(function)
    def call(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            return function(*args, **options)
        except SaintError as error:
            error.args = tuple(OPTION.sub(_argument, one) if isinstance(one, str) else one for one in error.args)
            raise

    return call


def _argument(option: re.Match[str]) -> str:
    """``--overwrite`` as ``overwrite=True``, ``--factor 40`` as ``factor=40``, ``--spacing`` as ``spacing_mm``."""
    name, value = option[1].replace("-", "_"), option[2]
    name = ARGUMENTS.get(name, name)
    if value is None and (name in CHOICES or name in _flags()):
        value = "True"
    if value in ("cpu", "fp16"):
        value = repr(value)
    if value == "x|y|z":
        value = "0, 1 or 2"
    home = "Engine" if name in ENGINE else "Choices" if name in CHOICES else None
    if value is None:
        return f"{home}.{name}" if home else name
    return f"{home}({name}={value})" if home else f"{name}={value}"


def _flags() -> set[str]:
    """The arguments of reading and writing that are true or false."""
    parameters = [
        p for f in (io.read_volume, io.write_volume, upsample) for p in inspect.signature(f).parameters.values()
    ]
    return {one.name for one in parameters if isinstance(one.default, bool)}


@_with_python_names
def upsample(
    volume: Image,
    *,
    factor: int | None = None,
    spacing_mm: float | None = None,
    axis: int | None = None,
    voxel_spacing_mm: Sequence[float] | None = None,
    modality: str | None = None,
    allow_labels: bool = False,
    engine: Engine = Engine(),  # noqa: B008  (frozen)
    choices: Choices = Choices(),  # noqa: B008  (frozen)
) -> Image:
    """Interpolate slices with a trained model; isotropic where neither factor nor spacing is given.

    volume: a Volume, a numpy array [x, y, z], a nibabel image or a SimpleITK image, 3-D; the result is of the same
    kind, and the input is not modified. Voxels keep their integer dtype; floats, and the scaled integers of a nibabel
    image, come back as float32 where that holds every one of them exactly, else as float64. Acquired slices come back
    bit-exact. A SimpleITK image is meant as it
    is indexed, ``image[x, y, z]``; numpy arrays made of one are [z, y, x] and need ``array.transpose()``.

    factor: whole, 2...16; or spacing_mm: wanted distance between slices. axis: through-plane voxel axis 0, 1 or 2,
    where it is not the one with the largest spacing. voxel_spacing_mm: (x, y, z) of a numpy array; for an affine of its
    own pass ``Volume(array, affine_lps)``. modality: "CT" or "MR", else what the image says or its values look like.
    allow_labels: interpolate what looks like a label map as if it were an image, which invents labels.
    engine: the model, where and in how much memory it runs; choices: of the method, such as ``Choices(tta=True)``.

    What is odd about an image that is no Volume is told as a ``UserWarning``; a Volume tells it in its header.

    Raises:
        UsageError, GeometryError, WeightsError: as ``saint upsample`` reports them; UsageError also for arguments of
            another type, and for what is no image.
        LabelMapError: a label map.
    """
    from saint_cli import footprint, pipeline

    scan = images.to_volume(volume, voxel_spacing_mm=voxel_spacing_mm, modality=modality)
    _check(engine, choices)
    if not allow_labels:
        io.check_intensities(scan)
    grid = Grid(_whole("factor", factor), _number("spacing_mm", spacing_mm), _axis(axis)).on(scan)
    images.check_result(volume, scan, grid)
    model, machine = engine.start()
    machine = footprint.fitted(machine, model, scan, grid, engine.max_memory)
    result = pipeline.upsample(scan, model, grid, machine, choices)
    if not isinstance(volume, Volume):
        for sentence in result.header.warnings:
            warnings.warn(OPTION.sub(_argument, sentence), stacklevel=3)
    made: Image = images.convert_like(volume, result)
    return made


read_volume = _with_python_names(io.read_volume)
write_volume = _with_python_names(io.write_volume)


def _check(engine: Any, choices: Any) -> None:
    """Refuse what is no Engine or Choices, or holds values of another type."""
    if not isinstance(engine, Engine):
        raise UsageError(f"engine={engine!r} must be an Engine, such as Engine(model='fast')")
    if not isinstance(choices, Choices):
        raise UsageError(f"choices={choices!r} must be Choices, such as Choices(tta=True)")
    for name in WHOLE_NUMBERS:
        _whole(name, getattr(engine, name))
    for name in ("device", "precision"):
        if not isinstance(getattr(engine, name), str):
            raise UsageError(f"{name}={getattr(engine, name)!r} must be a word, such as 'auto'")
    if not isinstance(engine.model, str | Path):
        raise UsageError(f"model={engine.model!r} must be the name of a model, or the path of a weights file")
    if choices.directions not in (2, 4):
        raise UsageError(f"directions={choices.directions!r} must be 2 or 4")


def _whole(name: str, value: Any) -> int | None:
    """A whole number or None; no truth value, and no fraction."""
    if value is None:
        return None
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    more = "; for any distance between slices give spacing_mm" if name == "factor" else ""
    raise UsageError(f"{name}={value!r} must be a whole number{more}")


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name}={value!r} must be a number")
    return float(value)


def _axis(value: Any) -> int | None:
    axis = _whole("axis", value)
    if axis not in (None, 0, 1, 2):
        raise UsageError(f"axis={value!r} must be 0, 1 or 2, for x, y or z")
    return axis
