"""What a row of a table chooses, and what it cannot have."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from batch.found_scans import FACTOR_2, found_in, paths
from scan_passes import FIRST, SAME, put, scan_pass

from saint_cli import io
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import Root, expand_inputs
from saint_cli.batch.search import SearchRules
from saint_cli.cli.job_options import merge_row
from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import write_volume
from saint_cli.io.remote import transfer
from saint_cli.jobs import GridRequest
from saint_cli.options.job import JobSettings, make_settings


def test_a_row_of_a_table_chooses_series_and_name(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "study")
    rules = SearchRules(lambda row: replace(FACTOR_2, series=row["series"]), tmp_path / "out")
    found = find_scans([Root(tmp_path / "study", {"series": "2"}, "the_second")], rules, lambda count: None)
    assert [scan.path for scan in found.scans] == ["the_second"]


@pytest.mark.parametrize(
    ("row", "count", "message"),
    [
        ("7,", 0, "study: no series 7;"),
        (",3", 0, "study: no volume 3;"),
        ("2,2", 0, "study: no series 2, volume 2;"),
        ("2,1", 1, ""),
        (",1", 2, ""),
        ("2,all", 1, ""),
    ],
)
def test_a_row_that_names_no_series_or_volume_that_is_there_is_a_failure(
    tmp_path: Path, row: str, count: int, message: str
) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "study")
    (tmp_path / "t.csv").write_text(f"source,series,volume\nstudy,{row}\n")
    rules = SearchRules(lambda cells: make_settings(merge_row({"factor": 2}, cells)), tmp_path / "out")
    found = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None)
    assert len(paths(found)) == count
    assert [message in str(scan.error) for scan in found.scans if scan.error is not None] == [True] * bool(message)


@pytest.mark.parametrize("option", ["irregular", "split_runs", "merge"])
def test_a_row_with_an_option_of_dicom_for_another_file_is_a_failure(tmp_path: Path, option: str) -> None:
    for name in ("a.nii.gz", "folder/b.nii.gz"):
        write_volume(fabricate.volume(), tmp_path / name)
    column = option.replace("_", "-").upper()
    (tmp_path / "t.csv").write_text(f"source,{column}\na.nii.gz,true\na.nii.gz,false\na.nii.gz,\nfolder,true\n")
    rules = SearchRules(lambda cells: make_settings(merge_row({"factor": 2}, cells)), tmp_path / "out")
    refused, *others = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None).scans
    assert isinstance(refused.error, UsageError)
    assert f"a.nii.gz: `{option}=True` is for DICOM" in str(refused.error)
    assert [(one.path, one.error) for one in others] == [("a", None), ("a", None), ("b", None)]


def test_a_row_whose_series_cannot_be_merged_is_a_failure(tmp_path: Path) -> None:
    oblique = fabricate.slices(4, orientation=fabricate.OBLIQUE)
    for index, data in enumerate(oblique):
        data.SOPInstanceUID += f".9{index}"
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(oblique, tmp_path / "study")
    (tmp_path / "t.csv").write_text("source,merge,volume\nstudy,true,\nstudy,false,\nstudy,true,2\n")
    typed = {"factor": 2, "merge": True}
    rules = SearchRules(lambda cells: make_settings(merge_row(typed, cells)), tmp_path / "out")
    found = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None)
    refused, *others = found.scans
    assert "`merge=True`: slices of one series form 2 stacks (16 x 12 x " in str(refused.error)
    assert [one.error for one in others] == [None] * 3
    assert len(find_scans(expand_inputs([tmp_path / "study"]), rules, lambda count: None).scans) == 2


def settings_of_row(row: Mapping[str, str]) -> JobSettings:
    return make_settings(merge_row({}, row))


def test_what_a_row_of_a_table_cannot_have_is_reported_with_the_first_rows_and_their_count(tmp_path: Path) -> None:
    factors = "".join(f"a.nii,two{number}\n" for number in range(50))
    (tmp_path / "t.csv").write_text(f"source,factor\nok.nii,2\n{factors}")
    with pytest.raises(UsageError) as caught:
        expand_inputs([tmp_path / "t.csv"], settings_of_row)
    assert str(caught.value).startswith("50 rows cannot be used: ")
    assert 't.csv, row 3: factor "two0" is not a whole number' in str(caught.value)
    assert str(caught.value).endswith("and 47 more")


def test_what_several_rows_of_a_table_cannot_have_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("source,factor,colour\na.nii,two,\na.nii,2,red\na.nii,2,green\n")
    with pytest.raises(UsageError) as caught:
        expand_inputs([tmp_path / "t.csv"], settings_of_row)
    table, said = tmp_path / "t.csv", str(caught.value)
    assert said.startswith(f'3 rows cannot be used: {table}, row 2: factor "two" is not a whole number')
    assert f"; {table}, row 3 and 1 more: 'colour' is not a column of a table of scans; " in said
    assert said.count("colour") == 1


def test_rows_with_what_is_not_shown_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("source,factor\n" + "".join(f"a.nii,two{number % 5}\n" for number in range(50)))
    with pytest.raises(UsageError) as caught:
        expand_inputs([tmp_path / "t.csv"], settings_of_row)
    assert str(caught.value).startswith(f"50 rows cannot be used: {tmp_path / 't.csv'}, row 2 and 9 more: ")
    assert str(caught.value).endswith("; and 20 more")


def test_all_that_is_wrong_with_the_rows_of_a_table_is_reported_together_before_a_url_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "list_source", lambda url: pytest.fail(f"{url} was listed"))
    lines = ['{"source": "s3://bucket/a.nii"}', "{broken", '{"source": "a.nii", "colour": "red"}', '{"name": "b"}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"^3 rows cannot be used: ") as caught:
        expand_inputs([tmp_path / "t.jsonl"], settings_of_row)
    for part in ("line 2: not a JSON object", "line 3: 'colour' is not a column", "line 4: no 'source'"):
        assert f"{tmp_path / 't.jsonl'}, {part}" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "advice"),
    [("nmae", "did you mean name?"), ("Slice-Thicknes", "did you mean slice_thickness?"), ("patient", "--help lists")],
)
def test_a_column_that_is_none_is_refused_with_the_one_that_may_be_meant(column: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_row({}, {column: "x"})
    assert f"'{column}' is not a column of a table of scans; " in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("cell", ["false", "no"])
def test_a_row_without_isotropic_voxels_keeps_the_grid_of_the_command_line(cell: str) -> None:
    assert make_settings(merge_row({"factor": 4}, {"isotropic": cell})).grid == GridRequest(factor=4)


@pytest.mark.parametrize("name", ["~/a.nii", "x" * 300 + ".nii", "no/such.nii", "y/" * 3000])
def test_a_row_that_names_no_file_is_a_failure_of_that_row(tmp_path: Path, name: str) -> None:
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    (tmp_path / "t.csv").write_text(f"source\n{name}\ngood.nii\n")
    found = find_scans(
        expand_inputs([tmp_path / "t.csv"]), SearchRules(lambda row: FACTOR_2, tmp_path / "out"), lambda count: None
    )
    assert [type(scan.error) for scan in found.scans] == [UnreadableError, type(None)]


ALL = replace(FACTOR_2, volume="all")


def test_all_volumes_of_a_file_are_one_scan(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 3), np.int16), np.diag([1, 1, 5, 1])), tmp_path / "dynamic.nii")
    write_volume(fabricate.volume(), tmp_path / "plain.nii")
    dynamic, plain = found_in(tmp_path, settings=ALL).scans
    assert (dynamic.error, dynamic.shape, dynamic.volumes, dynamic.settings.volume) == (None, (8, 8, 4), 3, "all")
    assert (plain.error, plain.volumes, plain.settings.volume) == (None, 1, None)


def test_all_volumes_of_a_series_are_one_scan_that_depends_on_all_of_its_files(tmp_path: Path) -> None:
    for k, echo in enumerate(("5", "40", "90")):
        part = scan_pass(SAME, FIRST + 300 * k, put(EchoTime=echo), modality="MR")
        fabricate.save(part, tmp_path / "study" / ("" if k == 0 else f"echo{k}"))
    single = fabricate.slices(modality="CT")
    fabricate.save(single, tmp_path / "study" / "ct")
    ct, echoes = sorted(found_in(tmp_path, settings=ALL).scans, key=lambda scan: scan.volumes)
    assert (ct.volumes, ct.settings.volume, len(ct.files)) == (1, None, len(single))
    assert (echoes.volumes, echoes.settings.volume, len(echoes.files)) == (3, "all", 3 * len(SAME))
    series = io.list_volumes(echoes.source, io.ReadOptions(series=echoes.settings.series))
    assert (series.count, series.marks[1].label) == (3, "EchoTime 40")
    assert [scan.volumes for scan in found_in(tmp_path).scans] == [1, 1, 1, 1]


def test_stacks_of_two_orientations_are_scans_of_their_own_beside_all_volumes(tmp_path: Path) -> None:
    turned = fabricate.slices(step=(2.4, -3.2, 3.0), orientation=fabricate.OBLIQUE)
    for k, data in enumerate(turned):
        data.SOPInstanceUID, data.InstanceNumber = f"1.2.3.{k + 1}", 50 + k
    fabricate.save([*fabricate.slices(), *turned], tmp_path / "in")
    scans = found_in(tmp_path, settings=ALL).scans
    assert [(scan.volumes, scan.settings.volume) for scan in scans] == [(1, None), (1, None)]
