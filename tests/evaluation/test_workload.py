"""What the networks are assumed to take, against what they do."""

import pytest
from nets import tiny
from nets.tiny import CPU

from saint_cli.evaluation import workload
from saint_cli.geometry import grid_by_factor
from saint_cli.models.weights import SaintModel
from saint_cli.options.method import MethodOptions

SHAPE = (20, 18, 5)


def seconds(model: SaintModel, factor: int, options: MethodOptions = MethodOptions()) -> dict[str, float]:  # noqa: B008
    """Assumed seconds by stage."""
    stages = workload.estimate_network_stages(model, SHAPE, grid_by_factor(5, 2, factor), CPU, options)
    return {stage.name: stage.seconds for stage in stages}


def test_more_slices_take_rfn_longer_and_ami_hardly() -> None:
    few, many = seconds(tiny.model(), 2), seconds(tiny.model(), 8)
    assert many["fusion"] == pytest.approx(7 * few["fusion"])
    assert few["sagittal slices"] < many["sagittal slices"] < 3 * few["sagittal slices"]


def test_four_directions_and_flips_are_more_passes_of_ami_alone() -> None:
    plain, thorough = seconds(tiny.model(), 4), seconds(tiny.model(), 4, MethodOptions(directions=4, tta=True))
    assert list(thorough) == ["sagittal slices", "coronal slices", "rising diagonals", "falling diagonals", "fusion"]
    assert thorough["sagittal slices"] == pytest.approx(4 * plain["sagittal slices"])
    assert thorough["fusion"] == plain["fusion"]


def test_the_self_check_of_a_small_scan_takes_a_good_part_of_its_work_and_of_a_large_one_at_most_a_tenth() -> None:
    shares = []
    for shape in ((60, 50, 12), (512, 512, 100)):
        of = tiny.model(), shape, grid_by_factor(shape[2], 2, 4), CPU, MethodOptions()
        whole = sum(stage.seconds for stage in workload.estimate_network_stages(*of))
        shares.append(workload.estimate_self_check(*of).seconds / whole)
    assert 0.2 < shares[0] < 0.7
    assert 0.02 < shares[1] < 0.12


def test_where_no_self_check_can_be_none_is_expected() -> None:
    assert (
        workload.estimate_self_check(tiny.model(), (60, 50, 4), grid_by_factor(4, 2, 4), CPU, MethodOptions()).seconds
        == 0
    )
