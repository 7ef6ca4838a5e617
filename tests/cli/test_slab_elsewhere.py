"""``--slab`` outside of ``saint upsample``: info, batch, bids, evaluate, the form of 3D Slicer, volumes of MR."""

import json
from pathlib import Path

import fabricate
import fabricate_bids
import nibabel as nib
import numpy as np
import pytest
from cli.runs import run
from typer.testing import Result

from saint_cli.io import write_volume


def words(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("thickness", "hint"),
    [(5.0, "means of 5 mm"), (9.0, "means of 9 mm"), (1.0, None), (20.0, None)],
    ids=["touching", "overlapping", "thin slices far apart", "no such slabs"],
)
def test_info_points_to_slabs_where_slices_are_thick(tmp_path: Path, thickness: float, hint: str | None) -> None:
    series = fabricate.slices()
    for data in series:
        data.SliceThickness = thickness
    shown = words(run("info", fabricate.save(series, tmp_path / "scan")))
    assert ("`--slab` recovers thin ones" in shown) == (hint is not None)
    assert hint is None or hint in shown


def test_info_says_what_it_assumes_of_a_file_without_a_thickness(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii.gz")
    shown = words(run("info", tmp_path / "scan.nii.gz"))
    assert "If slices are means of 5 mm (their distance), `--slab` recovers thin ones" in shown


def test_info_does_not_take_a_result_for_slabs(tmp_path: Path) -> None:
    write_volume(fabricate.interpolated(fabricate.volume(), 2), tmp_path / "result.nii.gz")
    shown = words(run("info", tmp_path / "result.nii.gz"))
    assert "2.5 mm" in shown
    assert "upsample the acquired scan instead" in shown
    assert "--slab" not in shown


def test_rows_of_a_table_choose_slabs_and_how_thick_they_are(tmp_path: Path, slab_weights: Path) -> None:
    write_volume(fabricate.volume((16, 14, 4)), tmp_path / "scan.nii.gz")
    (tmp_path / "scans.csv").write_text("source,name,slab\nscan.nii.gz,word,header\nscan.nii.gz,number,6\n")
    out = tmp_path / "out"
    result = run("batch", tmp_path / "scans.csv", out, "-f", 3, "-m", slab_weights, "--threads", 1, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert nib.load(out / "word.nii.gz").shape[2] == 12
    assert nib.load(out / "number.nii.gz").shape[2] == 12  # 3 + 6 / 5 distances, in steps of a third
    assert "word: slices of unknown thickness were taken for slabs 5 mm thick" in words(result)
    lines = (out / "manifest.jsonl").read_text().splitlines()
    done = {record["name"]: record for record in map(json.loads, lines) if record["status"] == "done"}
    assert done["number"]["resampling"] == ["slab=6"]
    assert done["number"]["warnings"] == done["word"]["warnings"][:0]
    assert done["number"]["slab_deviation"]["largest"] <= 0.51


def test_a_batch_without_weights_for_slabs_is_refused_before_jobs_start(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii.gz")
    result = run("batch", tmp_path / "scan.nii.gz", tmp_path / "out", "--slab", "-m", "base")
    assert result.exit_code == 2
    assert "for slabs" in words(result)


def test_slices_of_a_bids_image_are_as_thick_as_its_sidecar_says(tmp_path: Path, slab_weights: Path) -> None:
    image = "sub-01/anat/sub-01_T2w.nii.gz"
    root = fabricate_bids.save_dataset(tmp_path / "raw", image)
    fabricate_bids.save_json(root / "T2w.json", SliceThickness=4.0)
    options = ("--slab", "-f", 2, "-m", slab_weights, "--threads", 1, "--n-procs", 1, "--no-pages")
    result = run("bids", root, tmp_path / "out", "participant", *options)
    assert result.exit_code == 0, result.output
    name = "sub-01_res-x2Slab_desc-saint_T2w"
    sidecar = json.loads((tmp_path / "out" / "sub-01" / "anat" / f"{name}.json").read_text())
    assert sidecar["Saint"]["Options"]["slab"] == 4
    assert sidecar["Saint"]["AcquiredSlicesKept"] == 0


def test_evaluation_of_slabs_refuses_models_that_are_not_for_these(tmp_path: Path) -> None:
    write_volume(fabricate.volume((16, 14, 9)), tmp_path / "dense.nii.gz")
    result = run("evaluate", tmp_path / "dense.nii.gz", "-f", 2, "--degrade", "average", "--slab", "-m", "base")
    assert result.exit_code == 2
    assert "for slabs" in words(result)


def test_the_form_of_slicer_says_what_to_type() -> None:
    described = run("slicer", "--xml").output
    assert "<longflag>slab</longflag>" in described
    assert "MM: their thickness; header: as in the file." in described


def test_evaluation_of_slabs_needs_whole_factors(tmp_path: Path) -> None:
    write_volume(fabricate.volume((20, 18, 13)), tmp_path / "dense.nii.gz")
    result = run("evaluate", tmp_path / "dense.nii.gz", "-f", 2.5, "--degrade", "average", "--slab")
    assert result.exit_code == 2
    assert "--slab needs whole factors" in words(result)


def test_every_volume_of_a_4d_scan_has_its_slabs(tmp_path: Path, slab_weights: Path) -> None:
    path, out = tmp_path / "four.nii.gz", tmp_path / "thin.nii.gz"
    voxels = np.random.default_rng(1).integers(100, 900, (18, 16, 4, 2)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 5, 1.0])), path)
    result = run("upsample", path, "--slab", "-f", 3, "--volume", "all", "-m", slab_weights, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["resampling"] == ["slab=5"]
    means = nib.load(out).get_fdata().reshape(18, 16, 4, 3, 2).mean(3)
    assert np.abs(means - voxels).max() <= 0.5 + 1e-6
