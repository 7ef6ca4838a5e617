"""``saint batch`` and ``saint upsample`` from URL to URL: by ``file://``, and on a server that speaks S3."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fabricate
import nibabel as nib
import numpy as np
import pytest
from cli.runs import run

from saint_cli.io import read_volume, write_volume
from saint_cli.runtime.temporary import TemporaryFolder

OPTIONS = ("--factor", "2", "-m", "fast")

BATCH = (*OPTIONS, "--workers", "1", "--threads", "1", "--no-pages")


def summary(*arguments: object) -> dict[str, Any]:
    """What a batch came to."""
    return dict(json.loads(run("batch", *arguments, *BATCH, "--json").stdout))


def planned(*arguments: object) -> list[str]:
    """The results that a batch would make."""
    plan = json.loads(run("batch", *arguments, *BATCH, "--dry-run", "--json").stdout)
    return [job["target"] for job in plan["jobs"]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A file, a series, and a file that is cut off behind its header."""
    write_volume(fabricate.volume(), tmp_path / "study" / "p0" / "ct.nii.gz")
    fabricate.save(fabricate.slices(), tmp_path / "study" / "p1" / "s1")
    short = tmp_path / "study" / "short.nii.gz"
    write_volume(fabricate.volume(), short)
    short.write_bytes(short.read_bytes()[:-500])
    return tmp_path / "study"


class Quiet(SimpleHTTPRequestHandler):
    """A plain web server: index pages, no ranges; remembers how much it sent."""

    sent: ClassVar[list[int]] = []

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send piece by piece, until the other side has enough."""
        self.sent.append(0)
        with suppress(ConnectionError):
            while piece := source.read(1 << 16):
                outputfile.write(piece)
                self.sent[-1] += len(piece)


@pytest.fixture
def web(study: Path) -> Iterator[str]:
    """The study on a web server."""
    Quiet.sent.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(study))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_server_is_read_by_its_index_pages_and_no_signature_is_shown(
    web: str, study: Path, tmp_path: Path
) -> None:
    reported = run("info", f"{web}/p0/ct.nii.gz?sig=SECRET", "--json")
    (stack,) = json.loads(reported.stdout)[0]["stacks"]
    assert stack["shape"] == list(read_volume(study / "p0" / "ct.nii.gz").shape)
    out = tmp_path / "out"
    done = summary(f"{web}/p0/", out)
    assert (done["done"], done["exit_code"]) == (1, 0)
    assert run("upsample", f"{web}/p0/ct.nii.gz?sig=SECRET", "-o", tmp_path / "one.nii.gz", *OPTIONS).exit_code == 0
    assert (tmp_path / "one.nii.gz").read_bytes() == (out / "ct.nii.gz").read_bytes()
    assert summary(f"{web}/p0/ct.nii.gz?sig=SECRET", tmp_path / "signed")["done"] == 1
    written = "".join(p.read_text() for p in tmp_path.rglob("*.json*"))
    assert "SECRET" not in reported.output + written


def test_of_a_large_file_on_a_web_server_only_the_start_is_read(web: str, study: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 1000, (512, 512, 120), np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 5, 1])), study / "large.nii")
    assert run("info", f"{web}/large.nii").exit_code == 0
    assert 0 < max(Quiet.sent) < voxels.nbytes / 2


@pytest.mark.parametrize("source_at_url", [True, False])
@pytest.mark.parametrize("target_at_url", [True, False])
def test_a_scan_is_never_replaced_by_its_own_result(source_at_url: bool, target_at_url: bool, tmp_path: Path) -> None:
    scan = tmp_path / "ct.nii.gz"
    write_volume(fabricate.volume(), scan)
    before = scan.read_bytes()
    source, target = (scan.as_uri() if at_url else scan for at_url in (source_at_url, target_at_url))
    result = run("upsample", source, "-o", target, *OPTIONS, "--overwrite")
    assert (result.exit_code, scan.read_bytes()) == (2, before)
    assert "is the input itself" in result.output


@pytest.mark.parametrize("results_at_url", [True, False])
def test_results_are_no_inputs_however_their_folder_is_named(results_at_url: bool, study: Path, tmp_path: Path) -> None:
    out, state = study / "out", tmp_path / "state"
    write_volume(fabricate.volume(), out / "old.nii.gz")
    places = (study, out.as_uri(), "--state-dir", state) if results_at_url else (study.as_uri(), out)
    assert sorted(planned(*places)) == ["p0/ct.nii.gz", "p1/s1.nii.gz", "short.nii.gz"]


def test_one_scan_from_url_to_url_gives_what_it_gives_here(study: Path, tmp_path: Path) -> None:
    scan = study / "p1" / "s1"
    assert run("upsample", scan, "-o", tmp_path / "here.nii.gz", *OPTIONS).exit_code == 0
    url = (tmp_path / "out" / "there.nii.gz").as_uri()
    result = run("upsample", scan.as_uri(), "-o", url, *OPTIONS, "--report", tmp_path / "page.html", "--json")
    reported = json.loads(result.stdout)
    assert (reported["source"], reported["target"]) == (scan.as_uri(), url)
    assert (tmp_path / "out" / "there.nii.gz").read_bytes() == (tmp_path / "here.nii.gz").read_bytes()
    assert "s1" in (tmp_path / "page.html").read_text()
    assert run("upsample", scan.as_uri(), "-o", url, *OPTIONS).exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("info", "https://me:SECRET@localhost/x.nii"), 2, "no user, password or signature"),
        (("info", "nosuch://localhost/x.nii"), 2, "is not a protocol"),
        (("batch", ".", "s3://bucket/out"), 2, "--state-dir"),
        (("batch", ".", "out", "--state-dir", "state"), 2, "--state-dir"),
        (("batch", ".", "https://localhost/out", "--state-dir", "state"), 2, "nothing can be written"),
        (("upsample", "x.nii", "-o", "https://localhost/out.nii"), 2, "nothing can be written"),
        (("upsample", "x.nii", "-o", "y.nii", "--report", "s3://bucket/x.html"), 2, "on this machine"),
        (("upsample", "file:///nosuch/x.nii", "-o", "y.nii"), 3, "no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_urls_that_cannot_be_used_get_one_line(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "SECRET" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty bucket on a server of its own."""
    from s3fs import S3FileSystem

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_DEFAULT_REGION": "us-east-1"}
    place = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    with log, pytest.MonkeyPatch.context() as environment, subprocess.Popen(command, stderr=log, stdout=log) as server:
        for name, value in {**keys, "AWS_ENDPOINT_URL": place}.items():
            environment.setenv(name, value)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{place}/bucket", method="PUT")).close()
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                pytest.fail("no moto server came up")
            yield "s3://bucket"
        finally:
            S3FileSystem.clear_instance_cache()
            server.terminate()


