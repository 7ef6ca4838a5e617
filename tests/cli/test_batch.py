"""``saint batch`` from the command line: a whole folder, its manifest, reruns, and what is left after a violent end."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote_to_bytes

import fabricate
import nibabel as nib
import numpy as np
import pytest
from cli.batch_runs import OPTIONS, WITH_PAGES, fill, records, states
from cli.runs import run
from typer.testing import Result

from saint_cli.io import read_volume, write_volume


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """Twelve inputs of which four are broken, and a first run over them."""
    folder = tmp_path_factory.mktemp("trial")
    source, out = fill(folder / "in", 5), folder / "out"
    write_volume(fabricate.volume(), source / "x.nrrd")
    write_volume(fabricate.volume(), source / "y.mha")
    fabricate.save(fabricate.slices(), source / "series")
    short = source / "truncated.nii.gz"
    write_volume(fabricate.volume(), short)
    short.write_bytes(short.read_bytes()[:-500])
    gap = fabricate.slices(8)
    del gap[4]
    fabricate.save(gap, source / "gap")
    rgb = np.zeros((8, 8, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(rgb, np.diag([1, 1, 5, 1])), source / "colour.nii")
    (source / "text.nii").write_text("not an image")
    return source, out, run("batch", source, out, *OPTIONS)


def test_a_broken_scan_stops_no_other_and_is_named(trial: tuple[Path, Path, Result]) -> None:
    _, out, result = trial
    assert result.exit_code == 8, result.output
    assert Counter(record["status"] for record in records(out)) == {"done": 8, "failed": 4}
    assert len(list(out.rglob("*.nii.gz"))) == 8
    for name in ("truncated", "gap", "colour", "text"):
        assert name in result.output
    assert "SECRET" not in result.output + (out / "manifest.jsonl").read_text()


def test_records_hold_what_a_page_or_a_script_needs(trial: tuple[Path, Path, Result]) -> None:
    _, out, _ = trial
    by_name = {record["name"]: record for record in records(out)}
    done, failed = by_name["p0/ct"], by_name["gap"]
    assert (done["shape_before"], done["shape_after"]) == ([24, 20, 6], [24, 20, 11])
    assert done["spacing_after_mm"][2] == pytest.approx(2.5)
    assert done["seconds"] > 0
    assert len(done["weights_sha256"]) == 64
    assert set(done["versions"]) == {"saint", "torch", "numpy", "python"}
    assert (done["error"], failed["error"]["class"], failed["error"]["exit_code"]) == (None, "GeometryError", 4)


def test_a_rerun_does_nothing_and_needs_neither_torch_nor_dask(trial: tuple[Path, Path, Result]) -> None:
    source, out, _ = trial
    before, manifest = states(out), (out / "manifest.jsonl").read_bytes()
    watched = (
        "import sys\nfrom saint_cli.cli.app import app\n"
        "try:\n    app(prog_name='saint')\nexcept SystemExit as end:\n    code = end.code\n"
        "assert not {'torch', 'distributed', 'dask'} & set(sys.modules)\nsys.exit(code)"
    )
    again = [sys.executable, "-c", watched, "batch", source, out, *OPTIONS]
    done = subprocess.run(list(map(str, again)), capture_output=True, text=True, check=False)
    assert done.returncode == 8, done.stderr
    assert "nothing to do" in done.stderr
    assert (states(out), (out / "manifest.jsonl").read_bytes()) == (before, manifest)


def test_a_damaged_manifest_is_reported_once_and_costs_no_other_record(
    trial: tuple[Path, Path, Result], tmp_path: Path
) -> None:
    source, out, _ = trial
    copy = shutil.copytree(out, tmp_path / "out")
    whole = (copy / "manifest.jsonl").read_bytes()
    first, rest = whole.split(b"\n", 1)
    (copy / "manifest.jsonl").write_bytes(b"\n".join([first, b"[" * 100_000, b'{"target": 5}', rest]))
    dry = run("batch", source, copy, *OPTIONS, "--dry-run")
    assert "2 damaged records of earlier runs to be set aside" in dry.stderr
    result = run("batch", source, copy, *OPTIONS, "--json")
    summary = json.loads(result.stdout)
    assert (summary["ran"], summary["done"], result.exit_code) == (0, 8, 8)
    assert "line 2 of manifest.jsonl: nested too deeply; line 3 of manifest.jsonl" in summary["damaged_records"]
    assert summary["damaged_records"] in result.stderr
    assert (copy / "manifest.jsonl").read_bytes() == whole
    assert "set aside" not in run("batch", source, copy, *OPTIONS).output


def test_touching_one_input_redoes_that_one(trial: tuple[Path, Path, Result]) -> None:
    source, out, _ = trial
    before = states(out)
    os.utime(source / "p3" / "ct.nii.gz", (1, 1))
    summary = json.loads(run("batch", source, out, *OPTIONS, "--json").stdout)
    assert (summary["ran"], summary["done"], len(summary["failed"]), summary["exit_code"]) == (1, 8, 4, 8)
    after = states(out)
    assert [name for name in after if after[name] != before[name]] == ["p3/ct.nii.gz"]


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", 2)
    result = run("batch", source, tmp_path / "out", *OPTIONS, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert [job["target"] for job in plan["jobs"]] == ["p0/ct.nii.gz", "p1/ct.nii.gz"]
    assert plan["seconds"] > 0
    assert not (tmp_path / "out").exists()
    shown = run("batch", source, tmp_path / "out", *OPTIONS, "--dry-run").output
    assert "2 jobs by" in shown
    assert "2 to do" in shown
    assert "1 job by" in run("batch", next(source.iterdir()), tmp_path / "out", *OPTIONS, "--dry-run").output


def test_a_dry_run_ends_as_the_run_would(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", 1)
    arguments = ("batch", source, tmp_path / "out", *OPTIONS, "--dry-run")
    assert run(*arguments).exit_code == 0
    (source / "text.nii").write_text("not an image")
    broken, plan = run(*arguments, "-q"), run(*arguments, "--json")
    assert (broken.exit_code, plan.exit_code, json.loads(plan.stdout)["exit_code"]) == (8, 8, 8)
    (line,) = broken.output.splitlines()
    assert line.startswith("saint: text: ")
    (tmp_path / "empty").mkdir()
    nothing = run("batch", tmp_path / "empty", tmp_path / "out", *OPTIONS, "--dry-run", "-q")
    assert nothing.exit_code == 2
    assert f"no scan to upsample found in {tmp_path / 'empty'}" in nothing.output


def test_nothing_to_upsample_is_reported_by_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").touch()
    result = run("batch", tmp_path / "in", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_table_gives_every_scan_its_own_options(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    table = tmp_path / "scans.csv"
    table.write_text("source,name,factor\np0/ct.nii.gz,four,4\np1/ct.nii.gz,,\nmissing.nii,,\n")
    result = run("batch", table, tmp_path / "out", *OPTIONS, "--to", "mha")
    assert result.exit_code == 8, result.output
    shapes = {name: read_volume(tmp_path / "out" / f"{name}.mha").shape[2] for name in ("four", "ct")}
    assert shapes == {"four": 21, "ct": 11}
    assert "missing" in result.output
    for rows in ("source,colour\np0/ct.nii.gz,red\n", "source,factor\np0/ct.nii.gz,99\n"):
        table.write_text(rows)
        assert run("batch", table, tmp_path / "out2").exit_code == 2


def test_label_maps_are_left_out_by_their_values_and_not_tried_again(tmp_path: Path) -> None:
    labels = np.zeros((32, 32, 6), np.uint8)
    labels[8:20, 8:20, 2:4] = 3
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(labels, np.diag([1, 1, 5, 1])), tmp_path / "in" / "organ.nii")
    write_volume(fabricate.volume(), tmp_path / "in" / "scan.nii")
    for ran, kept in ((1, 0), (0, 1)):
        reported = json.loads(run("batch", tmp_path / "in", tmp_path / "out", *OPTIONS, "--json").stdout)
        assert [one["name"] for one in reported["skipped"]] == ["organ"]
        assert "label map" in reported["skipped"][0]["reason"]
        assert (reported["exit_code"], reported["ran"], reported["kept"]) == (0, ran, kept)


def test_split_runs_is_for_the_dicom_of_a_mixed_folder_alone(tmp_path: Path) -> None:
    gap = fabricate.slices(9)
    del gap[4]
    fabricate.save(gap, tmp_path / "in" / "gap")
    write_volume(fabricate.volume(), tmp_path / "in" / "x.nrrd")
    plan = run("batch", tmp_path / "in", tmp_path / "out", *OPTIONS, "--split-runs", "--json")
    reported = json.loads(plan.stdout)
    assert (reported["exit_code"], reported["failed"]) == (0, []), reported
    assert reported["done"] == 3


def test_dicom_becomes_dicom(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "in" / "p1" / "s1")
    result = run("batch", tmp_path / "in", tmp_path / "out", *OPTIONS, "--to", "dicom")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "p1" / "s1").glob("*.dcm"))) == 11


def test_scans_of_any_name_are_done_with_pages_that_their_links_reach(tmp_path: Path) -> None:
    names = ["M\udcfcller", "a\nb [b]", "\N{BRAIN}" * 62]
    for name in names:
        write_volume(fabricate.volume(), tmp_path / "in" / f"{name}.mha")
    fabricate.save(fabricate.slices(), tmp_path / "in" / "s\udcfc\udcff")
    result = run("batch", tmp_path / "in", tmp_path / "out", *WITH_PAGES)
    assert result.exit_code == 0, result.stderr
    found = records(tmp_path / "out")
    assert Counter(record["status"] for record in found) == {"done": len(names) + 1}
    for record in found:
        assert read_volume(tmp_path / "out" / record["target"]).shape[2] == 11
    text = (tmp_path / "out" / "report" / "index.html").read_bytes().decode("utf-8")
    links = [html.unescape(link) for link in re.findall(r'(?:href|src)="(\./[^"]+)"', text)]
    assert len(links) >= 2 * len(found)
    for link in links:
        assert (tmp_path / "out" / "report" / os.fsdecode(unquote_to_bytes(link))).is_file()
    before = states(tmp_path / "out")
    assert run("batch", tmp_path / "in", tmp_path / "out", *WITH_PAGES).exit_code == 0
    assert states(tmp_path / "out") == before


def test_all_volumes_of_4d_scans_are_one_job_each_and_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    voxels = np.stack([fabricate.volume(dtype="int16").voxels + 40 * k for k in range(3)], axis=-1)
    nib.save(nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 5, 1])), tmp_path / "in" / "dynamic.nii.gz")
    write_volume(fabricate.volume(), tmp_path / "in" / "plain.nii.gz")
    assert run("batch", tmp_path / "in", tmp_path / "out", "--volume", "all", *OPTIONS).exit_code == 0
    shapes = [nib.load(tmp_path / "out" / f"{name}.nii.gz").shape for name in ("dynamic", "plain")]
    assert shapes == [(24, 20, 11, 3), (24, 20, 11)]
    done = [record for record in records(tmp_path / "out") if record["status"] == "done"]
    assert {record["name"]: record["volumes"] for record in done} == {"dynamic": 3, "plain": 1}
    refused = run("batch", tmp_path / "in", tmp_path / "other", "--volume", "2", *OPTIONS)
    assert (refused.exit_code, "for many scans only all" in refused.output) == (2, True)
