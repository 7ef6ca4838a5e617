"""Training runs on slabs: what they start from, and which weights are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import tiny
from training.folders import write_train_and_val
from training.tiny_runs import AMI, RFN, run_stage

from saint_cli.errors import UsageError
from saint_cli.models import weights
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training.loop import Schedule
from saint_cli.training.run import MODEL

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_and_val(tmp_path_factory.mktemp("volumes"), (26, 25, 24))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    return path


@pytest.fixture
def slabs(tmp_path: Path) -> Path:
    path = tmp_path / "slabs.safetensors"
    weights.save_model(make_slab_network(tiny.ami()), tiny.rfn(), path)
    return path


def test_a_run_on_slabs_begins_as_the_network_it_starts_from_and_keeps_its_rfn(
    plain: Path, data: Path, tmp_path: Path
) -> None:
    still = Schedule(1, learning_rate=1e-12, warmup=1, validate_every=1)
    run_stage(replace(AMI, slabs=True, init=str(plain), schedule=still), data, tmp_path / "run")
    before, begun = (weights.load_model(str(path)) for path in (plain, tmp_path / "run" / MODEL))
    assert begun.ami.slabs
    slices = torch.rand(1, 3, 8, 5)
    fdm = torch.rand(1, 2, 1, 3, 3)
    both = torch.cat([fdm, torch.rand(1, 2, 1, 3, 3)], 2)
    torch.testing.assert_close(begun.ami(slices, both), before.ami(slices, fdm[:, :, 0]), atol=1e-5, rtol=1e-4)
    for name, value in before.rfn.state_dict().items():
        assert torch.equal(begun.rfn.state_dict()[name], value)


@pytest.mark.parametrize("role", ["init", "teacher"])
def test_weights_for_slabs_are_refused_where_single_slices_are_learnt(
    role: str, slabs: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"slabs\.safetensors"):
        run_stage(replace(AMI, **{role: str(slabs)}), data, tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run" / MODEL).exists()


def test_a_teacher_of_single_slices_is_refused_where_slabs_are_learnt(plain: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="thin slices of slabs"):
        run_stage(replace(AMI, slabs=True, teacher=str(plain)), data, tmp_path / "run")


def test_the_rfn_stage_refuses_networks_for_slabs(slabs: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MODEL).write_bytes(slabs.read_bytes())
    with pytest.raises(UsageError, match="holds weights for slabs"):
        run_stage(RFN, data, tmp_path / "run")
