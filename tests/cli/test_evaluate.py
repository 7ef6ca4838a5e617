"""``saint evaluate`` on the real example: the shipped models beat the interpolators."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from saint_cli.cli import app

LEAST_GAIN_DB = {2: 0.0, 4: 1.0}
"""These slices overlap (2 mm every 1 mm), so that at x2 cubic is nearly exact."""

DENSE = Path(__file__).parents[2] / "examples" / "chest_dense.nii.gz"


@pytest.mark.parametrize("model", ["fast", "base"])
def test_shipped_models_beat_aligned_cubic_on_a_scan_never_trained_on(model: str, tmp_path: Path) -> None:
    import nibabel as nib

    path = tmp_path / "part.nii.gz"
    nib.save(nib.load(DENSE).slicer[90:186, 70:150, :25], path)
    result = CliRunner().invoke(app, ["evaluate", str(path), "--factor", "2,4", "--model", model, "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert [s["factor"] for s in scores] == [2, 4]
    for score in scores:
        assert score["fused"] > score["cubic"] + LEAST_GAIN_DB[score["factor"]]
        assert score["cubic"] > score["linear"]
        assert score["mean"] > min(score["sagittal"], score["coronal"])


def test_a_factor_beyond_the_slices_is_refused() -> None:
    result = CliRunner().invoke(app, ["evaluate", str(DENSE), "--slices", "5", "--factor", "6", "--model", "fast"])
    assert result.exit_code == 4
    assert "5 slices" in result.output