def test_a_rerun_with_nothing_to_do_removes_what_a_killed_job_had_fetched(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ((study / "short.nii.gz").as_uri(), tmp_path / "out")
    assert summary(*places)["ran"] == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / TemporaryFolder().path.parent.name.replace(f"-{os.getpid()}-", "-4194999-")
    left.mkdir()
    assert summary(*places)["ran"] == 0
    assert not left.exists()


def test_a_batch_from_url_to_url_fails_skips_and_redoes_as_any_other(study: Path, tmp_path: Path, bucket: str) -> None:
    from s3fs import S3FileSystem

    store = S3FileSystem()
    store.put(f"{study}/", "bucket/in/", recursive=True)
    places = (f"{bucket}/in", f"{bucket}/out", "--state-dir", tmp_path / "state")
    first = summary(*places)
    assert (first["done"], first["exit_code"], first["output"]) == (2, 8, f"{bucket}/out")
    (failed,) = first["failed"]
    assert (failed["class"], failed["source"]) == ("UnreadableError", f"{bucket}/in/short.nii.gz")
    assert failed["message"].startswith(failed["source"])
    assert store.find("bucket/out") == ["bucket/out/p0/ct.nii.gz", "bucket/out/p1/s1.nii.gz"]
    store.get_file("bucket/out/p1/s1.nii.gz", str(tmp_path / "s1.nii.gz"))
    assert read_volume(tmp_path / "s1.nii.gz").shape[2] == 11
    again = summary(*places)
    assert (again["ran"], again["kept"], again["exit_code"]) == (0, 3, 8)
    store.put_file(str(study / "p1" / "s1" / "0000.dcm"), "bucket/in/p1/s1/0000.dcm")
    store.rm_file("bucket/out/p0/ct.nii.gz")
    assert planned(*places) == ["p0/ct.nii.gz", "p1/s1.nii.gz"]
    assert not (tmp_path / "state" / "report").exists()
    assert not [p for p in (tmp_path / "state").rglob("*.json*") if "SECRET" in p.read_text()]
    foreign = run("batch", *places[:2], "--state-dir", tmp_path / "other", *BATCH, "--dry-run")
    assert "no job of this batch wrote it" in foreign.stderr


def test_what_is_not_in_the_store_gets_one_line(tmp_path: Path, bucket: str) -> None:
    absent = run("upsample", f"{bucket}/none.nii", "-o", tmp_path / "x.nii")
    assert (absent.exit_code, "no such file" in absent.stderr) == (3, True)
    nowhere = run("batch", tmp_path, "s3://none/out", "--state-dir", tmp_path / "state")
    assert (nowhere.exit_code, "no bucket none" in nowhere.stderr) == (5, True)
