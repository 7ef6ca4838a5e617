"""A name stands for the model for slabs where slices are taken for slabs; without one saint says so at once."""

import json
from pathlib import Path

import pytest
from make_jobs import make_job
from mr_models import ship_models
from nets import tiny

from saint_cli import write_volume
from saint_cli.errors import UsageError
from saint_cli.jobs import GridRequest, ModelConfig, run_job
from saint_cli.models import shipped
from saint_cli.models.shipped import DEFAULT_MODEL
from saint_cli.models.weights import save_model
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.progress import silent
from saint_cli.volume import Volume

SLAB_MODEL = f"slab-{DEFAULT_MODEL}"
FILE = f"saint-{SLAB_MODEL}.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shipped weights of CT and MR, of which none are for slabs."""
    folder = tmp_path / "weights"
    folder.mkdir()
    ship_models(folder, monkeypatch)
    return folder


@pytest.fixture
def with_slabs(folder: Path) -> str:
    """The same, and one for slabs; its sha256."""
    sha256 = save_model(make_slab_network(tiny.ami()), tiny.rfn(), folder / FILE)
    manifest = folder / shipped.MANIFEST
    models = json.loads(manifest.read_text())["models"]
    models[SLAB_MODEL] = {"file": FILE, "sha256": sha256, "trained_on": "nothing"}
    manifest.write_text(json.dumps({"models": models}))
    return sha256


def run(volume: Volume, folder: Path, model: str):  # type: ignore[no-untyped-def]
    write_volume(volume, folder / "in.nii")
    config = ModelConfig(model, "cpu", threads=1)
    return run_job(make_job(folder / "in.nii", folder / "out.nii", GridRequest(factor=2, slab=True), config), silent)


@pytest.mark.parametrize("modality", [None, "CT"])
def test_slabs_get_their_weights_whatever_the_modality(modality: str | None, tmp_path: Path, with_slabs: str) -> None:
    is_mr = modality is None
    done = run(tiny.volume(dtype="uint16" if is_mr else "int16", modality=modality), tmp_path, "auto")
    assert (done.model, done.weights_sha256) == (SLAB_MODEL, with_slabs)
    told = [text for text in done.warnings if "trained on" in text]
    assert told == (
        [f"read as MR by its values; `modality=ct` if it is HU; {SLAB_MODEL} was trained on CT only"] * is_mr
    )


@pytest.mark.parametrize("model", ["auto", "fast", DEFAULT_MODEL])
@pytest.mark.usefixtures("folder")
def test_without_weights_for_slabs_nothing_is_read(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saint_cli.io.read_volume", lambda *_: pytest.fail("the scan was read"))
    with pytest.raises(UsageError, match="no weights for slabs are installed; leave out `slab`"):
        run(tiny.volume(), tmp_path, model)


@pytest.mark.usefixtures("with_slabs")
def test_a_model_for_slabs_is_refused_without_these_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(tiny.volume(), tmp_path / "in.nii")
    monkeypatch.setattr("saint_cli.io.read_volume", lambda *_: pytest.fail("the scan was read"))
    config = ModelConfig(SLAB_MODEL, "cpu", threads=1)
    with pytest.raises(UsageError, match=f"{SLAB_MODEL} makes thin slices of slabs; give `slab`"):
        run_job(make_job(tmp_path / "in.nii", tmp_path / "out.nii", GridRequest(factor=2), config), silent)
    shipped.check_model(SLAB_MODEL, slabs=None)


@pytest.mark.usefixtures("with_slabs")
def test_of_a_size_that_is_not_there_for_slabs_the_one_that_is_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"fast was not trained for slabs, nor any of its size; `model={SLAB_MODEL}`"):
        run(tiny.volume(), tmp_path, "fast")
