"""Targets appear whole or not at all, also where a folder must stay in its place, and after a kill."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated, saved_series

import saint_cli
from saint_cli.errors import OutputError
from saint_cli.io import (
    SeriesFormat,
    atomic,
    check_result,
    commit_together,
    open_series,
    partial_names,
    read_volume,
    write_volume,
)
from saint_cli.io.atomic import open_atomic_file, open_atomic_folder
from saint_cli.io.output_checks import check_target_path
from saint_cli.runtime import process_identity
from saint_cli.volume import Storage, Volume
from saint_cli.volume.fourth_axis import FourthAxis, VolumeMark

NOBODY = 2**22 + 1
"""A process number that Linux never gives."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that counts as a mount point."""
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(atomic, "_is_mount", lambda path: path.resolve() == folder)
    return folder


def dense(folder: Path, factor: int = 2) -> Volume:
    if not folder.exists():
        fabricate.save(fabricate.slices(), folder)
    return interpolated(read_volume(folder), factor)


def fill(folder: Path, names: str, *, overwrite: bool = False) -> None:
    with open_atomic_folder(folder, overwrite=overwrite) as inside:
        for name in names:
            (inside / name).write_text(names)


def test_an_empty_mount_point_is_filled_with_the_series(place: Path, tmp_path: Path) -> None:
    volume, before = dense(tmp_path / "s"), place.stat().st_ino
    check_target_path(place)
    write_volume(volume, place)
    assert place.stat().st_ino == before
    assert len(saved_series(place)) == len(list(place.iterdir())) == 11
    np.testing.assert_array_equal(read_volume(place).voxels, volume.voxels)
    with pytest.raises(OutputError, match="not empty"):
        write_volume(volume, place)
    write_volume(dense(tmp_path / "s", 3), place, overwrite=True)
    assert len(list(place.iterdir())) == 16


def test_the_working_folder_can_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = dense(tmp_path / "s")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    check_target_path(Path())
    write_volume(volume, Path())
    assert len(list((tmp_path / "here").iterdir())) == 11


def test_free_space_is_that_of_the_mounted_disk(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, asked = dense(tmp_path / "s"), []
    usage = atomic.shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: asked.append(Path(path)) or usage)
    assert volume.header.derivation is not None
    check_result(read_volume(tmp_path / "s"), volume.header.derivation.grid, place)
    assert asked == [place]


def test_a_failure_in_a_folder_that_stays_leaves_what_was_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place, "abc")
    rename, count = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        count.append(target)
        if len(count) == 5:  # three old names gone, one new one there
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="No space left"):
        fill(place, "axyz", overwrite=True)
    assert {file.name: file.read_text() for file in place.iterdir()} == dict.fromkeys("abc", "abc")


def test_an_interrupt_while_a_folder_is_filled_leaves_it_empty(place: Path) -> None:
    def interrupted() -> None:
        with open_atomic_folder(place) as inside:
            (inside / "a").write_text("half")
            assert partial_names.is_partial_name(inside.name)
            assert inside.parent == place
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(place.iterdir())


def test_a_bind_mount_of_the_same_disk_is_known_by_the_list_of_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my out"
    folder.mkdir()
    assert not atomic.is_irreplaceable(folder)
    listed = str(folder).replace(" ", "\\040")
    (tmp_path / "mountinfo").write_text(f"42 27 254:0 /data {listed} rw,relatime - ext4 /dev/vda rw\n")
    monkeypatch.setattr(atomic, "MOUNTS", tmp_path / "mountinfo")
    assert atomic.is_irreplaceable(folder)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(saint_cli.__file__).parents[1])}

