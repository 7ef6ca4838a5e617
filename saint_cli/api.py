"""The two-line way into saint for Python: a volume in, a volume out."""

from saint_cli import footprint, pipeline
from saint_cli.choices import Choices
from saint_cli.jobs import Engine, Grid
from saint_cli.volume import Volume


def upsample(
    volume: Volume,
    *,
    factor: int | None = None,
    spacing_mm: float | None = None,
    axis: int | None = None,
    engine: Engine = Engine(),  # noqa: B008  (frozen)
    choices: Choices = Choices(),  # noqa: B008  (frozen)
) -> Volume:
    """Interpolate slices with a trained model; isotropic where neither factor nor spacing is given.

    Voxels [x, y, z] keep their dtype (float64 becomes float32); acquired slices come back bit-exact.

    engine: the model, where and in how much memory it runs; choices: of the method, such as ``Choices(tta=True)``.

    Raises:
        UsageError, GeometryError, WeightsError: as ``saint upsample`` reports them.
    """
    grid = Grid(factor, spacing_mm, axis).on(volume)
    model, machine = engine.start()
    machine = footprint.fitted(machine, model, volume, grid, engine.max_memory)
    return pipeline.upsample(volume, model, grid, machine, choices)
