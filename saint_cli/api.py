"""saint for Python: an image in, an image of the same kind out; errors name parameters.

Modules that need torch are imported by the first call.
"""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, overload

from saint_cli import geometry, io
from saint_cli.errors import UsageError
from saint_cli.geometry import PlaneGrid, SliceGrid
from saint_cli.io import images
from saint_cli.io.read_options import parse_modality
from saint_cli.method.intensity import find_modality
from saint_cli.method.modality_warnings import add_modality_warning
from saint_cli.method.resampling_warnings import add_resampling_warnings
from saint_cli.models import shipped
from saint_cli.options.grid import GridRequest
from saint_cli.options.keyword_checks import CHECKS, check_flag, check_whole_number
from saint_cli.options.keywords import Options, PathLike
from saint_cli.options.method import MATCH_NOISE_WARNING, MethodOptions
from saint_cli.options.model import ModelConfig
from saint_cli.options.values import ALL_VOLUMES, parse_volume
from saint_cli.progress import ProgressCallback, silent
from saint_cli.runtime import memory
from saint_cli.volume import Volume

if TYPE_CHECKING:
    from saint_cli.method import pipeline
    from saint_cli.models.weights import SaintModel

Image = TypeVar("Image")
Settings = TypeVar("Settings")


@dataclass(frozen=True, repr=False)
class Stages(Generic[Image]):
    """The stages of SAINT, each an image of the kind that was passed, made when it is asked for."""

    _source: Image
    _restoration: "pipeline.Restoration"
    _plane: PlaneGrid | None = None

    def __repr__(self) -> str:
        shape = self._restoration.grid.output_shape(self._restoration.source.shape)
        return f"Stages({geometry.format_shape(shape)}, model {self._restoration.model.name})"

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
        """Expected absolute error of each voxel of ``fused``, scanner values (HU for CT), by the weights' calibration.

        No self-check of the scan is made, as ``saint upsample --uncertainty`` does, so that the two differ in level.

        Raises:
            UsageError: a model without calibration for such an image, or options that it was not calibrated for.
        """
        if not self._restoration.has_known_error or self._plane is not None:
            raise UsageError(
                "expected errors are known for models with a calibration for such images, without `tta`, `noise`, "
                "`directions=4`, `extrapolate`, `irregular`, `untilt` and `in_plane_mm`"
            )
        error: Image = images.convert_like(self._source, self._restoration.error())
        return error

    def _make(self, stage: str, stacklevel: int = 3) -> Image:
        """A stage; what is found out of it becomes a warning, as in ``_plan``."""
        from saint_cli.method.pipeline import ResultStage

        result = self._restoration.result(ResultStage(stage))
        known = self._restoration.source.header.warnings
        _warn(self._source, (text for text in result.header.warnings if text not in known), stacklevel + 1)
        image: Image = images.convert_like(self._source, _resample(result, self._plane))
        return image


@overload
def upsample(
    source: PathLike, factor: int | None = None, *, volume: Literal["all"], **options: Unpack[Options]
) -> list[Volume]: ...
@overload
def upsample(
    source: PathLike, factor: int | None = None, *, volume: int | None = None, **options: Unpack[Options]
) -> Volume: ...
@overload
def upsample(source: Image, factor: int | None = None, **options: Unpack[Options]) -> Image: ...
def upsample(source: Any, factor: int | None = None, *, volume: Any = None, **options: Unpack[Options]) -> Any:
    """Synthesise slices between those of an image; isotropic voxels if neither factor nor spacing is given.

    source: a path, a Volume, a numpy array [x, y, z], a nibabel or a SimpleITK image, 3-D. The result is of the same
    kind (of a path, a Volume), and the input is not modified. Acquired slices that lie on the new grid, all of them
    with ``factor``, come back bit for bit, but not where ``noise="smooth"`` or ``regenerate`` changes them, ``slab``
    replaces them, ``in_plane_mm`` or ``untilt`` resamples them, or a coarser ``spacing_mm`` averages them. Voxels keep
    their integer dtype; floats, and the scaled integers of a nibabel image, become float32 if that holds them exactly,
    else float64. An array made of a SimpleITK image is [z, y, x]: pass ``array.transpose()``.
    factor: how many times as many slices, 2 to 16.
    volume: of a path to a 4-D scan, which volume, from 1, or "all" for a list of all of them, each a Volume.
    options: keywords, listed under ``Options``.

    Problems with an image, and acquired slices that were resampled, averaged or not met by the grid of an uneven stack,
    become a ``UserWarning``; a Volume, also that of a path, has these sentences in ``header.warnings``.

    Raises:
        UsageError: parameters that do not fit, something that is no image, too little memory.
        LabelMapError: a label map.
        GeometryError: no through-plane axis, too few slices, an impossible spacing.
        UnreadableError: a path that cannot be read, or an image of which no voxel is a finite number.
        WeightsError: no such model.
    """
    keywords: dict[str, Any] = {"factor": factor, **options}
    if volume is None:
        return _run(_plan(source, keywords))
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"`volume={volume!r}` is for paths; pass one volume of the image")
    how = io.ReadOptions(
        irregular=check_flag("irregular", keywords.pop("irregular", False)),
        modality=parse_modality(keywords.get("modality")),
        max_memory=check_whole_number("max_memory", keywords.get("max_memory")),
    )
    if isinstance(volume, str) and volume.lower() == ALL_VOLUMES:
        volumes = io.list_volumes(os.fspath(source), how).read()
        return [_run(_plan(one, dict(keywords))) for one in volumes]
    number = parse_volume(check_whole_number("volume", volume) or 0)
    return _run(_plan(io.read_volume(os.fspath(source), how, volume=number), keywords))