KILLED = """
import os, signal, sys
from pathlib import Path
from saint_cli.io import atomic
target = Path(sys.argv[1])
if sys.argv[2] == "mount":
    atomic._is_mount = lambda path: path == target
writer = atomic.open_atomic_file if sys.argv[2] == "file" else atomic.open_atomic_folder
with writer(target) as work:
    if sys.argv[2] != "file":
        (work / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder", "mount"])
def test_what_a_killed_run_left_goes_with_the_next_run_to_the_same_target(kind: str, place: Path) -> None:
    target = place if kind == "mount" else place.with_name("target")
    home = place if kind == "mount" else place.parent
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target), kind], env=ENVIRONMENT, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = home.glob(".saint-*.partial")
    check_target_path(target.with_suffix(".nii") if kind == "file" else target)
    if kind == "file":
        with open_atomic_file(target) as file:
            file.write(b"whole")
    else:
        fill(target, "abc")
    assert not left.exists()
    assert not list(home.glob(".saint-*"))


def of_process(name: str, pid: int, start: int, **other: str) -> str:
    """A name of this process as another one would have made it."""
    host, _, _, boot, space = process_identity.own_mark().split("-")
    fields = {"host": host, "boot": boot, "space": space} | other
    return name.replace(
        process_identity.own_mark(), f"{fields['host']}-{pid}-{start}-{fields['boot']}-{fields['space']}"
    )


def test_only_what_a_process_of_this_machine_left_that_is_gone_is_removed(tmp_path: Path) -> None:
    name, own = partial_names.make_partial_name(tmp_path / "out.nii"), process_identity.own_mark()
    parent, start = os.getppid(), process_identity._read_start(os.getppid())
    assert start is not None
    kept = {
        name,
        of_process(name, parent, start),
        of_process(name, NOBODY, start, host="0" * 8),
        of_process(name, NOBODY, start, space="0" * 8),  # a container's numbers are others
        ".saint-mine.partial",
        name.replace(own, own[1:]),
    }
    gone = {
        of_process(name, NOBODY, start),
        of_process(name, parent, start + 1),  # the number was given again
        of_process(name, parent, start, boot="0" * 8),
        of_process(partial_names.make_partial_name(tmp_path / "other.nii"), NOBODY, start),
    }
    for one in kept | gone:
        (tmp_path / one).write_text("half")
    with open_atomic_file(tmp_path / "out.nii") as file:
        file.write(b"whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {"out.nii", *kept}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_another_machine_writes_in_a_folder_stays_when_the_folder_is_written(
    overwrite: bool, tmp_path: Path
) -> None:
    volume, target = dense(tmp_path / "s"), tmp_path / "out"
    if overwrite:
        write_volume(dense(tmp_path / "s", 3), target)
    theirs = target / of_process(partial_names.make_partial_name(target), NOBODY, 1, host="0" * 8)
    theirs.mkdir(parents=True)
    (theirs / "IM00001.dcm").write_text("half")
    check_target_path(target, overwrite=overwrite)
    write_volume(volume, target, overwrite=overwrite)
    assert (theirs / "IM00001.dcm").read_text() == "half"
    assert len(list(target.glob("*.dcm"))) == 11
    assert {file.name for file in target.iterdir() if partial_names.is_partial_name(file.name)} == {theirs.name}


@pytest.mark.parametrize("kind", ["volume", "series"])
def test_a_file_that_came_while_a_result_was_written_is_replaced_only_where_that_was_asked_for(
    kind: str, tmp_path: Path
) -> None:
    volume, target = fabricate.volume(), tmp_path / "out.nii"

    def write(*, overwrite: bool) -> None:
        form = SeriesFormat((VolumeMark(), VolumeMark()), FourthAxis(), Storage(volume.voxels.dtype))
        with ExitStack() as stack:
            if kind == "series":
                stack.enter_context(open_series(form, target, overwrite=overwrite))(volume)
            else:
                stack.enter_context(commit_together())
                write_volume(volume, target, overwrite=overwrite)
            target.write_text("of another run")

    with pytest.raises(OutputError, match=r"appeared while.*`overwrite=True`") as caught:
        write(overwrite=False)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["out.nii"]
    assert target.read_text() == "of another run"
    write(overwrite=True)
    assert target.stat().st_size > 1000


def test_a_series_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    fabricate.save(fabricate.slices(modality="MR"), folder / partial_names.make_partial_name(folder))
    assert read_volume(folder).shape == (16, 12, 6)


def test_what_was_replaced_when_the_power_went_is_kept_until_the_new_one_stands(tmp_path: Path) -> None:
    target = tmp_path / "out"
    old = tmp_path / partial_names.make_partial_name(target, "old").replace(f"-{os.getpid()}-", f"-{NOBODY}-")
    fill(old, "abc")
    with pytest.raises(OutputError, match="full"), open_atomic_folder(target):
        raise OSError(28, "disk full")
    assert len(list(old.iterdir())) == 3
    fill(target, "xy")
    assert not old.exists()


DAMAGED_LISTS = {
    "nested": lambda path: path.write_text("[" * 100_000),
    "other types": lambda path: path.write_text('{"aside": [[1, 2]], "new": 3, "known": {}}'),
    "name with NUL": lambda path: path.write_text(
        json.dumps({"aside": [["a\0", str(path)]], "new": [[str(path), "b"]], "known": {}})
    ),
    "name that none can be": lambda path: path.write_text(
        json.dumps({"aside": [["\ud800", str(path)]], "new": [[str(path), "b"]], "known": {}})
    ),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "circle": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", DAMAGED_LISTS)
def test_a_list_of_names_that_is_damaged_is_removed_and_nothing_renamed(kind: str, tmp_path: Path) -> None:
    DAMAGED_LISTS[kind](tmp_path / of_process(partial_names.make_partial_name(tmp_path / "x", "names"), NOBODY, 1))
    (tmp_path / "kept").write_text("")
    partial_names.remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
