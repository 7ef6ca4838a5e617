import json
import os
from pathlib import Path

import pytest

from saint_cli.batch.inputs import Root, expand_inputs
from saint_cli.errors import UnreadableError, UsageError


def test_patterns_are_expanded_and_must_match(tmp_path: Path) -> None:
    for name in ("a/1.nii", "b/c/2.nii", "b/3.mha"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = expand_inputs([tmp_path / "**" / "*.nii"])
    assert [root.location.name for root in found] == ["1.nii", "2.nii"]
    with pytest.raises(UsageError, match="nothing matches"):
        expand_inputs([tmp_path / "*.nrrd"])


def test_a_missing_path_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        expand_inputs([tmp_path / "typo"])


def test_several_folders_keep_their_names_in_the_output(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert [root.prefix for root in expand_inputs([tmp_path / "a"])] == [""]
    assert [root.prefix for root in expand_inputs([tmp_path / "a", tmp_path / "b"])] == ["a", "b"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_table_gives_options_and_names_and_counts_paths_from_its_own_folder(tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"scans{ending}"
    if ending == ".csv":
        table.write_text("source,name,factor\nx/a.nii,first,4\nb.nii,,\n")
    else:
        rows = [{"source": "x/a.nii", "name": "first", "factor": 4}, {"source": "b.nii", "factor": None}]
        table.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert expand_inputs([table]) == [
        Root(tmp_path / "x/a.nii", {"factor": "4"}, "first"),
        Root(tmp_path / "b.nii", {}, None),
    ]


@pytest.mark.parametrize(
    ("ending", "text"),
    [(".csv", "Source, NAME\na.nii,first\n"), (".jsonl", '{"Source": "a.nii", " NAME": "first"}\n')],
)
def test_columns_that_are_no_options_may_be_in_capitals_too(tmp_path: Path, ending: str, text: str) -> None:
    (tmp_path / f"scans{ending}").write_text(text)
    assert expand_inputs([tmp_path / f"scans{ending}"]) == [Root(tmp_path / "a.nii", {}, "first")]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_as_other_spreadsheets_write_it_is_read_alike(tmp_path: Path, delimiter: str) -> None:
    table = tmp_path / "scans.csv"
    table.write_text("source,name,factor\na.nii,first,4\n".replace(",", delimiter))
    assert expand_inputs([table]) == [Root(tmp_path / "a.nii", {"factor": "4"}, "first")]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "source,source\na.nii,b.nii\n", "two columns are called 'source'"),
        ("t.csv", "source,match-noise,match_noise\na.nii,1,0\n", "two columns are called"),
        ("t.csv", f"source\n{'x' * 200_000}\n", "row 2: cannot be read as CSV"),
        ("t.csv", 'source,name\n"a.nii,b\nc.nii,d\n', "a quote that does not end"),
        ("t.csv", "source,name\na.nii,.saint/lock\n", "keeps its state"),
        ("t.csv", "source,name\na.nii,/b\n", "leads out"),
        ("t.csv", "source,name\na.nii,.\n", "leads out"),
        ("t.jsonl", '{"source": "a.nii"}\n{"source": "b.ni', "line 2: not a JSON object"),
        ("t.jsonl", "[" * 100_000, "line 1: not a JSON object"),
        ("t.jsonl", '{"source": "a.nii", "factor": ' + "9" * 1_000_000 + "}", "line 1: not a JSON object"),
        ("t.jsonl", '{"source": "a.nii", "source": "b.nii"}', "each name once"),
        ("t.jsonl", '{"source": 5}', "'source' must be text"),
        ("t.jsonl", '{"Source": 5}', "'Source' must be text"),
        ("t.jsonl", '{"source": ["a.nii"]}', "'source' must be text"),
        ("t.jsonl", '{"source": null}', "no 'source'"),
        ("t.jsonl", '{"source": "a.nii", "name": true}', "'name' must be text"),
        ("t.jsonl", '{"source": "a.nii", "factor": {"of": 4}}', "'factor' must be text, a number"),
        ("t.jsonl", '{"source": "a\\u0000.nii"}', "no file name can have"),
        ("t.jsonl", '{"source": "a.nii", "name": "\\ud800"}', "no file name can have"),
        ("t.csv", "file\na.nii\n", "source"),
        ("t.csv", "source,factor\na.nii\n", "cells"),
        ("t.csv", "source,name\na.nii,../b\n", "leads out"),
        ("t.jsonl", "[1]\n", "JSON object"),
        ("t.jsonl", "{\n", "JSON object"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_row(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=expected):
        expand_inputs([tmp_path / name])


def test_rows_without_any_text_are_no_rows(tmp_path: Path) -> None:
    table = tmp_path / "scans.csv"
    table.write_text("source,name,,\na.nii,one,,\n,,,\n , \n\nb.nii,two,,\n,,,\n")
    assert [root.name for root in expand_inputs([table])] == ["one", "two"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_all_systems_are_read_alike(tmp_path: Path, end: str, encoding: str) -> None:
    table = tmp_path / "scans.csv"
    table.write_bytes(end.join(["source,name", 'ä.nii,"one, two"', "b.nii,", ""]).encode(encoding))
    assert expand_inputs([table]) == [Root(tmp_path / "ä.nii", {}, "one, two"), Root(tmp_path / "b.nii", {}, None)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("source\nok.nii\nä.nii\n".encode("latin-1"), r"scans\.csv, line 3: no UTF-8 text"),
        (b"source\nok.nii\na\0.nii\n", r"scans\.csv, line 3: holds a NUL byte"),
        ("source\na.nii\n".encode("utf-16-le"), "line 1: holds a NUL byte"),
    ],
    ids=["Latin-1", "NUL", "UTF-16 without mark"],
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_table_that_is_no_text_is_refused_by_line(tmp_path: Path, data: bytes, expected: str, ending: str) -> None:
    (tmp_path / f"scans{ending}").write_bytes(data)
    with pytest.raises(UnreadableError, match=expected.replace(r"\.csv", ending)):
        expand_inputs([tmp_path / f"scans{ending}"])


def test_a_table_without_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "scans.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableError, match="larger than 64 MB"):
        expand_inputs([tmp_path / "scans.csv"])


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_pipe_or_device_in_place_of_a_table_is_reported_and_never_waited_for(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(UnreadableError, match="not a regular file"):
            expand_inputs([tmp_path / f"{name}{ending}"])


def test_of_many_rows_that_cannot_be_used_the_first_and_their_count_are_reported(tmp_path: Path) -> None:
    names = "".join(f"a.nii,../{number}\n" for number in range(3000))
    (tmp_path / "t.csv").write_text(f"source,name\nok.nii,fine\n{names}")
    with pytest.raises(UsageError) as caught:
        expand_inputs([tmp_path / "t.csv"])
    assert str(caught.value).startswith("3,000 rows cannot be used: ")
    assert "row 3:" in str(caught.value)
    assert str(caught.value).endswith("and 2,997 more")
    assert "\n" not in str(caught.value)