def _run(planned: "_Plan") -> Any:
    """The result of one image, of its kind; no array of it is the source's."""
    volume, grid, plane = planned.volume, planned.grid, planned.plane
    if grid.needs_networks:
        return _restore(planned)._make("fused", stacklevel=4)
    from saint_cli.method import noise, resampling

    noise.check_grid(grid, planned.options.noise)
    memory.check_voxels_fit("the result", volume.placeholder_on(grid, plane).voxels.nbytes, planned.config.max_memory)
    result = _resample(resampling.average_slices(volume, grid), plane)
    if result.voxels is volume.voxels:
        result = replace(result, voxels=volume.voxels.copy(order="K"))
    return images.convert_like(planned.source, result)


@overload
def restore(source: PathLike, factor: int | None = None, **options: Unpack[Options]) -> Stages[Volume]: ...
@overload
def restore(source: Image, factor: int | None = None, **options: Unpack[Options]) -> Stages[Image]: ...
def restore(source: Any, factor: int | None = None, **options: Unpack[Options]) -> Any:
    """Every stage of SAINT: I_sag, I_cor, their mean, the fused result and its expected error.

    Parameters and errors are those of ``upsample``; there are no stages of a coarser ``spacing_mm``.
    """
    planned = _plan(source, {"factor": factor, **options})
    if not planned.grid.needs_networks:
        raise UsageError("no slices lie between acquired ones, so there are no stages; use `upsample`")
    return _restore(planned)


@dataclass(frozen=True)
class _Plan:
    """An image with the grid that it is brought to, and how; loaded: the networks that were passed."""

    source: Any
    volume: Volume
    grid: SliceGrid
    plane: PlaneGrid | None
    options: MethodOptions
    config: ModelConfig
    loaded: "SaintModel | None"
    on_progress: ProgressCallback


def _plan(source: Any, keywords: dict[str, Any]) -> _Plan:
    """What the keywords of ``upsample`` make of an image; its warnings point to the caller of the function above."""
    given = {name: CHECKS[name](name, value) if name in CHECKS else value for name, value in keywords.items()}
    loaded = None if isinstance(given.get("model", ""), str) else given.pop("model")
    request, options, config = _take(given, GridRequest), _take(given, MethodOptions), _take(given, ModelConfig)
    allow_labels, on_progress = given.pop("allow_labels", False), given.pop("on_progress", silent)
    image_keywords = {name: given.pop(name, None) for name in ("voxel_spacing_mm", "modality")}
    irregular = given.pop("irregular", False)
    if given:
        name = next(iter(given))
        can_read = name in {field.name for field in fields(io.ReadOptions)}
        hint = f"; pass them the volume of read_volume(path, {name}=...)" if can_read else ""
        raise TypeError(f"{name} is not a keyword of upsample or restore{hint}")
    if options.match_noise:
        warnings.warn(MATCH_NOISE_WARNING, FutureWarning, stacklevel=3)
    volume = images.to_volume(source, irregular=irregular, max_memory=config.max_memory, **image_keywords)
    if not allow_labels:
        io.check_intensities(volume)
    grid = request.make_grid(volume)
    plane = request.make_plane_grid(volume, grid)
    images.check_convertible(source, volume.placeholder_on(grid, plane))
    volume = add_resampling_warnings(volume, grid, plane, is_assumed=request.assumes_thickness(volume))
    if grid.needs_networks:
        slabs = grid.slab is not None
        modality = find_modality(volume)
        name = _name_weights(loaded) if loaded else shipped.resolve_name(config.model, modality, slabs=slabs)
        volume = add_modality_warning(volume, name, slabs=slabs)
    _warn(source, volume.header.warnings, stacklevel=4)
    return _Plan(source, volume, grid, plane, options, config, loaded, on_progress)


def _name_weights(model: "SaintModel") -> str:
    """The name of a shipped model; of other weights, whose file may be called alike, their sha256."""
    entry = shipped.read_manifest().get(model.name)
    return model.name if entry is not None and entry["sha256"] == model.sha256 else model.sha256


def _warn(source: Any, sentences: Iterable[str], stacklevel: int) -> None:
    """Raise warnings of an image whose kind has no ``header.warnings``."""
    if not isinstance(source, Volume | str | os.PathLike):
        for sentence in sentences:
            warnings.warn(sentence, stacklevel=stacklevel)


def _restore(planned: _Plan) -> Stages[Any]:
    """What the networks make of an image."""
    from saint_cli.method import memory_needs, pipeline

    volume, grid = planned.volume, planned.grid
    model, compute = planned.config.start(planned.loaded, find_modality(volume), slabs=grid.slab is not None)
    extra = memory_needs.extra_bytes_per_voxel(volume, grid, planned.plane)
    compute = memory_needs.with_memory_budget(volume, model, grid, compute, planned.config.max_memory, extra)
    restoration = pipeline.restore(volume, model, grid, compute, planned.options, planned.on_progress)
    return Stages(planned.source, restoration, planned.plane)


def _resample(result: Volume, plane: PlaneGrid | None) -> Volume:
    """A result with its slices resampled in their plane, where that is wanted."""
    if plane is None:
        return result
    from saint_cli.method import resampling

    return resampling.resample_planes(result, plane)


def _take(given: dict[str, Any], kind: type[Settings]) -> Settings:
    """Move the keywords that are fields of a dataclass into one."""
    names = [field.name for field in fields(kind) if field.name in given]  # type: ignore[arg-type]
    return kind(**{name: given.pop(name) for name in names})
