"""What ``benchmarks/paper_tables.py`` measures besides scores: costs, growth, seams, generated filters."""

import subprocess
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.paper_runs import write_network, write_scan

from saint_cli.nets.baselines import Patching

MODULES = ("costs", "filters", "growth", "records", "runners", "scoring", "seams", "systems")


@pytest.fixture
def paper() -> SimpleNamespace:
    """The modules ``paper_*`` of benchmarks/, by the rest of their names."""
    return SimpleNamespace(**{name: import_module(f"paper_{name}") for name in MODULES})


@pytest.fixture
def scoring(paper: SimpleNamespace, tmp_path: Path) -> object:
    """One volume, no runs yet."""
    write_scan(tmp_path / "v.nii")
    return paper.scoring.Scoring(tmp_path / "runs", {"v.nii": tmp_path / "v.nii"}, {2: 5, 4: 9, 6: 13})


def find_system(paper: SimpleNamespace, name: str) -> object:
    """A row of the tables."""
    return next(one for one in paper.systems.SYSTEMS if one.name == name)


def test_costs_are_measured_once_and_again_for_other_weights(
    paper: SimpleNamespace, scoring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_here(command: list[str], *, check: bool) -> None:
        monkeypatch.setattr("sys.argv", command[1:])
        paper.costs.main()

    monkeypatch.setattr(subprocess, "run", run_here)
    monkeypatch.setattr(paper.costs, "COUNTED", (20, 18, 4))
    write_network(scoring.runs, "time", "meta-sr")
    write_network(scoring.runs, "steps", "meta-sr", seed=2)  # costs as much
    systems = [find_system(paper, name) for name in ("linear", "meta-sr")]
    assert len(list(paper.costs.measure_costs(scoring, systems, "v.nii"))) == 6
    assert list(paper.costs.measure_costs(scoring, systems, "v.nii")) == []
    write_network(scoring.runs, "time", "meta-sr", seed=1)
    assert len(list(paper.costs.measure_costs(scoring, systems, "v.nii"))) == 3
    costs = paper.records.read_lines(paper.records.Cost, paper.costs.find_costs(scoring.runs, systems[1]))
    runner = paper.runners.make_runner(scoring.runs, systems[1], paper.costs.REGIME, 4)
    assert {cost.parameters for cost in costs} == {runner.parameters}
    assert costs[0].multiply_adds == costs[3].multiply_adds > 0


def test_multiply_adds_of_2d_rdn_are_those_of_its_convolutions(
    paper: SimpleNamespace, scoring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper.costs, "COUNTED", (20, 18, 5))
    write_network(scoring.runs, "time", "rdn-x4")
    runner = paper.runners.make_runner(scoring.runs, find_system(paper, "rdn"), paper.systems.Regime.TIME, 4)
    network = runner.restore.args[0].network
    head = network.heads["4"]
    trunk, output = network.features.multiply_adds + head.spread.weight.numel(), head.output.weight.numel()
    acquired = paper.costs.COUNTED[2]
    expected = (trunk * acquired + output * 4 * acquired) / (4 * (acquired - 1) + 1)
    assert paper.costs.count_multiply_adds(runner.restore, 4) == pytest.approx(expected, rel=1e-3)


def test_lines_of_growth_go_through_points_on_a_line(paper: SimpleNamespace) -> None:
    points = [paper.growth.Point("rdn-3d", side, 30, 4, 1 + side**2 / 10, 20 + 3 * side**2) for side in (10, 20, 30)]
    line = paper.growth.Line.fit(points)
    assert line.predict_mb(40**2 * 30) == pytest.approx(20 + 3 * 40**2)
    assert line.find_voxels(20 + 3 * 50**2) == pytest.approx(50**2 * 30)
    side = ((24000 - 20) / 3) ** 0.5
    assert f"| {side:,.0f} |" in paper.growth.format_growth(points)


def test_points_of_growth_are_measured_once(
    paper: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = list[int]()

    def measure(way: str, side: int, slices: int, factor: int) -> object:
        measured.append(side)
        return paper.growth.Point(way, side, slices, factor, 1.0, float(side))

    monkeypatch.setattr(paper.growth, "measure_point", measure)
    kept = tmp_path / "growth.json"
    before = paper.growth.measure_all([8, 16], 9, 4, kept)
    assert len(measured) == 2 * len(paper.growth.WAYS)
    assert paper.growth.measure_all([8, 16], 9, 4, kept) == before == paper.growth.read_points(kept)
    assert len(measured) == 2 * len(paper.growth.WAYS)
    figure = tmp_path / "growth.png"
    paper.growth.draw_growth(before, figure)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_slices_and_patches_of_growth_give_what_the_whole_volume_gives(paper: SimpleNamespace) -> None:
    volume = torch.rand(70, 5, 4)

    def run_block(block: torch.Tensor, factor: int) -> torch.Tensor:
        return block.expand(-1, factor - 1, -1, -1, -1) + torch.arange(factor - 1).view(-1, 1, 1, 1)

    def run_planes(planes: torch.Tensor) -> torch.Tensor:
        return planes[:, 1:2].expand(-1, 2, -1, -1) + torch.arange(2).view(-1, 1, 1)

    whole = run_block(volume[None, None], 3)[0].movedim(0, 1)
    np.testing.assert_array_equal(paper.growth.run_patches(volume, 3, run_block), whole)
    np.testing.assert_array_equal(paper.growth.run_slices(volume, 3, run_planes), whole)


def test_voxels_near_a_seam_lie_within_three_of_it(paper: SimpleNamespace) -> None:
    near = paper.seams.find_near_seams((40, 12, 4), Patching(16, 64, 0))
    seams = [16, 32]  # between 15 and 16, and between 31 and 32
    expected = [any(seam - 3 <= x < seam + 3 for seam in seams) for x in range(40)]
    np.testing.assert_array_equal(near, np.broadcast_to(np.array(expected)[:, None], (40, 12)))


def test_patches_that_hold_the_whole_volume_cost_nothing_and_small_ones_do(
    paper: SimpleNamespace, scoring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_network(scoring.runs, "time", "rdn-3d-x4")
    patchings = {"large": Patching(64, 64, 3), "small": Patching(12, 64, 0)}
    monkeypatch.setattr(paper.seams, "PATCHINGS", patchings)
    large, small = paper.seams.measure_seams(scoring, paper.systems.Regime.TIME, "v.nii")
    assert large.all_db == large.all_whole_db
    assert np.isnan(large.near_db)  # it has no seam
    assert small.near_db != small.near_whole_db
    assert paper.seams.format_seams([large, small]).count("3D RDN") == 2


def test_seams_are_measured_once_and_again_for_other_weights(
    paper: SimpleNamespace, scoring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = list[str]()

    def compare(_degraded: object, model: object) -> dict[str, list[float]]:
        compared.append(model.sha256)
        return {"small": [1.0, 2.0, 3.0, float(len(compared))]}

    monkeypatch.setattr(paper.seams, "PATCHINGS", {"small": Patching(12, 64, 0)})
    monkeypatch.setattr(paper.seams, "compare_patches", compare)
    found = []
    for seed in (0, 0, 1):
        write_network(scoring.runs, "time", "rdn-3d-x4", seed=seed)
        found += paper.seams.measure_seams(scoring, paper.systems.Regime.TIME, "v.nii")
    assert [loss.all_db for loss in found] == [1, 1, 2]
    assert len(compared) == len(set(compared)) == 2


def test_meta_sr_generates_height_times_width_as_many_filter_weights_as_ami(paper: SimpleNamespace) -> None:
    ami, meta = paper.filters.measure_filters(6, 5, 4)
    assert meta.weights == 6 * 5 * ami.weights
    assert ami.weights == 3 * 64 * 9
