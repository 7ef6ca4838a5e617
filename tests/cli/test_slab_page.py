"""What the page and its Methods paragraph say of thin slices of slabs is true of them."""

import html
import re
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from saint_cli.cli.app import app

UNTRUE_OF_SLABS = (
    "bit-exact",
    "which are copied",
    "kept unchanged; the slices between",
    "farthest from acquired ones",
    "Noise cannot be predicted",
    "are kept",
)


def make_page(scan: Path, folder: Path, weights: Path, *options: object) -> str:
    """The text of the page of thin slices."""
    words = (
        "upsample",
        scan,
        "--slab",
        "-f",
        3,
        "-m",
        weights,
        "-o",
        folder / "thin",
        "--report",
        folder / "page.html",
    )
    result = CliRunner().invoke(app, [str(word) for word in (*words, *options)])
    assert result.exit_code == 0, result.output
    page = (folder / "page.html").read_text(encoding="utf-8")
    text = re.sub(r"<(style|script)[^>]*>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return fabricate.save(fabricate.slices(shape=(24, 28)), tmp_path / "scan")


def test_nothing_is_said_to_be_kept(scan: Path, tmp_path: Path, slab_weights: Path) -> None:
    text = make_page(scan, tmp_path, slab_weights)
    assert "0 kept bit for bit" in text
    assert "Slices taken for slabs as thick as, mm 5" in text
    assert re.search(r"Means over slabs acquired slices at most 0\.\d+ HU from these, root mean square 0\.\d+ HU", text)
    assert "All slices of the result are estimates; none is an acquired slice kept unchanged." in text
    assert "which were taken for slabs and are not in the result" in text
    assert "none can be left out without leaving tissue out" in text
    assert not [words for words in UNTRUE_OF_SLABS if words in text]


def test_the_methods_paragraph_gives_the_thickness_along_the_normal(tmp_path: Path, slab_weights: Path) -> None:
    tilted = fabricate.slices(shape=(24, 28), step=(0.0, 1.5, 4.0))
    for data in tilted:
        data.SliceThickness = 4.0
    text = make_page(fabricate.save(tilted, tmp_path / "scan"), tmp_path, slab_weights)
    assert "taken for slabs 4 mm thick, and the result was made consistent with them" in text
    assert "its means over the slabs are the acquired slices but for rounding." in text


def test_of_slices_that_were_resampled_the_means_are_those_before(
    scan: Path, tmp_path: Path, slab_weights: Path
) -> None:
    text = make_page(scan, tmp_path, slab_weights, "--in-plane", 0.9)
    assert "its means over the slabs were, before slices were resampled in their plane, the acquired slices" in text
    assert re.search(
        r"Means over slabs acquired slices at most 0\.\d+ HU from these, .* before slices were resamp", text
    )


def test_means_that_are_not_exact_are_not_said_to_be(tmp_path: Path, slab_weights: Path) -> None:
    scan = tmp_path / "edge.nii.gz"
    random = np.random.default_rng(0)
    voxels = np.where(random.random((28, 24, 6)) < 0.5, random.integers(0, 3, (28, 24, 6)), 65535).astype(np.uint16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 5, 1.0])), scan)
    words = ("upsample", scan, "--slab", 9, "-f", 4, "-m", slab_weights, "-o", tmp_path / "thin.nii.gz")
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--report", tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the means of the result over them are near the acquired slices, not equal to them." in page
    assert "but for rounding" not in page
    assert "are the acquired values" not in page
