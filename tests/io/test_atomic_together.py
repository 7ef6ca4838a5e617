"""Result, page and pictures take their names together: whatever kills or fails a run, the next one succeeds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import saint_cli
from saint_cli.errors import OutputError
from saint_cli.io import atomic, commit_together, partial_names
from saint_cli.io.atomic import open_atomic_file, open_atomic_folder
from saint_cli.io.partial_names import Renames

FORMS = ("file", "folder", "replaced", "mount", "replaced mount")
"""What the result is: a file, a folder of slices, one in place of an earlier one, or one in a folder that stays."""

MOST = 60
"""More than there are moments at which a run can be killed."""

NOBODY = 2**22 + 1
"""A process number that Linux never gives."""

KILLS = """
import os, sys
from pathlib import Path
import runs
for form in runs.FORMS:
    for number in range(1, runs.MOST):
        home = Path(sys.argv[1], f"{form} {number}")
        runs.prepare(home, form)
        child = os.fork()
        if not child:
            runs.disturb(number, lambda: os.kill(os.getpid(), 9))
            runs.run(home, form)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    print(number, end=" ")
"""


def disturb(number: int, act: Callable[[], None], patch: Callable[..., None] = setattr) -> None:
    """Have ``act`` called in place of the nth change of a name, flush to disk or removal."""
    count: list[int] = []

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            count.append(1)
            if len(count) == number:
                act()
            return function(*arguments, **options)

        return call

    patch(Path, "rename", watched(Path.rename))
    patch(Path, "unlink", watched(Path.unlink))
    patch(os, "fsync", watched(lambda file: None))


def prepare(home: Path, form: str) -> None:
    """What is there before the run."""
    home.mkdir()
    if form not in ("file", "folder"):
        (home / "result").mkdir()
    for name in "abc" if "replaced" in form else "":
        (home / "result" / name).write_text("old")


def run(home: Path, form: str) -> None:
    """What a command does with files: tidy and refuse, then write everything."""
    page, error, result = home / "pages" / "page.html", home / "error.nii", home / "result"
    atomic._is_mount = lambda path: "mount" in form and path == result  # type: ignore[assignment]
    for folder in (home, page.parent, result):
        partial_names.remove_stale(folder)
    new = () if "replaced" in form else (page, error, *([] if form == "mount" else [result]))
    if any(map(os.path.lexists, new)) or (form == "mount" and list(result.iterdir())):
        raise OutputError("exists already")
    with commit_together():
        for path in (page, error, *([result] if form == "file" else [])):
            with open_atomic_file(path) as file:
                file.write(b"new")
        if form != "file":
            with open_atomic_folder(result, overwrite="replaced" in form) as folder:
                for name in "bcd":
                    (folder / name).write_text("new")


def listed(home: Path) -> dict[str, str]:
    """All files, hidden ones too, with what they hold."""
    return {str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def wanted(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of a run that is not disturbed."""
    monkeypatch.setattr(atomic, "_is_mount", atomic._is_mount)
    prepare(tmp_path / "undisturbed", form)
    run(tmp_path / "undisturbed", form)
    return listed(tmp_path / "undisturbed")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Where runs were killed at one moment after the other, and how many of each form; the last was not disturbed."""
    top = tmp_path_factory.mktemp("killed")
    (top / "runs.py").write_bytes(Path(__file__).read_bytes())
    environment = {**os.environ, "PYTHONPATH": f"{Path(saint_cli.__file__).parents[1]}{os.pathsep}{top}"}
    words = [sys.executable, "-c", KILLS, str(top)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return top, dict(zip(FORMS, map(int, done.stdout.split()), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_wherever_a_run_is_killed_the_next_one_succeeds_and_leaves_nothing_else(
    form: str, wanted: dict[str, str], killed: tuple[Path, dict[str, int]]
) -> None:
    top, counts = killed
    again = []
    for number in range(1, counts[form]):
        home = top / f"{form} {number}"
        try:
            run(home, form)
        except OutputError:  # killed after the last name was taken, so that everything is there
            again.append(number)
        assert listed(home) == wanted, number
    assert 5 < counts[form] < MOST - 1
    assert len(again) < 3


@pytest.mark.parametrize("form", FORMS)
def test_whatever_fails_leaves_what_was_there(
    form: str, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    failed = 0
    for number in range(1, MOST):
        home = tmp_path / str(number)
        prepare(home, form)
        before = listed(home)
        with monkeypatch.context() as patch:
            disturb(number, full, patch.setattr)
            try:
                run(home, form)
            except (OSError, OutputError):
                failed += 1
                assert listed(home) == before
                assert {path.name for path in home.iterdir()} <= {"result"}
        if listed(home) == wanted:
            break
    assert 5 < failed < MOST - 2


def of_nobody(name: str) -> str:
    """The name that a process would have given which runs no more."""
    return name.replace(f"-{os.getpid()}-", f"-{NOBODY}-")


def test_what_took_the_name_of_a_page_since_a_kill_is_not_touched(tmp_path: Path) -> None:
    page, result = tmp_path / "page.html", tmp_path / "result"
    hidden = [tmp_path / of_nobody(partial_names.make_partial_name(path)) for path in (page, result)]
    for path in hidden:
        path.write_text("new")
    renames = Renames([], list(zip(hidden, (page, result), strict=True)))
    left = tmp_path / of_nobody(partial_names.make_partial_name(result, "names"))
    left.write_bytes(renames.encode())
    hidden[0].rename(page)
    page.unlink()
    page.write_text("the user's own")
    partial_names.remove_stale(tmp_path)
    assert listed(tmp_path) == {"page.html": "the user's own"}


def test_a_kill_is_set_right_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    hidden = [Path(of_nobody(partial_names.make_partial_name(Path(name)))) for name in ("page.html", "result")]
    for path in hidden:
        path.write_text("new")
    left = Path(of_nobody(partial_names.make_partial_name(Path("result"), "names")))
    left.write_bytes(Renames([], [(hidden[0], Path("page.html")), (hidden[1], Path("result"))]).encode())
    hidden[0].rename("page.html")
    monkeypatch.chdir(tmp_path)
    partial_names.remove_stale(tmp_path / "there")
    assert not list((tmp_path / "there").iterdir())


def test_a_list_of_names_that_was_cut_short_or_is_of_something_else_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("whole")
    for content in (b"", b'{"aside": [["a"', b"[]", b'{"aside": 1, "new": 2, "known": 3}', b"\xff"):
        left = tmp_path / of_nobody(partial_names.make_partial_name(tmp_path / "result", "names"))
        left.write_bytes(content)
        partial_names.remove_stale(tmp_path)
        assert listed(tmp_path) == {"page.html": "whole"}


def test_a_list_of_names_that_somebody_made_up_touches_nothing_but_what_bears_its_mark(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    bait, other = (
        tmp_path / partial_names.make_partial_name(tmp_path / "bait"),
        tmp_path / partial_names.make_partial_name(tmp_path / "result", "old"),
    )
    for file in (bait, other):  # of this process, which runs
        file.write_text("in use")
    left = tmp_path / of_nobody(partial_names.make_partial_name(tmp_path / "result", "names"))
    gone = tmp_path / bait.name.replace(f"-{os.getpid()}-", f"-{NOBODY}-")
    gone.touch()
    last = (tmp_path / f"{gone.name[:-8]}x", tmp_path / "x")
    for aside, new in (
        ([], [(gone.with_name(f"{gone.name}x"), tmp_path / "theirs"), last]),
        ([], [(tmp_path / "absent", tmp_path / "theirs"), (bait, tmp_path / "x")]),
        ([(tmp_path / "absent", tmp_path / "theirs")], [(gone, tmp_path / "x")]),
        ([(tmp_path / "absent", other)], [(gone, tmp_path / "x")]),
    ):
        for known in ({}, {str(before): [0, 0] for before, _ in new}):
            pairs = {"aside": aside, "new": new}
            words = {name: [[str(p) for p in pair] for pair in found] for name, found in pairs.items()}
            left.write_text(json.dumps({**words, "known": known}))
            gone.touch()
            partial_names.remove_stale(tmp_path)
            assert listed(tmp_path) == {"theirs": "precious", bait.name: "in use", other.name: "in use"}


def test_one_of_several_takes_its_name_before_the_others_when_asked_for(tmp_path: Path) -> None:
    with commit_together():
        for name in "abc":
            with open_atomic_file(tmp_path / name) as file:
                file.write(b"whole")
        atomic.commit_now(tmp_path / "b")
        assert {path.name for path in tmp_path.iterdir() if not partial_names.is_partial_name(path.name)} == {"b"}
    assert set(listed(tmp_path)) == set("abc")
