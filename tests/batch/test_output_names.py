import os
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.output_names import name_outputs, strip_output_ending
from saint_cli.batch.search import Scan
from saint_cli.errors import UsageError
from saint_cli.options.grid import GridRequest
from saint_cli.options.job import JobSettings, make_settings
from saint_cli.options.labels import LabelSettings


def scans(*paths: str) -> list[Scan]:
    return [Scan(path, f"{path} number {n}", Path(path), JobSettings()) for n, path in enumerate(paths)]


def test_names_mirror_the_tree() -> None:
    assert name_outputs(scans("a/b", "c"), "{path}", "nii.gz") == ["a/b.nii.gz", "c.nii.gz"]


def test_equal_names_get_digits_of_their_own_that_do_not_depend_on_the_others() -> None:
    same = scans("a", "A", "a")
    names = name_outputs(same, "{path}", "mha")
    assert len(set(names)) == 3
    assert name_outputs(same[::-1], "{path}", "mha") == names[::-1]
    assert name_outputs([*same, *scans("b")], "{path}", "mha") == [*names, "b.mha"]


def test_names_that_some_file_systems_take_for_one_are_kept_apart() -> None:
    names = name_outputs(
        scans(unicodedata.normalize("NFC", "é/É"), unicodedata.normalize("NFD", "É/é")), "{path}", "mha"
    )
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == 2


def test_a_dicom_folder_never_holds_another_result() -> None:
    outer, inner = name_outputs(scans("a", "a/b"), "{path}", "dicom")
    assert outer.startswith("a-")
    assert inner == "a/b"
    assert name_outputs(scans("scan.v2"), "{path}", "dicom") == ["scan_v2"]


def test_a_template_names_results() -> None:
    assert name_outputs(scans("p/s"), "{folder}/x4_{name}", "nrrd") == ["p/x4_s.nrrd"]
    (name,) = name_outputs(scans("p/s"), "{series}", "nrrd")
    assert len(name) == len("01234567.nrrd")


@pytest.mark.parametrize(
    "template", ["{patient}", "{", "{0}", "../{name}", "/x/{name}", "{path.x}", "{path[a]}", "{name:>9999999999}"]
)
def test_a_template_that_leads_elsewhere_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="--name-template"):
        name_outputs(scans("a"), template, "mha")


def test_pages_and_manifest_are_not_overwritten() -> None:
    assert name_outputs(scans("report"), "{path}", "dicom")[0].startswith("report-")
    assert name_outputs(scans("Index"), "{path}", "nrrd")[0].startswith("Index-")  # whose page would be the list of all


def test_the_name_is_the_target_without_its_ending() -> None:
    assert [strip_output_ending(target) for target in ("a/b.nii.gz", "c.mha", "d")] == ["a/b", "c", "d"]


