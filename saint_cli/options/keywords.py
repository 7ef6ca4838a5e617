"""Keywords of saint in Python."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from saint_cli.progress import ProgressCallback

if TYPE_CHECKING:
    from saint_cli.models.weights import SaintModel

PathLike = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """Keywords of ``upsample`` and ``restore``; each may be left out.

    model: "auto" ("medium", "mr-medium" on MR, "slab-medium" with slab), another name, a weights file, or what
    ``load_model`` returned.
    device: "auto", "cpu", "gpu" (every CUDA GPU, else Apple's), "gpu:1", "cuda", "cuda:0,cuda:1" or "mps".
    precision: "auto" (half if the hardware has it), "fp32" (turns TF32 off in the whole process), "bf16" or "fp16".
    batch_size: slices at once; None for as many as fit.
    threads: of the CPU; None for the free cores.
    max_memory: bytes; larger volumes go to disk in TMPDIR.
    tta: average over four flips: a little better, four times the time.
    directions: 2, or 4 with both diagonals.
    noise: of CT: "keep"; "match" makes synthesised slices as noisy as acquired ones, "smooth" acquired ones as quiet as
    synthesised ones. match_noise: the old name of ``noise="match"``, for one more release.
    regenerate: send acquired slices through the networks too.
    skip_air: interpolate the air around the body linearly; True unless given.
    spacing_mm: distance between slices, instead of a factor. isotropic: slice spacing = pixel spacing, the default.
    in_plane_mm: resample slices to this distance between pixels too.
    untilt: resample tilted slices to a rectangular grid.
    irregular: of a path of DICOM slices that are missing or uneven, interpolate each gap by its own distance.
    slab: take slices for slabs, which thick slices of scanners are, and make thin slices of them; True, or how thick
    they are in mm, where the header is wrong.
    slab_profile: of slabs, "box" or "gaussian" (thickness = full width at half maximum).
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
    in_plane_mm: float | None
    untilt: bool
    slab: bool | float
    slab_profile: str
    irregular: bool
    voxel_spacing_mm: Sequence[float] | None
    modality: str | None
    allow_labels: bool
    on_progress: ProgressCallback
