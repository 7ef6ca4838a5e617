"""Which voxels patches are made of, against loops over dense patches."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, uniform_filter1d
from training.no_waiting import NoWaiting

from saint_cli.method import intensity
from saint_cli.training import augment, dataset
from saint_cli.training.augment import Augmentation
from saint_cli.training.dataset import AmiBatch, AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_places import OFFSET_COUNT, PatchPlaces, PatchShape, Variation
from saint_cli.training.patch_source import AIR_UNITS, ALONE_WEIGHT, FACTORS, SIDEWAYS_WEIGHT, PatchSource
from saint_cli.training.slice_profile import BOX_PROBABILITIES, SliceProfile

SHAPE = PatchShape(7, 3)
SPACING_MM = {"thin": (0.7, 0.8, 1.0), "thick": (0.5, 0.5, 2.0)}


def volume(name: str, shape: tuple[int, int, int] = (38, 36, 130)) -> DenseVolume:
    """Smooth noise, a third of it air."""
    rng = np.random.default_rng(len(name))
    voxels = uniform_filter1d(rng.normal(0, 900, shape), 3, axis=2) + 60
    voxels[: shape[0] // 3] = -1000
    return DenseVolume.from_array(name, voxels.astype(np.int16), SPACING_MM[name], intensity.CT)


def sampler(batch: int, seed: int = 0, groups: int = dataset.MOST_GROUPS) -> AmiSampler:
    return AmiSampler([volume(name) for name in SPACING_MM], batch, SHAPE, (seed, 0), groups=groups)


def read_dense(
    seen: DenseVolume, axes: tuple[int, int, int], place: np.ndarray, zoom: float, length: int, averaged: int
) -> np.ndarray:
    """(3, H, length) network values, each slice averaged with those around it."""
    voxels = intensity.CT.to_network(seen.voxels.numpy().transpose(axes))
    across = place[0] + zoom * seen.neighbour_step * np.arange(-1, 2)
    along, deep = place[1] + zoom * np.arange(SHAPE.height), place[2] + np.arange(length)
    where = np.meshgrid(across, along, deep, indexing="ij")
    dense = map_coordinates(voxels, where, order=1, mode="nearest")
    return uniform_filter1d(dense, averaged, axis=2, mode="nearest")


def cut(dense: np.ndarray, factor: int, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sparse slices (3, H, W), and the truth (T, H, W - 1) at steps from each, of (3, H, (W - 1) * factor + 1)."""
    truth = np.stack([dense[1, :, s:-1:factor] for s in steps])
    return dense[..., ::factor], truth


def change(dense: np.ndarray, kernel: float, contrast: float) -> np.ndarray:
    padded = np.pad(dense, ((0, 0), (1, 1), (0, 0)), mode="edge")
    dense = (1 - 2 * kernel) * dense + kernel * (padded[:, :-2] + padded[:, 2:])
    return np.clip(1 + contrast * (dense - 1), 0, augment.CT_UNITS)


@pytest.mark.parametrize("groups", [3, 16])
def test_patches_are_those_of_loops_over_their_dense_slices(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "NOISE_RANGE", (0.0, 0.0))
    drawn, seen_flips, seen_averaged, seen_aside = sampler(9, groups=groups), set(), set(), set()
    for step in range(12):
        batch = drawn.draw_batch(step)
        rng = np.random.default_rng((0, step, 0))
        places = PatchPlaces.draw(drawn.source, SHAPE, drawn.sizes, rng, Variation.CT)
        i = 0
        for group in places.groups:
            for zoom, place in zip(group.zoom, group.place.T, strict=True):
                length = (SHAPE.acquired - 1) * group.factor * group.step + 1
                dense = read_dense(group.volume, group.axes, place, zoom, length, len(group.profile.offsets))[
                    ..., :: group.step
                ]
                dense = dense[tuple(slice(None, None, flip) for flip in places.flips[i])]
                dense = change(dense, places.augmentation.kernel[i], places.augmentation.contrast[i])
                slices, truth = cut(dense, group.factor, places.steps[i])
                np.testing.assert_allclose(batch.slices[i], slices, atol=2e-5)
                np.testing.assert_allclose(batch.truth[i], truth, atol=2e-5)
                seen_flips.add(tuple(places.flips[i]))
                seen_averaged.add(len(group.profile.offsets))
                seen_aside.add(group.volume.neighbour_step)
                i += 1
    assert len(seen_flips) == 8
    assert {1, 2} < seen_averaged
    assert len(seen_aside) == 2


