"""The two-line way into saint for Python: a volume in, a volume out."""

from saint_cli import pipeline
from saint_cli.jobs import Engine, Grid
from saint_cli.volume import Volume


def upsample(
    volume: Volume,
    *,
    factor: int | None = None,
    spacing_mm: float | None = None,
    axis: int | None = None,
    engine: Engine = Engine(),  # noqa: B008  (frozen)
) -> Volume:
    """Interpolate slices with a trained model; isotropic where neither factor nor spacing is given.

    Voxels [x, y, z] keep their dtype (float64 becomes float32); acquired slices come back bit-exact.

    Raises:
        UsageError, GeometryError, WeightsError: as ``saint upsample`` reports them.
    """
    grid = Grid(factor, spacing_mm, axis).on(volume)
    model, machine = engine.start()
    return pipeline.upsample(volume, model, grid, machine)
