"""What the figure of ``saint evaluate`` is made of."""

import numpy as np
import pytest

from saint_cli.cli.evaluate_view import make_comparison
from saint_cli.evaluation import baselines
from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult
from saint_cli.evaluation.metrics import ALL, PAPER, Protocol
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.volume import Header, Volume


@pytest.mark.parametrize("protocol", [PAPER, ALL])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_figure_is_in_the_range_that_the_table_is_in(modality: str, protocol: Protocol) -> None:
    voxels = np.random.default_rng(0).uniform(0, 0.7, (12, 10, 5)).astype(np.float32)
    degraded = DegradedScan.from_dense(Volume(voxels, np.eye(4), Header(modality)), 2, 2)
    pictures = {"cubic": baselines.interpolate_cubic(degraded.acquired, degraded.grid)}
    result = EvaluationResult("a scan", 2, [], {}, degraded, pictures)
    found = make_comparison(result, EvaluationOptions(protocol=protocol)).protocol
    assert found == degraded.adapt(protocol)
    assert (found == protocol) == (modality == "CT")