def draw_reference(volumes: list[DenseVolume], rng: np.random.Generator) -> dict[str, float]:
    """Facts of one random patch, drawn and varied in plain loops."""
    views = [(v, 1.0) for v in volumes]
    turned = [t for v in volumes for t in v.view_sideways(thick=True)]
    views += [(t, SIDEWAYS_WEIGHT if t.neighbour_step == 1 else ALONE_WEIGHT) for t in turned]
    factor = int(rng.choice(FACTORS, p=np.divide(1, FACTORS) / np.divide(1, FACTORS).sum()))
    fitting = [
        (v, [d for d in v.decimations if v.voxels.shape[2] > 2 * factor * d], w * v.voxels.numel() ** 0.5)
        for v, w in views
    ]
    fitting = [row for row in fitting if row[1] and min(row[0].voxels.shape[:2]) >= SHAPE.height]
    odds = np.array([w for _, _, w in fitting])
    while True:
        v, steps, _ = fitting[rng.choice(len(fitting), p=odds / odds.sum())]
        step, profile = int(rng.choice(steps)), int(rng.choice(3, p=BOX_PROBABILITIES))
        zoom = float(np.exp(rng.uniform(*np.log(augment.ZOOM_RANGE)))) if rng.random() < 0.5 else 1.0
        axes = (0, 1, 2) if v.neighbour_step < 1 or rng.random() < 0.5 else (1, 0, 2)
        across, along, deep = (v.voxels.shape[a] for a in axes)
        reach, span, length = int(np.ceil(zoom * v.neighbour_step)), int(np.ceil(6 * zoom)), 2 * factor * step + 1
        rooms = ((reach, across - reach), (0, along - span), (0, deep - length + 1))
        place = np.array([rng.integers(*room) for room in rooms])
        averaged = max(1, profile * step)
        dense = read_dense(v, axes, place, zoom, length, averaged)[..., ::step]
        if dense[1].mean() > AIR_UNITS:
            break
    kernel = rng.uniform(*augment.KERNEL_RANGE) if rng.random() < 0.5 else 0.0
    contrast = augment.LARGEST_CONTRAST ** rng.uniform(-1, 1) if rng.random() < 0.5 else 1.0
    dense = change(dense, kernel, contrast)
    if rng.random() < 0.25:
        white = rng.normal(size=dense.shape)
        noise = rng.uniform(*augment.NOISE_RANGE) * (white + np.roll(white, 1, 1)) / 2**0.5
        dense = np.clip(dense + noise, 0, augment.CT_UNITS)
    steps = np.arange(1, factor)
    if len(steps) != OFFSET_COUNT:
        steps = rng.choice(steps, OFFSET_COUNT, replace=len(steps) < OFFSET_COUNT)
    slices, truth = cut(dense, factor, steps)
    t = (steps / factor)[:, None, None]
    linear = (1 - t) * slices[1, :, :-1] + t * slices[1, :, 1:]
    difficulty = contrast * float(
        PatchSource([v], 3, 3).measure_difficulty(v, step * factor, SliceProfile.box(averaged))
    )
    millimetres = v.spacing_mm[axes[1]] * zoom, v.spacing_mm[2] * step * factor
    return list_facts(slices, truth, linear, difficulty, *millimetres)


def list_facts(
    slices: np.ndarray, truth: np.ndarray, linear: np.ndarray, difficulty: float, in_plane: float, through: float
) -> dict[str, float]:
    """What is compared of one patch."""
    return {
        "mean of the truth": float(truth.mean()),
        "spread of the truth": float(truth.std()),
        "mean of linear": float(linear.mean()),
        "spread of linear": float(linear.std()),
        "error of linear": float(np.sqrt(np.square(truth - linear).mean())),
        "step to the neighbours": float(np.abs(np.diff(slices, axis=0)).mean()),
        "step in-plane": float(np.abs(np.diff(slices, axis=1)).mean()),
        "difficulty": difficulty,
        "in-plane mm": in_plane,
        "through-plane mm": through,
    }


@pytest.mark.parametrize("groups", [16, 4])
def test_patches_are_distributed_as_if_drawn_one_by_one_in_plain_loops(groups: int) -> None:
    drawn, facts = sampler(16, groups=groups), []
    for step in range(60):
        batch = AmiBatch(*(part.numpy() for part in drawn.draw_batch(step)))
        parts = (batch.slices, batch.truth, batch.linear, batch.difficulty, batch.in_plane_mm, batch.through_plane_mm)
        facts += [list_facts(*row) for row in zip(*parts, strict=True)]
    rng, volumes = np.random.default_rng(1), [volume(name) for name in SPACING_MM]
    wanted = [draw_reference(volumes, rng) for _ in range(700)]
    alike = 16 / groups  # patches of one group count as one at worst
    for name in wanted[0]:
        ours, theirs = (np.array([row[name] for row in rows]) for rows in (facts, wanted))
        error = np.sqrt(ours.var() * alike / len(ours) + theirs.var() / len(theirs))
        assert abs(ours.mean() - theirs.mean()) < 3.5 * error, name
        if alike == 1:
            assert ours.std() == pytest.approx(theirs.std(), rel=0.2), name


def test_patches_of_a_group_share_all_but_their_place_and_what_is_done_to_them() -> None:
    drawn = sampler(24, groups=4)
    assert drawn.sizes == [6, 6, 6, 6]
    batch = drawn.draw_batch(3)
    assert len(set(batch.through_plane_mm[:6].tolist())) == 1
    assert len({tuple(p.flatten()[:5].tolist()) for p in batch.slices[:6]}) == 6
    assert len(set(batch.in_plane_mm.tolist())) > 6
    assert sampler(6).sizes == [1] * 6
    assert sampler(20).sizes == [2] * 4 + [1] * 12


def test_drawing_asks_for_no_number_that_a_gpu_computes() -> None:
    drawn = sampler(8)
    with NoWaiting():
        first = drawn.draw_batch(0)
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            float(first.truth.mean())


def test_zoom_is_limited_by_the_volume() -> None:
    small = replace(volume("thin", (9, 8, 60)), spacing_mm=(0.7, 0.8, 2.0))
    drawn = AmiSampler([small], 16, SHAPE)
    for step in range(6):
        assert float(drawn.draw_batch(step).in_plane_mm.max()) <= 0.8 * 8 / 6 + 1e-6


def test_without_augmentation_patches_are_voxels_of_the_volume() -> None:
    made = volume("thin")
    values = set(made.to_network(made.voxels).flatten().tolist())
    batch = AmiSampler([made], 8, SHAPE, variation=Variation.NONE).draw_batch(0)
    assert set(batch.slices.flatten().tolist()) | set(batch.truth.flatten().tolist()) <= values
    assert Augmentation.none(2).zoom.tolist() == [1, 1]
