"""Networks for slabs: what they get, how they start, how they are saved."""

from pathlib import Path

import pytest
import torch
from nets import tiny

from saint_cli.models.weights import load_model, save_model
from saint_cli.nets.filter_generation import filter_distance_matrix, slab_distance_matrices
from saint_cli.nets.slab_network import make_slab_network

OFFSETS, IN_PLANE, THROUGH = torch.tensor([0.0, 0.25, 0.5]), torch.tensor(0.8), torch.tensor(5.0)


def test_distances_to_slabs_without_thickness_are_those_to_their_middles() -> None:
    middle, nearest = slab_distance_matrices(OFFSETS, IN_PLANE, THROUGH, torch.tensor(0.0)).unbind(1)
    plain = filter_distance_matrix(OFFSETS, IN_PLANE, THROUGH)
    assert torch.equal(middle, plain)
    assert torch.equal(nearest, plain)


def test_distances_within_a_slab_are_in_plane_ones() -> None:
    nearest = slab_distance_matrices(OFFSETS, IN_PLANE, THROUGH, torch.tensor(4.0))[:, 1]
    in_plane = torch.tensor([0.8, 0.0, 0.8])
    torch.testing.assert_close(nearest[:2, :, 1], in_plane.expand(2, 3))  # at most 1.25 mm off, 2 mm is half of it
    assert float(nearest[2, 1, 1]) == pytest.approx(0.5)  # 2.5 mm off
    assert float(nearest[0, 1, 2]) == pytest.approx(3.0)  # the next slab begins 2 mm before its middle


def test_a_network_for_slabs_starts_as_the_one_that_it_is_made_of() -> None:
    plain, slices = tiny.ami(fold=2), torch.rand(2, 3, 12, 5)
    wider = make_slab_network(plain).eval()
    fdm = slab_distance_matrices(OFFSETS, IN_PLANE, THROUGH, torch.tensor(5.0))[None]
    with torch.inference_mode():
        torch.testing.assert_close(wider(slices, fdm), plain(slices, fdm[:, :, 0]))
    with pytest.raises(ValueError, match="already"):
        make_slab_network(wider)


def test_weights_for_slabs_are_known_by_their_tensors(tmp_path: Path) -> None:
    save_model(make_slab_network(tiny.ami()), tiny.rfn(), tmp_path / "slabs.safetensors")
    save_model(tiny.ami(), tiny.rfn(), tmp_path / "plain.safetensors")
    assert load_model(str(tmp_path / "slabs.safetensors")).ami.slabs
    assert not load_model(str(tmp_path / "plain.safetensors")).ami.slabs
