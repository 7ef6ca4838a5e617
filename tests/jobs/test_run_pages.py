"""``run_job`` with a page, a preview and a thumbnail: what is written, and what is refused before any work."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from make_jobs import change_job, make_job
from PIL import Image

from saint_cli import geometry
from saint_cli.errors import OutputError, UsageError
from saint_cli.jobs import GridRequest, Job, ModelConfig, run_job
from saint_cli.models import weights
from saint_cli.options.method import MethodOptions
from saint_cli.progress import silent

NAME = "thin <b>&amp;\"' scan.nii"


@pytest.fixture
def job(tmp_path: Path, model_config: ModelConfig) -> Job:
    """A job that wants everything."""
    volume = fabricate.volume((30, 26, 7))
    image = nibabel.Nifti1Image(volume.voxels, geometry.RAS_FROM_LPS @ volume.affine_lps)
    (tmp_path / "patient SECRET").mkdir()
    source = tmp_path / "patient SECRET" / NAME
    nibabel.save(image, source)
    out = tmp_path / "new"
    return make_job(
        source,
        out / "out.nii",
        GridRequest(factor=4),
        model_config,
        page=out / "sub" / "page.html",
        preview=out / "preview.png",
        thumbnail=out / "thumb.jpg",
    )


def test_a_job_writes_page_preview_and_thumbnail_and_the_same_result(job: Job) -> None:
    done = run_job(job, silent)
    assert job.page is not None
    text = job.page.read_text(encoding="utf-8")
    assert unescape(re.findall("<h1>(.*?)</h1>", text)[0]) == NAME
    assert "SECRET" not in text
    assert weights.load_model(job.settings.model_config.model).sha256 in text
    assert "--factor 4" in text
    assert "3 of 7 slices" in text
    assert (done.page, done.preview) == (str(job.page), str(job.preview))
    assert done.summary.endswith(f"page: {job.page}, preview: {job.preview}")
    written = sorted(p.name for p in job.target.parent.rglob("*"))
    assert written == ["out.nii", "page.html", "preview.png", "sub", "thumb.jpg"]
    plain = change_job(job, target=job.target.with_name("plain.nii"), page=None, preview=None, thumbnail=None)
    run_job(plain, silent)
    assert plain.target.read_bytes() == job.target.read_bytes()


@pytest.mark.parametrize("shift_hu", [-3000, 0, 4000])
def test_a_thumbnail_shows_ct_whose_values_are_no_hu(shift_hu: int, tmp_path: Path, model_config: ModelConfig) -> None:
    volume = fabricate.volume((30, 26, 7))
    x, y, z = (np.linspace(-1, 1, n) for n in volume.shape)
    ball = np.where(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < 0.7, 60 + 80 * x[:, None, None], -1000.0)
    nibabel.save(nibabel.Nifti1Image((ball + shift_hu).astype(np.int16), volume.affine_lps), tmp_path / "ct.nii")
    job = make_job(tmp_path / "ct.nii", tmp_path / "out.nii", GridRequest(factor=2), model_config, modality="CT")
    run_job(replace(job, thumbnail=tmp_path / "thumb.png"), silent)
    with Image.open(tmp_path / "thumb.png") as image:
        greys = np.asarray(image)
    assert greys.min() < 60
    assert 60 < np.median(greys[greys.shape[0] // 2 - 5 :][:10, greys.shape[1] // 3 : -greys.shape[1] // 3]) < 250


def test_a_thumbnail_alone_costs_no_self_check(job: Job) -> None:
    heard = set()
    run_job(change_job(job, page=None, preview=None), lambda stage, done, total: heard.add(stage))
    assert not any("self-check" in stage for stage in heard)


def test_a_dicom_series_has_a_page_without_patient_text(tmp_path: Path, model_config: ModelConfig) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "study")
    job = make_job(source, tmp_path / "out", GridRequest(factor=2), model_config, page=tmp_path / "p.html")
    run_job(job, silent)
    assert "SECRET" not in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_what_goes_wrong_with_the_page_leaves_no_result(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("disk full")

    monkeypatch.setattr("saint_cli.report.page.write_page", full)
    with pytest.raises(OutputError, match="disk full"):
        run_job(job, silent)
    assert not job.target.exists()


REFUSED = {
    "page is the output": (lambda j: replace(j, page=j.target), UsageError, "must end in .html"),
    "page is a picture": (lambda j: replace(j, page=j.target.with_suffix(".png")), UsageError, "--report .* must end"),
    "preview is a page": (lambda j: replace(j, preview=j.target.with_suffix(".html")), UsageError, "--preview .* end"),
    "one name for two": (lambda j: replace(j, thumbnail=j.preview), UsageError, "also what --preview names"),
    "same file, other path": (
        lambda j: replace(j, thumbnail=j.target.parent / "x" / ".." / "preview.png"),
        UsageError,
        "also what --preview names",
    ),
    "in the output folder": (
        lambda j: replace(j, target=j.target.parent / "series", page=j.target.parent / "series" / "p.html"),
        UsageError,
        "inside the output folder",
    ),
    "there already": (lambda j: replace(j, preview=_made(j.source.with_name("x.png"))), OutputError, "exists already"),
    "a folder": (lambda j: replace(j, page=_folder(j.source.with_name("x.html"))), OutputError, "is a folder"),
    "below a file": (lambda j: replace(j, page=j.source / "p.html"), OutputError, "is not a folder"),
}


def _made(path: Path) -> Path:
    path.write_text("precious")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_pages_that_cannot_be_written_are_refused_before_anything_is_read(name: str, job: Job) -> None:
    change, kind, words = REFUSED[name]
    heard = set()
    with pytest.raises(kind, match=words):
        run_job(change(job), lambda stage, done, total: heard.add(stage))
    assert not heard
    assert not job.target.exists()


def test_overwrite_replaces_an_old_page(job: Job) -> None:
    assert job.page is not None
    job.page.parent.mkdir(parents=True)
    job.page.write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        run_job(job, silent)
    run_job(change_job(job, overwrite=True), silent)
    assert "<!doctype html>" in job.page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["page", "preview", "thumbnail"])
def test_a_page_or_picture_that_appeared_meanwhile_is_not_replaced(name: str, job: Job) -> None:
    path = getattr(job, name)

    def write_another(stage: str, done: int, total: int) -> None:
        if stage == "writing" and not done:
            path.write_text("of another run")

    with pytest.raises(OutputError, match=r"appeared while the result was computed"):
        run_job(job, write_another)
    assert path.read_text() == "of another run"
    assert not job.target.exists()


def test_the_page_lists_options_as_flags(job: Job) -> None:
    assert job.page is not None
    options = MethodOptions(directions=4, tta=True)
    run_job(change_job(job, grid=GridRequest(spacing_mm=2.5, axis=2), method_options=options, modality="CT"), silent)
    text = job.page.read_text(encoding="utf-8")
    assert all(words in text for words in ("--spacing 2.5", "--axis z", "--modality CT", "--directions 4", "--tta"))
    assert np.asanyarray(nibabel.load(job.target).dataobj).shape == (30, 26, 13)
