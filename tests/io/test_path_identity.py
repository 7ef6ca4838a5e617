"""One file under several names is one file: links, hard links, bind mounts and other spellings."""

import os
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import fabricate
import pytest

from saint_cli.cli.parsing import check_new_file
from saint_cli.errors import OutputError, SaintError, UsageError
from saint_cli.io import ExtraOutput, check_outputs, read_volume, write_volume
from saint_cli.io.path_identity import check_distinct, identify_entry, identify_path, is_same_file, lies_in

PICTURES = (".png", ".jpg")


def symbolic(path: Path) -> Path:
    other = path.with_name(f"link to {path.name}")
    other.symlink_to(path.name)
    return other


def hard(path: Path) -> Path:
    other = path.with_name(f"other {path.name}")
    os.link(path, other)
    return other


def dotted(path: Path) -> Path:
    return path.parent / "sub" / ".." / path.name


def through_a_link(path: Path) -> Path:
    (path.parent / "here").symlink_to(path.parent)
    return path.parent / "here" / path.name


def run(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """What a job does of files."""
    check_outputs(source, target, [], overwrite=overwrite)
    write_volume(fabricate.interpolated(read_volume(source), 2), target, overwrite=overwrite)


NAMES: dict[str, Callable[[Path], Path]] = {
    "symbolic link": symbolic,
    "hard link": hard,
    "dots": dotted,
    "a folder that is a link": through_a_link,
    "its own name": lambda path: path,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("role", ["output", "uncertainty"])
def test_the_input_is_never_an_output_by_any_name(role: str, name: str, home: Path) -> None:
    source = home / "scan.nii"
    write_volume(fabricate.volume(), source)
    before, other = source.read_bytes(), NAMES[name](source)
    target, beside = home / "out.nii", []
    if role == "output":
        target = other
    else:
        beside = [ExtraOutput("--uncertainty", other)]
    with pytest.raises(UsageError, match="is the input itself"):
        check_outputs(source, target, beside, overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_files_beside_the_result_are_distinguished_by_any_name(name: str, home: Path) -> None:
    for file in ("scan.nii", "a.png", "weights"):
        (home / file).write_text(file)
    other = NAMES[name](home / "a.png")
    beside = [ExtraOutput("--preview", home / "a.png", PICTURES), ExtraOutput("the thumbnail", other, PICTURES)]
    with pytest.raises(UsageError, match=r"the thumbnail .* is also what --preview names"):
        check_outputs(home / "scan.nii", home / "out.nii", beside, overwrite=True)
    (home / "out.nii").symlink_to("weights")
    read = {home / "weights": "the weights file"}
    with pytest.raises(UsageError, match=r"out\.nii is the weights file"):
        check_outputs(home / "scan.nii", home / "out.nii", [], overwrite=True, inputs=read)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_leads_nowhere_exists_and_is_replaced_itself(overwrite: bool, home: Path) -> None:
    write_volume(fabricate.volume(), home / "scan.nii")
    link, elsewhere = home / "out.nii", home / "elsewhere.nii"
    link.symlink_to(elsewhere)
    if not overwrite:
        with pytest.raises(OutputError, match=r"out\.nii: exists already"):
            check_outputs(home / "scan.nii", link, [])
        with pytest.raises(OutputError, match=r"out\.nii: exists already"):
            check_outputs(home / "scan.nii", home / "other.nii", [ExtraOutput("--uncertainty", link)])
        return
    check_outputs(home / "scan.nii", link, [], overwrite=True)
    write_volume(fabricate.volume(), link, overwrite=True)
    assert not link.is_symlink()
    assert not elsewhere.exists()


def test_a_loop_of_links_is_refused_in_one_line(home: Path) -> None:
    (home / "a.nii").symlink_to("b.nii")
    (home / "b.nii").symlink_to("a.nii")
    write_volume(fabricate.volume(), home / "scan.nii")
    for source, target in ((home / "scan.nii", home / "a.nii"), (home / "a.nii", home / "out.nii")):
        with pytest.raises(SaintError):
            run(source, target)


def test_overwriting_a_hard_link_of_the_input_leaves_the_input_as_it_was(home: Path) -> None:
    source = home / "scan.nii"
    write_volume(fabricate.volume(), source)
    before, other = source.read_bytes(), hard(source)
    write_volume(fabricate.volume((24, 20, 7)), other, overwrite=True)
    assert source.read_bytes() == before


def test_a_series_is_never_written_into_the_folder_of_its_slices_by_any_name(home: Path) -> None:
    source = fabricate.save(fabricate.slices(), home / "study")
    (home / "link").symlink_to(source)
    for target in (source, dotted(source), home / "link" / "out", dotted(source) / "deep" / "out"):
        with pytest.raises(SaintError, match=r"input|source files|link"):
            run(source, target, overwrite=True)
    with pytest.raises(UsageError, match="folder that the input lies in"):
        check_outputs(source / "0000.dcm", dotted(source), [], overwrite=True)
    assert len(list(source.rglob("*"))) == 6


@pytest.fixture
def mounted(home: Path) -> Iterator[Path]:
    """A folder that a bind mount shows under another name."""
    (home / "real").mkdir()
    (home / "mount").mkdir()
    words = ["mount", "--bind", str(home / "real"), str(home / "mount")]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip("bind mounts are not allowed here")
    yield home / "mount"
    subprocess.run(["umount", str(home / "mount")], check=True)


def test_a_bind_mount_hides_neither_the_input_nor_its_folder(mounted: Path, home: Path) -> None:
    write_volume(fabricate.volume(), home / "real" / "scan.nii")
    source = fabricate.save(fabricate.slices(), home / "real" / "study")
    volume = fabricate.interpolated(read_volume(source), 2)
    with pytest.raises(UsageError, match="is the input itself"):
        check_outputs(home / "real" / "scan.nii", mounted / "scan.nii", [], overwrite=True)
    with pytest.raises(UsageError, match="is the input itself"):
        check_outputs(source, mounted / "study", [], overwrite=True)
    with pytest.raises(OutputError, match="holds the source files or lies among them"):
        write_volume(volume, mounted / "study" / "out")
    with pytest.raises(UsageError, match="lies inside the output folder"):
        check_outputs(source, mounted / "out", [ExtraOutput("--uncertainty", home / "real" / "out" / "e.nii")])


def test_what_does_not_exist_yet_is_compared_by_its_folder_and_by_letters_of_any_spelling(home: Path) -> None:
    composed = unicodedata.normalize("NFC", "Übersicht.nii")
    spellings = [home / "sub" / composed, home / "sub" / unicodedata.normalize("NFD", composed).upper()]
    (home / "link").symlink_to("sub")
    spellings.append(home / "link" / "." / composed)
    assert len({identify_path(path) for path in spellings}) == 1
    with pytest.raises(UsageError, match=r"--json-file .* is also what --figure names"):
        check_distinct([(f"--figure {spellings[0]}", spellings[0]), (f"--json-file {spellings[1]}", spellings[1])], {})
    assert lies_in(home / "link" / "new" / "x", home / "sub")
    assert not lies_in(home / "sub2", home / "sub")
    assert not is_same_file(home / "a", home / "b")


def test_a_descriptor_is_a_name_of_its_file(home: Path) -> None:
    path = home / "scan.nii"
    with path.open("wb") as file:
        assert is_same_file(path, Path(f"/proc/self/fd/{file.fileno()}"))


def test_hard_links_are_entries_of_their_own_and_so_may_each_be_replaced(home: Path) -> None:
    (home / "a").write_text("same")
    other = hard(home / "a")
    assert identify_path(home / "a") == identify_path(other)
    assert identify_entry(home / "a") != identify_entry(other)
    assert identify_entry(home / "A") == identify_entry(home / "sub" / ".." / "a")


def test_a_folder_whose_name_is_a_link_that_leads_nowhere_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OutputError, match="link is not a folder"):
        check_outputs(tmp_path / "in.nii", tmp_path / "link" / "out.nii", [])
    with pytest.raises(OutputError, match="no file of this name can be written"):
        check_new_file("--figure", tmp_path / "link" / "out.png", ".png", overwrite=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_path_of_a_thousand_folders_is_judged_whether_it_exists_or_not(tmp_path: Path) -> None:
    deep = tmp_path / ("d/" * 1000) / "scan.nii"
    assert lies_in(deep, tmp_path)
    assert lies_in(deep, tmp_path / "d" / "d")
    assert not lies_in(deep, tmp_path / "e")
    assert not lies_in(tmp_path, deep)


def test_a_link_that_leads_nowhere_counts_as_existing(tmp_path: Path) -> None:
    target = tmp_path / "out.nii"
    target.symlink_to("nowhere/out.nii")
    with pytest.raises(OutputError, match=r"exists already.*`overwrite=True`"):
        write_volume(fabricate.volume(), target)
    assert target.is_symlink()
    write_volume(fabricate.volume(), target, overwrite=True)
    assert not target.is_symlink()
