import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from saint_cli.batch.output_names import name_outputs, strip_output_ending
from saint_cli.batch.search import Scan
from saint_cli.errors import UsageError
from saint_cli.options.grid import GridRequest
from saint_cli.options.job import JobSettings
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


def files(*sources: str) -> list[Scan]:
    """Files that were named one by one, or by a pattern: of each the name alone counts."""
    return [Scan(Path(source).stem, Path(source).name, Path(source), JobSettings()) for source in sources]


def test_files_of_one_name_in_different_folders_get_names_that_do_not_depend_on_where_all_of_them_lie() -> None:
    names = name_outputs(files("trial/p1/ct.nii", "trial/p2/ct.nii", "trial/p3/mr.nii"), "{path}", "mha")
    assert names[2] == "mr.mha"
    assert len(set(names)) == 3
    moved = files("/data/trial/p2/ct.nii", "/data/trial/p4/ct.nii", "/data/trial/p1/ct.nii")
    again = name_outputs(moved, "{path}", "mha")
    assert [again[2], again[0]] == names[:2]


def test_one_file_twice_among_others_of_its_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"p1/ct\.nii: named 2 times with the same options"):
        name_outputs(files("p1/ct.nii", "p2/ct.nii", "p1/ct.nii"), "{path}", "mha")


def test_one_scan_twice_with_the_same_options_is_refused() -> None:
    with pytest.raises(UsageError, match="named 2 times with the same options"):
        name_outputs([*scans("a"), *scans("a")], "{path}", "mha")
