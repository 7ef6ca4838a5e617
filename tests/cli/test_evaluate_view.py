"""What the figure of ``saint evaluate`` is made of."""

import numpy as np
import pytest

from saint_cli.cli.evaluate_view import make_comparison, show_scores
from saint_cli.evaluation import interpolators
from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult
from saint_cli.evaluation.metrics import ALL, PAPER, Protocol
from saint_cli.evaluation.scores import DegradedScan, Score
from saint_cli.volume import Header, Volume


@pytest.mark.parametrize("protocol", [PAPER, ALL])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_figure_is_in_the_range_that_the_table_is_in(modality: str, protocol: Protocol) -> None:
    voxels = np.random.default_rng(0).uniform(0, 0.7, (12, 10, 5)).astype(np.float32)
    degraded = DegradedScan.from_dense(Volume(voxels, np.eye(4), Header(modality)), 2, 2)
    pictures = {"cubic": interpolators.interpolate_cubic(degraded.acquired, degraded.grid)}
    result = EvaluationResult("a scan", 2, [], {}, degraded, pictures)
    found = make_comparison(result, EvaluationOptions(protocol=protocol)).protocol
    assert found == degraded.adapt(protocol)
    assert (found == protocol) == (modality == "CT")


@pytest.mark.parametrize(
    ("protocol", "blank", "said"),
    [
        (PAPER, 0, "6 of 9 slices scored"),
        (PAPER, 1, "6 of 9 slices scored, 1 blank one left out"),
        (ALL, 2, "6 of 9 slices scored, 2 blank ones left out of SSIM, bias and noise"),
    ],
)
def test_titles_say_how_many_blank_slices_are_left_out(
    protocol: Protocol, blank: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    score = Score("a.nii", 2, 9, 6, None, "linear", 30.0, 0.9, 0.1, 0.5, 1.0, blank=blank)
    result = EvaluationResult("a.nii", 2, [score], {}, None, {})
    show_scores([result], EvaluationOptions(protocol=protocol), calibration=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed
    assert ("left out" in printed) == (blank > 0)
