"""What ``benchmarks/results.py`` and ``results_slabs.py`` take over of the scores in their files, and compute again."""

from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from saint_cli.evaluation.scores import Score


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "a.nii"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[ModuleType, list[bytes]]]:
    """Loads a benchmark whose evaluation only notes the content of the file, which its PSNR is the length of."""

    def load_one(name: str) -> tuple[ModuleType, list[bytes]]:
        module, scored = import_module(name), list[bytes]()

        def evaluate_all(inputs: SimpleNamespace, models: list[str], *_: object) -> list[SimpleNamespace]:
            scored.append(inputs.files[0].read_bytes())
            factor, psnr_db = float(inputs.factors[0]), float(len(scored[-1]))
            scores = [
                Score("x", factor, 17, 8, model, method, psnr_db, 0.9, 0.0, 1.0, 2.0)
                for method, model in (("cubic", None), *(("fused", name) for name in models))
            ]
            labels = ["truth", *(score.label for score in scores)]
            measures = [SimpleNamespace(method=label, edge_rise_mm=1.0) for label in labels]
            return [SimpleNamespace(scores=scores, measures=measures)]

        monkeypatch.setattr(module, "evaluate_all", evaluate_all)
        monkeypatch.setattr(module.weights, "load_model", lambda model: SimpleNamespace(sha256=f"of {model}"))
        monkeypatch.setattr(module.device_selection, "select_compute", lambda: None)
        monkeypatch.setattr(module.device_selection, "set_threads", lambda count: None)
        return module, scored

    return load_one


def test_a_changed_volume_or_number_of_slices_is_scored_again_and_old_scores_are_not_shown(
    load: Callable[[str], tuple[ModuleType, list[bytes]]], volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, scored = load("results")
    kept = tmp_path / "scores.jsonl"

    def rescore() -> list[float]:
        results.add_scores(volume, "a.nii", (Fraction(2), "fast"), kept)
        rows = results.read_scores(kept, ["fast"], {"a.nii": volume})
        assert [row["method"] for row in rows] == ["cubic", "fused"]
        return [row["psnr_db"] for row in rows]

    assert rescore() == rescore() == [5, 5]
    volume.write_bytes(b"another")
    assert rescore() == [7, 7]
    assert [row["psnr_db"] for row in results.read_scores(kept, ["fast"], {})] == [7, 7]
    volume.write_bytes(b"first")
    assert rescore() == [5, 5]
    assert scored == [b"first", b"another"]
    monkeypatch.setitem(results.SLICES, 2, 9)
    assert results.read_scores(kept, ["fast"], {}) == []
    assert rescore() == [5, 5]
    assert len(scored) == 3


def test_of_slabs_too(
    load: Callable[[str], tuple[ModuleType, list[bytes]]], volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, scored = load("results_slabs")
    kept = tmp_path / "scores.jsonl"
    words = ["results_slabs", volume, "--models", "a,b", "--factors", 3, "--scores", kept, "--only-score"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    for content in (b"first", b"first", b"another", b"first"):
        volume.write_bytes(content)
        results.main()
        (row,) = results.read_rows(kept, ["of a", "of b"], {"a.nii": volume})
        assert row["methods"]["slabs"]["psnr"] == len(content)
    assert scored == [b"first", b"another"]
