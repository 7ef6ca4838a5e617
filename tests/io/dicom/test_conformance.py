"""What other programs say of the DICOM that saint writes: validators, a converter, a receiver, an archive.

The Debian packages dicom3tools, dcmtk and orthanc bring them; where a program is missing its tests are skipped and say
so. Everything is sent over the loopback interface; storescp, which knows no such limit, listens on all for seconds.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from fabricate import CASES, interpolated

from saint_cli import geometry
from saint_cli.io import read_volume, write_volume
from saint_cli.volume import Derivation, Volume

os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where Debian puts Orthanc

FACTOR = 4


def program(name: str) -> str:
    """The path of a program of the system; the test is skipped where there is none.

    Scripts of Python environments do not count: pynetdicom brings its own ``storescu``, with other options.
    """
    own = Path(sysconfig.get_path("scripts"))
    folders = [
        folder
        for folder in os.environ["PATH"].split(os.pathsep)
        if Path(folder) != own and not (Path(folder).parent / "pyvenv.cfg").exists()
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{name} is not installed (Debian packages dicom3tools, dcmtk, orthanc)")
    return found


def made(kind: str, folder: Path) -> Path:
    """A fabricated series, saved."""
    series = {
        "CT": lambda: fabricate.slices(),
        "CT tilted": lambda: fabricate.slices(step=(0.0, 1.2, 4.8)),
        "CT oblique": lambda: fabricate.slices(step=(2.4, -3.2, 3.0), orientation=fabricate.OBLIQUE),
        "MR": lambda: fabricate.slices(modality="MR"),
        "MR scaled": lambda: fabricate.rescaled(fabricate.slices(modality="MR")),
        "PET": fabricate.pet,
        "CT enhanced": lambda: [fabricate.multiframe(fabricate.slices())],
        "MR enhanced": lambda: [fabricate.multiframe(fabricate.slices(modality="MR"))],
    }[kind]()
    return fabricate.save(series, folder / "source")


FABRICATED = ["CT", "CT tilted", "CT oblique", "MR", "MR scaled", "PET"]

REAL_ENHANCED = ("d13_mr_hyperfine/001", "d39_ct_enh_palette")

REAL = {
    "d02_ct_philips_tilt18": None,
    "d07_mr_two_orientations": "1",
    "d10_mr_per_slice_slope": None,
    "d11_mr_same_volume_6_syntaxes/compressed_jpegls": None,
    "d16_mr_ge_dti_4d": "2",
    "d29_mr_oblique_sbs_lies": None,
    "d33_ct_overlapping": None,
}
"""Real series, and which of their stacks."""


def upsampled(source: Path, out: Path, series: str | None = None, factor: int = FACTOR) -> list[Path]:
    """Read, interpolate and write; the files written."""
    write_volume(interpolated(read_volume(source, series=series), factor), out)
    return sorted(out.iterdir())


def errors(files: list[Path]) -> set[tuple[str, str]]:
    """Attribute and complaint of every error that dciodvfy finds in files, in whichever sequence it lies."""
    found = set()
    for file in files:
        done = subprocess.run([program("dciodvfy"), "-new", str(file)], capture_output=True, check=False)
        for line in (done.stderr + done.stdout).decode("latin-1").splitlines():
            if line.startswith("Error - "):
                where, _, what = line.removeprefix("Error - ").partition(" - ")
                name = re.sub(r"\[\d+\]|\(.*?\)|[<>]", "", where).split("/")[-1]
                found.add((name.replace("Referenced", ""), re.sub(r"<[^>]*>", "", what)))
    return found


@pytest.mark.parametrize("kind", FABRICATED)
def test_dciodvfy_finds_no_error_that_the_source_has_not(kind: str, tmp_path: Path) -> None:
    program("dciodvfy")
    source = made(kind, tmp_path)
    assert errors(upsampled(source, tmp_path / "out")) <= errors(sorted(source.iterdir()))


@pytest.mark.parametrize("kind", FABRICATED)
def test_dciodvfy_finds_no_new_error_in_thin_slices_of_slabs(kind: str, tmp_path: Path) -> None:
    program("dciodvfy")
    source = made(kind, tmp_path)
    volume = read_volume(source)
    grid = geometry.grid_of_slabs(geometry.grid_by_factor(volume.shape[2], 2, FACTOR), geometry.SlabProfile(1.0))
    header = replace(volume.header, derivation=Derivation(grid, "slab", "0" * 64))
    thin = np.repeat(volume.voxels, FACTOR, axis=2)
    write_volume(Volume(thin, grid.refine(volume.affine_lps), header), tmp_path / "out")
    assert errors(sorted((tmp_path / "out").iterdir())) <= errors(sorted(source.iterdir()))


@pytest.mark.parametrize("kind", ["CT enhanced", "MR enhanced"])
def test_dciodvfy_finds_no_error_in_single_frames_that_the_module_demands_of_an_image(
    kind: str, tmp_path: Path
) -> None:
    program("dciodvfy")
    assert errors(upsampled(made(kind, tmp_path), tmp_path / "out")) == set()


@pytest.mark.parametrize("anatomy", fabricate.ANATOMIES)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_no_error_in_single_frames_whatever_the_anatomy(
    modality: str, anatomy: str, tmp_path: Path
) -> None:
    program("dciodvfy")
    source = fabricate.save([fabricate.enhanced(modality, anatomy)], tmp_path / "source")
    assert errors(upsampled(source, tmp_path / "out")) == set()


@pytest.mark.skipif(not CASES.is_dir(), reason="the real cases are not beside this checkout")
@pytest.mark.parametrize("name", REAL)
def test_dciodvfy_finds_no_new_error_in_real_series(name: str, tmp_path: Path) -> None:
    program("dciodvfy")
    volume = read_volume(CASES / name, series=REAL[name])
    assert volume.header.dicom_source is not None
    before = errors([source.path for source in volume.header.dicom_source.slices])
    assert errors(upsampled(CASES / name, tmp_path / "out", REAL[name], factor=2)) <= before


@pytest.mark.skipif(not CASES.is_dir(), reason="the real cases are not beside this checkout")
@pytest.mark.parametrize("name", REAL_ENHANCED)
def test_dciodvfy_finds_no_error_in_single_frames_of_real_enhanced_images(name: str, tmp_path: Path) -> None:
    program("dciodvfy")
    assert errors(upsampled(CASES / name, tmp_path / "out", factor=2)) == set()


@pytest.mark.parametrize("kind", [*FABRICATED, "CT enhanced", "MR enhanced"])
def test_dcentvfy_finds_one_patient_study_series_and_frame_of_reference(kind: str, tmp_path: Path) -> None:
    files = upsampled(made(kind, tmp_path), tmp_path / "out")
    done = subprocess.run([program("dcentvfy"), *map(str, files)], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("kind", ["CT", "CT oblique", "MR", "MR scaled"])
def test_dcm2niix_reads_the_slice_column_divided_and_the_origin_unmoved(kind: str, tmp_path: Path) -> None:
    dcm2niix = pytest.importorskip("dcm2niix")
    source = made(kind, tmp_path)
    upsampled(source, tmp_path / "out")
    before, after = (_converted(dcm2niix.bin, tmp_path / name) for name in ("source", "out"))
    wanted = before.affine @ np.diag([1, 1, 1 / FACTOR, 1])
    np.testing.assert_allclose(after.affine, wanted, atol=2e-5)
    assert after.shape[2] == (before.shape[2] - 1) * FACTOR + 1
    np.testing.assert_allclose(after.get_fdata()[..., ::FACTOR], before.get_fdata(), rtol=1e-5, atol=1e-3)


@pytest.mark.skipif(not CASES.is_dir(), reason="the real cases are not beside this checkout")
def test_dcm2niix_reads_the_shear_of_a_tilted_stack(tmp_path: Path) -> None:
    dcm2niix = pytest.importorskip("dcm2niix")
    source = CASES / "d02_ct_philips_tilt18"
    shutil.copytree(source, tmp_path / "source")
    upsampled(source, tmp_path / "out")
    before, after = (_converted(dcm2niix.bin, tmp_path / name) for name in ("source", "out"))
    np.testing.assert_allclose(after.get_sform(), before.get_sform() @ np.diag([1, 1, 1 / FACTOR, 1]), atol=2e-5)
    x, y, z = (after.get_sform()[:3, :3] / np.linalg.norm(after.get_sform()[:3, :3], axis=0)).T
    assert max(abs(x @ z), abs(y @ z)) == pytest.approx(np.sin(np.radians(18.5)), abs=2e-3)
    np.testing.assert_array_equal(after.get_fdata()[..., ::FACTOR], before.get_fdata())


def _converted(binary: str, folder: Path) -> nibabel.Nifti1Image:
    """The volume that dcm2niix makes of a folder, not that which it straightens of a tilted one."""
    out = folder.with_name(folder.name + "_nii")
    out.mkdir()
    subprocess.run([binary, "-z", "n", "-f", "v", "-o", str(out), str(folder)], check=True, capture_output=True)
    return nibabel.load(out / "v.nii")


def test_storescu_transfers_every_file(tmp_path: Path) -> None:
    storescu, storescp = program("storescu"), program("storescp")
    files = upsampled(made("CT tilted", tmp_path), tmp_path / "out")
    (tmp_path / "received").mkdir()
    port = _free_port()
    with subprocess.Popen(
        [storescp, "-od", str(tmp_path / "received"), str(port)], stderr=subprocess.DEVNULL
    ) as server:
        try:
            _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
            sent = [storescu, "+sd", "127.0.0.1", str(port), str(tmp_path / "out")]
            subprocess.run(sent, check=True, capture_output=True)
        finally:
            server.terminate()
    assert len(list((tmp_path / "received").iterdir())) == len(files) == 21
    received, written = read_volume(tmp_path / "received"), read_volume(tmp_path / "out")
    np.testing.assert_array_equal(received.voxels, written.voxels)


@pytest.mark.parametrize("kind", ["CT", "MR scaled"])
def test_orthanc_serves_the_series_back_as_one(kind: str, tmp_path: Path) -> None:
    files = upsampled(made(kind, tmp_path), tmp_path / "out")
    with _orthanc(program("Orthanc"), tmp_path) as url:
        for file in files:
            assert json.loads(_asked(f"{url}/instances", file.read_bytes()))["Status"] == "Success"
        (series,) = json.loads(_asked(f"{url}/series"))
        (tmp_path / "back").mkdir()
        for number, name in enumerate(json.loads(_asked(f"{url}/series/{series}"))["Instances"]):
            (tmp_path / "back" / str(number)).write_bytes(_asked(f"{url}/instances/{name}/file"))
        ordered = json.loads(_asked(f"{url}/series/{series}/ordered-slices"))
    assert len(ordered["Slices"]) == len(files)
    back, written = read_volume(tmp_path / "back"), read_volume(tmp_path / "out")
    np.testing.assert_array_equal(back.voxels, written.voxels)
    np.testing.assert_array_equal(back.affine_lps, written.affine_lps)


@contextmanager
def _orthanc(binary: str, folder: Path) -> Iterator[str]:
    """An empty archive that listens to HTTP of this machine only, and to no DICOM."""
    port = _free_port()
    settings = {"HttpPort": port, "RemoteAccessAllowed": False, "DicomServerEnabled": False, "Plugins": []}
    settings |= {"StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store")}
    (folder / "orthanc.json").write_text(json.dumps(settings))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([binary, str(folder / "orthanc.json")], **quiet) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            _until(lambda: _asked(f"{url}/system"))
            yield url
        finally:
            server.terminate()


def _asked(url: str, body: bytes | None = None) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, data=body, timeout=60) as answer:
        return answer.read()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _until(ready: object, seconds: float = 60) -> None:
    """Wait until a call no longer fails to connect."""
    end = time.monotonic() + seconds
    while True:
        try:
            ready()  # type: ignore[operator]
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
