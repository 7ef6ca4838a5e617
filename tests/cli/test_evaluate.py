"""``saint evaluate`` on the real example: the shipped models beat the interpolators; tables, JSON, refusals."""

import json
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from saint_cli.cli.app import app
from saint_cli.cli.evaluate import INTERPOLATORS, MEASURES, EvaluateOptions
from saint_cli.cli.parsing import list_of
from saint_cli.evaluation import degrade, interpolators, metrics, result_measures
from saint_cli.options.fields import get_options

LEAST_GAIN_DB = {2: 0.0, 4: 1.0}
"""These slices overlap (2 mm every 1 mm), so that at x2 cubic is nearly exact."""

DENSE = Path(__file__).parents[2] / "examples" / "chest_dense.nii.gz"

METHODS = ["linear", "cubic", "bspline", "lanczos", "bicubic-misaligned", "sagittal", "coronal", "mean", "fused"]


def run(*arguments: object) -> Result:
    """Run ``saint evaluate`` in this process."""
    return CliRunner().invoke(app, ["evaluate", *(str(a) for a in arguments)])


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A real dense chest CT, cut to 96 x 80 x 25 voxels."""
    path = tmp_path / "part.nii.gz"
    nib.save(nib.load(DENSE).slicer[90:186, 70:150, :25], path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corner of it, 40 x 36 x 11 voxels, for what does not depend on how good the result is."""
    path = tmp_path / "small.nii.gz"
    nib.save(nib.load(DENSE).slicer[100:140, 100:136, :11], path)
    return path


@pytest.mark.parametrize("model", ["fast", "medium", "base"])
def test_shipped_models_beat_aligned_cubic_on_a_scan_never_trained_on(model: str, part: Path) -> None:
    result = run(part, "--factor", "2,4", "--model", model, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["protocol"]["name"], found["protocol"]["data_range"]) == ("paper", 4000)
    assert "is_ct" not in found["protocol"]  # which depends on the volume
    for factor, least in LEAST_GAIN_DB.items():
        scores = {s["method"]: s for s in found["scores"] if s["factor"] == factor}
        assert list(scores) == METHODS
        psnr = {method: score["psnr_db"] for method, score in scores.items()}
        assert psnr["fused"] > psnr["cubic"] + least
        assert psnr["cubic"] > psnr["linear"] > psnr["bicubic-misaligned"]
        assert psnr["mean"] > min(psnr["sagittal"], psnr["coronal"])
        if factor == 4:
            assert scores["fused"]["ssim"] > scores["cubic"]["ssim"]
        assert scores["fused"]["seconds"] > 0
        assert 0 < scores["linear"]["noise_ratio"] < 1