@pytest.mark.parametrize("letter", ["a", "\u00fc", "\U0001f9e0", "\udcfc"])
@pytest.mark.parametrize("form", ["nii.gz", "mha", "dicom"])
def test_names_are_cut_to_what_a_file_system_takes_and_stay_distinct(letter: str, form: str) -> None:
    width = len(os.fsencode(letter))
    long = [letter * ((255 - 4) // width), letter * ((255 - 5) // width)]
    names = name_outputs(scans(*long, f"folder/{long[0]}"), "{path}", form)
    assert len(set(names)) == 3
    for name in names:
        assert max(len(os.fsencode(part)) for part in name.split("/")) <= 255
        assert len(os.fsencode(f"{strip_output_ending(name)}.html")) <= 255 + len("folder/")
    assert name_outputs(scans(letter * (200 // width)), "{path}", form)[0].startswith(letter * (200 // width))
    (name,) = name_outputs(scans("a/b"), f"{letter * (300 // width)}/{{name}}", form)
    assert len(os.fsencode(name.split("/")[0])) <= 255


def test_of_a_path_that_is_too_long_the_innermost_folders_are_left_out() -> None:
    deep = "ddd/" * 900
    names = name_outputs(scans(f"{deep}a", f"{deep}b", f"{deep}ddd/a"), "{path}", "nii.gz")
    assert len(set(names)) == 3
    assert all(name.startswith("ddd/ddd/") and len(name) <= 3000 + len(".nii.gz") for name in names)
    assert [Path(name).name[:2] for name in names] == ["a-", "b-", "a-"]
    assert name_outputs(scans(f"{'d/' * 1000}a"), "{path}", "mha") == [f"{'d/' * 1000}a.mha"]


def test_one_scan_with_several_options_gets_a_name_for_each_that_does_not_depend_on_the_others() -> None:
    scan = scans("a")[0]
    labels = [LabelSettings(labels="seg.nii", segments=(n,)) for n in (1, 2)]
    grids = [replace(scan, settings=JobSettings(grid=GridRequest(factor=factor))) for factor in (2, 4)]
    variants = [*grids, *(replace(scan, settings=JobSettings(label_settings=one)) for one in labels)]
    names = name_outputs(variants, "{path}", "mha")
    assert len(set(names)) == 4
    assert name_outputs(variants[::-1], "{path}", "mha") == names[::-1]


def files(*sources: str, **options: Any) -> list[Scan]:
    """Files that were named one by one."""
    return [Scan(Path(source).stem, Path(source).name, Path(source), make_settings(options)) for source in sources]


def name_found(*inputs: Path, **options: Any) -> dict[str, str]:
    """The names of results by the last three parts of the paths of the files that inputs stand for."""
    roots = [(root.location, root.place) for root in expand_inputs(inputs) if isinstance(root.location, Path)]
    scans = [Scan(path.stem, path.name, path, make_settings(options), place=place) for path, place in roots]
    names = name_outputs(scans, "{path}", "mha")
    return {"/".join(path.parts[-3:]): name for (path, _), name in zip(roots, names, strict=True)}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_names_of_files_of_a_pattern_stay_when_others_come_options_change_or_all_move(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    touch(trial, "p1/s1/ct.nii", "p1/s2/ct.nii", "p1/s1/mr.nii")
    names = name_found(trial / "**" / "*.nii")
    assert names["p1/s1/mr.nii"] == "mr.mha"
    assert len(set(names.values())) == 3
    touch(trial, "p2/s1/ct.nii", "p2/s1/ct.nii.gz")
    after = name_found(trial / "**" / "*.nii*", factor=3)
    assert {path: after[path] for path in names} == names
    assert len(set(after.values())) == 5
    trial.rename(tmp_path / "moved")
    assert name_found(tmp_path / "moved" / "**" / "*.nii*") == after


def test_names_of_files_that_are_named_one_by_one_stay_when_others_come_or_options_change() -> None:
    names = name_outputs(files("trial/p1/s1/ct.nii", "trial/p1/s2/ct.nii"), "{path}", "mha")
    assert len(set(names)) == 2
    more = files("trial/p1/s1/ct.nii", "trial/p1/s2/ct.nii", "trial/p2/s1/ct.nii", factor=3)
    assert name_outputs(more, "{path}", "mha")[:2] == names


def test_names_of_files_of_a_table_stay_when_rows_come_or_all_move(tmp_path: Path) -> None:
    table, rows = tmp_path / "trial" / "scans.csv", "source\np1/s1/ct.nii\np1/s2/ct.nii\n"
    table.parent.mkdir()
    table.write_text(rows)
    names = name_found(table)
    assert len(set(names.values())) == 2
    table.parent.rename(tmp_path / "moved")
    (tmp_path / "moved" / "scans.csv").write_text(f"{rows}p2/s1/ct.nii\n")
    after = name_found(tmp_path / "moved" / "scans.csv")
    assert {path: after[path] for path in names} == names


def test_files_that_lie_alike_below_two_patterns_get_names_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "a/p1/ct.nii", "b/p1/ct.nii")
    assert len(set(name_found(tmp_path / "a" / "*" / "ct.nii", tmp_path / "b" / "*" / "ct.nii").values())) == 2


def test_one_file_twice_among_others_of_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"p1/ct\.nii: named 2 times with the same options"):
        name_outputs(files("p1/ct.nii", "p2/ct.nii", "p1/ct.nii"), "{path}", "mha")
    touch(tmp_path, "p1/ct.nii", "p2/ct.nii")
    with pytest.raises(UsageError, match=r"p1/ct\.nii: named 2 times with the same options"):
        name_found(tmp_path / "*" / "ct.nii", tmp_path / "p1" / "ct.nii")


def test_one_scan_twice_with_the_same_options_is_refused() -> None:
    with pytest.raises(UsageError, match="named 2 times with the same options"):
        name_outputs([*scans("a"), *scans("a")], "{path}", "mha")
