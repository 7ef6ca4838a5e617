"""The process that decodes by GDCM: it ends with the one that started it, and leaves nothing."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from saint_cli.io.dicom import gdcm_worker
from saint_cli.runtime import temporary

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

PARENT = """
import sys, time
from pathlib import Path
from saint_cli.io.dicom import decoder as dicom_decoder
decoder = dicom_decoder.Decoder()
try:
    decoder.decode(b"no DICOM", (2, 2))
except dicom_decoder.DecoderError as error:
    print(decoder._worker.process.pid, error, flush=True)
{after}
"""


def run_parent(tmp_path: Path, after: str = "time.sleep(60)") -> tuple[subprocess.Popen[str], int]:
    """A process that has asked for a frame, and the id of the process that decodes for it."""
    program = PARENT.format(after=after)
    env = {**ENV, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline().split()[0])


def wait_until_gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] == "Z":
                return True  # of whoever took it over
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_ends_with_a_parent_that_is_killed_and_takes_its_file_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, worker = run_parent(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    parent.kill()
    parent.communicate()
    assert wait_until_gone(worker)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {temporary.OWNER_FILE}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    temporary.remove_abandoned()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_does_not_outlive_a_parent_that_forgets_it(tmp_path: Path) -> None:
    parent, worker = run_parent(tmp_path, after="")
    parent.communicate(timeout=60)
    assert wait_until_gone(worker)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="no sessions")
def test_an_interrupt_at_the_terminal_is_for_its_parent_alone(tmp_path: Path) -> None:
    parent, worker = run_parent(tmp_path)
    assert os.getsid(worker) != os.getsid(parent.pid)
    parent.kill()
    parent.communicate()


def test_it_loads_neither_numpy_nor_saint() -> None:
    program = (
        f"import runpy, sys; runpy.run_path({gdcm_worker.__file__!r});"
        "assert not {'numpy', 'SimpleITK', 'saint_cli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], env=ENV, check=True)