def test_tables_name_protocol_volume_factor_and_every_method_within_100_columns(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = run(small, "-f", "2,2.5", "-m", "fast", "--protocol", "all", "--degrade", "average", "--calibration")
    assert result.exit_code == 0, result.output
    assert "protocol all: every slice, whole plane" in result.stdout
    assert "averaged" in result.stdout
    for words in ("small.nii.gz x2, 11 of 11", "small.nii.gz x2.5, 6 of 6", "fast fused", "bicubic-misaligned"):
        assert words in result.stdout
    assert "observed" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_several_volumes_get_their_means(small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.nii.gz"
    nib.save(nib.load(DENSE).slicer[60:100, 100:136, :11], other)
    written = tmp_path / "scores.json"
    result = run(small, other, "-f", 2, "-m", "fast", "--against", "linear", "--json-file", written)
    assert result.exit_code == 0, result.output
    found = [s["psnr_db"] for s in json.loads(written.read_text())["scores"] if s["method"] == "linear"]
    table = result.stdout[result.stdout.index("mean of 2 volumes") :]
    assert f"{np.mean(found):.2f}" in next(line for line in table.splitlines() if "linear" in line)


def test_infinity_is_null_in_json_and_calibration_is_always_there(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(-1000, 80, 120, dtype=np.int16), (16, 14, 9))
    path = tmp_path / "ramp.nii"
    nib.save(nib.Nifti1Image(ramp.copy(), np.eye(4)), path)
    result = run(path, "-f", 2, "-m", "fast", "--against", "linear", "--json", "--axis", "z")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["scores"][0]["psnr_db"] is None
    assert found["calibration"][0].keys() >= {"low_hu", "high_hu", "voxels", "observed_hu", "predicted_hu"}


def test_a_figure_shows_truth_and_methods_with_their_differences(small: Path, tmp_path: Path) -> None:
    figure = tmp_path / "maps.png"
    assert run(small, "-f", 2, "-m", "fast", "--against", "cubic", "--figure", figure).exit_code == 0
    with Image.open(figure) as image:
        assert image.width > image.height > 300
        assert len(image.convert("RGB").getcolors(1 << 24)) > 200


def test_every_interpolator_protocol_and_degradation_can_be_named() -> None:
    assert set(INTERPOLATORS) == set(interpolators.INTERPOLATORS)
    assert MEASURES == result_measures.MEASURES
    options = get_options(EvaluateOptions)
    for name, known in (("protocol", metrics.PROTOCOLS), ("degradation", (degrade.DECIMATE, *degrade.SLAB_SHAPES))):
        assert {options[name].convert(word) for word in known} == set(known)


REFUSALS = {
    "factor 1": (["-f", "1"], 2, "factors from 2 to 16"),
    "factor 17": (["-f", "4,17"], 2, "factors from 2 to 16"),
    "factor word": (["-f", "four"], 2, "factors from 2 to 16"),
    "factor by zero": (["-f", "5/0"], 2, "factors from 2 to 16"),
    "too few slices": (["-f", "3.7"], 4, "at least 38 are needed"),
    "beyond the slices": (["-f", "6", "--slices", "5"], 4, "of 5 slices"),
    "unknown interpolator": (["--against", "cubic,nearest"], 2, "--against must be one of"),
    "unknown protocol": (["--protocol", "mine"], 2, "--protocol must be one of paper, all, not mine"),
    "unknown degradation": (["--degrade", "blur"], 2, "--degrade must be one of decimate, average, gaussian, not blur"),
    "empty model": (["-m", "fast,"], 2, "empty name"),
    "unknown model": (["-m", "huge"], 3, "huge"),
    "figure of another kind": (["--figure", "x.jpg"], 2, "does not end in .png"),
    "figure nowhere": (["--figure", "/dev/null/at/all/x.png"], 5, "x.png"),
    "json nowhere": (["--json-file", "/dev/null/at/all/x.json"], 5, "x.json"),
    "two slices": (["--slices", "2"], 2, "at least 3"),
    "errors of slabs": (["--slab", "--degrade", "average", "--calibration"], 2, "leave one out"),
}


def test_an_input_is_never_written_to_by_any_name(small: Path, tmp_path: Path) -> None:
    before, link, hard = small.read_bytes(), tmp_path / "scores.json", tmp_path / "maps.png"
    link.symlink_to(small)
    os.link(small, hard)
    for words in (["--json-file", link], ["--figure", hard]):
        result = run(small, "-f", 2, "-m", "fast", *words, "--overwrite")
        assert (result.exit_code, "is one of the volumes" in result.output) == (2, True)
    assert small.read_bytes() == before
    link.unlink()
    link.symlink_to("nowhere")
    result = run(small, "-f", 2, "-m", "fast", "--json-file", link)
    assert (result.exit_code, "exists already" in result.output) == (5, True)


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_words_get_one_line_and_their_exit_code(name: str, small: Path) -> None:
    words, code, expected = REFUSALS[name]
    result = run(small, *([] if "-m" in words else ["-m", "fast"]), *words)
    assert result.exit_code == code, result.output
    assert result.output.startswith("saint: ")
    assert result.output.count("\n") == 1
    assert expected in result.output


def test_missing_folders_of_figure_and_json_are_made_but_not_for_a_refusal(small: Path, tmp_path: Path) -> None:
    figure, scores = tmp_path / "new" / "maps" / "x.png", tmp_path / "new" / "scores" / "x.json"
    words = (small, "--factor", 2, "--against", "cubic", "--figure", figure, "--json-file", scores)
    assert run(*words, "--model", "huge").exit_code == 3
    assert not (tmp_path / "new").exists()
    assert run(*words, "--model", "fast").exit_code == 0
    assert figure.stat().st_size > 0
    assert json.loads(scores.read_text())["scores"]


def test_an_existing_figure_or_json_file_is_only_replaced_when_asked(small: Path, tmp_path: Path) -> None:
    kept = tmp_path / "scores.json"
    kept.write_text("mine")
    words = (small, "--factor", 2, "--model", "fast", "--against", "cubic", "--json-file", kept)
    refused = run(*words)
    assert (refused.exit_code, kept.read_text()) == (5, "mine")
    assert "--overwrite" in refused.output
    assert run(*words, "--overwrite").exit_code == 0
    assert json.loads(kept.read_text())["scores"]


def stretched(source: Path, between_mm: float, target: Path) -> Path:
    """The same volume, its slices so far apart."""
    image = nib.load(source)
    affine = image.affine.copy()
    affine[:3, 2] *= between_mm / np.linalg.norm(affine[:3, 2])
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), affine), target)
    return target


@pytest.mark.parametrize(("between_mm", "is_thick"), [(1.0, False), (2.5, False), (3.0, True), (5.0, True)])
def test_thick_slices_get_a_warning_for_their_figures_mean_something_else(
    between_mm: float, is_thick: bool, small: Path, tmp_path: Path
) -> None:
    file = stretched(small, between_mm, tmp_path / "stretched.nii.gz")
    options = ("--factor", "2", "--against", "linear", "--threads", "1")
    document = tmp_path / "scores.json"
    result = run(file, *options, "--json-file", document)
    assert result.exit_code == 0, result.output
    assert ("saint: warning: stretched.nii.gz: slices" in result.stderr) == is_thick
    assert (f"predicted from slices {2 * between_mm:.3g} mm apart" in result.stderr) == is_thick
    assert bool(json.loads(document.read_text())["warnings"]) == is_thick


