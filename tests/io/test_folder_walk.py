"""Folders are walked whatever lies in them, and nothing but regular files is opened."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from saint_cli.io import folder_walk, partial_names
from saint_cli.io.folder_walk import walk_folders

DEEP = 1500


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Folders nested deeper than Python nests calls, with a file in the last."""
    start = Path.cwd()
    os.chdir(tmp_path)
    for _ in range(DEEP):
        Path("d").mkdir()
        os.chdir("d")
    Path("leaf.txt").touch()
    os.chdir(start)
    yield tmp_path
    for _ in range(DEEP):  # pytest removes folders by calls within calls
        os.chdir(tmp_path)
        (tmp_path / "d").rename(tmp_path / "outer")
        if (tmp_path / "outer" / "d").exists():
            (tmp_path / "outer" / "d").rename(tmp_path / "d")
        else:
            (tmp_path / "outer" / "leaf.txt").unlink()
        (tmp_path / "outer").rmdir()
    os.chdir(start)


def names(root: Path) -> tuple[list[str], list[str]]:
    """The files below a folder in the order of the walk, and the folders that could not be listed."""
    closed: list[str] = []
    walk = walk_folders(root, lambda path, name: True, lambda error: closed.append(str(error.filename)))
    return [f"{folder.removeprefix(str(root))}/{name}" for folder, inside in walk for name in inside], closed


def test_folders_are_walked_however_deep_they_are_nested(deep: Path) -> None:
    found, closed = names(deep)
    assert found == ["/d" * DEEP + "/leaf.txt"]
    assert not closed
    partial_names.remove_all_stale(deep)


def test_each_folder_is_entered_once_in_order_though_links_lead_in_circles(tmp_path: Path) -> None:
    for name in ("b/2", "a/1", "a/c/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "back").symlink_to("..")
    (tmp_path / "again").symlink_to("b")
    (tmp_path / "loop").symlink_to("loop")
    found, closed = names(tmp_path)
    assert found == ["/loop", "/a/1", "/a/c/3", "/again/2"]
    assert not closed
    assert "too many levels" in folder_walk.explain_unusable(tmp_path / "loop")


def test_a_folder_that_cannot_be_listed_to_its_end_keeps_what_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").touch()

    class Breaking:
        """A listing that breaks off."""

        def __enter__(self) -> Iterator[object]:
            with os_scandir(tmp_path) as found:
                yield_first = list(found)[:1]

            def listed() -> Iterator[object]:
                yield from yield_first
                raise OSError(errno.EIO, "Input/output error")

            return listed()

        def __exit__(self, *given: object) -> None:
            pass

    os_scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: Breaking())
    assert names(tmp_path) == (["/a"], [str(tmp_path)])