def test_scores_against_a_result_of_saint_are_warned_of(small: Path, tmp_path: Path) -> None:
    image = nib.load(small)
    image.header["descrip"] = b"saint 0.4 x4 model=fast:0123abcd"
    nib.save(image, tmp_path / "result.nii.gz")
    result = run(tmp_path / "result.nii.gz", "-f", "2", "-m", "fast", "--against", "linear")
    assert result.exit_code == 0, result.output
    assert "warning: result.nii.gz: its header says that this is a result of saint" in result.stderr


def test_scores_of_a_label_map_are_warned_of(small: Path, tmp_path: Path) -> None:
    image = nib.load(small)
    labels = (np.asanyarray(image.dataobj) > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "labels.nii.gz")
    result = run(tmp_path / "labels.nii.gz", "-f", "2", "-m", "mr-fast", "--against", "linear")
    assert result.exit_code == 0, result.output
    assert "warning: labels.nii.gz: looks like labels (2 distinct values); saint interpolates" in result.stderr


def test_the_model_that_auto_chose_is_named(small: Path) -> None:
    result = run(small, "--factor", "2", "--against", "linear", "--threads", "1", "--device", "cpu")
    assert result.stderr.splitlines()[0] == "model medium on cpu with 1 thread"
    assert "medium fused" in result.stdout
    assert "base" not in result.stdout


def test_noise_tissues_and_edges_have_tables_of_their_own_and_stand_in_the_json(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "130")
    written = tmp_path / "scores.json"
    result = run(
        *(part, "-f", "4", "-m", "fast", "--against", "cubic", "--measure", "noise,tissues", "--calibration"),
        *("--json-file", written),
    )
    assert result.exit_code == 0, result.output
    for words in ("no noise could be measured", "bone volume %", "rise mm", "by self-check HU"):
        assert words in " ".join(result.output.split())
    document = json.loads(written.read_text())
    measures = {one["method"]: one for one in document["measures"]}
    assert list(measures) == ["truth", "cubic", "fast fused"]
    assert measures["truth"]["noise"]["offset"] == [0, 0.25, 0.5, 0.75]
    for tissue in measures["truth"]["tissues"]:
        assert tissue["surface_mm"] in (0, None)
    lung = {name: one["tissues"][1]["surface_mm"] for name, one in measures.items()}
    assert 0 < lung["fast fused"] < lung["cubic"]
    assert 0 < measures["truth"]["edge_rise_mm"] < measures["fast fused"]["edge_rise_mm"]
    assert measures["fast fused"]["edge_rise_mm"] < measures["cubic"]["edge_rise_mm"]
    (found,) = document["calibration_by_scan"]
    assert found["model"] == "fast"
    assert 0.5 < found["observed_hu"] / found["by_scan_hu"] < 2


def test_the_noise_of_uniform_tissue_has_a_table(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(50, 15, (60, 60, 9)).astype(np.int16)
    voxels[:8] = -1000  # of air, by which it is known for CT
    nib.save(nib.Nifti1Image(voxels, np.diag([0.7, 0.7, 1.0, 1.0])), tmp_path / "water.nii")
    result = run(tmp_path / "water.nii", "-f", "2", "-m", "fast", "--against", "cubic", "--measure", "noise")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "slice correlation" in shown
    found = re.search(r"truth │ ([\d.]+) │ ([\d.]+) │", shown)
    assert found is not None
    assert 14 < float(found[1]) < 16
    assert float(found[2]) == pytest.approx(1, abs=0.05)  # independent from slice to slice


def test_where_no_noise_can_be_measured_a_line_says_so_in_place_of_an_empty_table(small: Path) -> None:
    result = run(small, "-f", "2", "-m", "fast", "--against", "cubic", "--measure", "noise")
    assert result.exit_code == 0, result.output
    assert "no noise could be measured (too little uniform tissue)" in " ".join(result.stderr.split())
    assert "kurtosis" not in result.stdout


def test_without_being_asked_for_nothing_else_is_measured(small: Path) -> None:
    document = json.loads(run(small, "-f", "2", "-m", "fast", "--against", "cubic", "--json").stdout)
    assert (document["measures"], document["calibration_by_scan"]) == ([], [])


def test_an_unknown_measure_is_refused(small: Path) -> None:
    result = run(small, "--measure", "tumours")
    assert result.exit_code != 0
    assert "--measure must be one of noise, tissues, not tumours" in result.output


def test_capitals_of_listed_words_do_not_count() -> None:
    assert list_of("--measure", *MEASURES)("Noise, TISSUES,noise") == ("noise", "tissues")
