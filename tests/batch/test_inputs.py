import json
from pathlib import Path

import pytest

from saint_cli.batch.inputs import Root, roots
from saint_cli.errors import UnreadableError, UsageError


def test_patterns_are_expanded_and_must_match(tmp_path: Path) -> None:
    for name in ("a/1.nii", "b/c/2.nii", "b/3.mha"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = roots([tmp_path / "**" / "*.nii"])
    assert [root.path.name for root in found] == ["1.nii", "2.nii"]
    with pytest.raises(UsageError, match="nothing matches"):
        roots([tmp_path / "*.nrrd"])


def test_a_missing_path_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        roots([tmp_path / "typo"])


def test_several_folders_keep_their_names_in_the_output(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert [root.prefix for root in roots([tmp_path / "a"])] == [""]
    assert [root.prefix for root in roots([tmp_path / "a", tmp_path / "b"])] == ["a", "b"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_table_gives_options_and_names_and_counts_paths_from_its_own_folder(tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"scans{ending}"
    if ending == ".csv":
        table.write_text("source,name,factor\nx/a.nii,first,4\nb.nii,,\n")
    else:
        rows = [{"source": "x/a.nii", "name": "first", "factor": 4}, {"source": "b.nii", "factor": None}]
        table.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert roots([table]) == [
        Root(tmp_path / "x/a.nii", {"factor": "4"}, "first"),
        Root(tmp_path / "b.nii", {}, None),
    ]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_as_other_spreadsheets_write_it_is_read_alike(tmp_path: Path, delimiter: str) -> None:
    table = tmp_path / "scans.csv"
    table.write_text("source,name,factor\na.nii,first,4\n".replace(",", delimiter))
    assert roots([table]) == [Root(tmp_path / "a.nii", {"factor": "4"}, "first")]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", "file\na.nii\n", "source"),
        ("t.csv", "source,factor\na.nii\n", "cells"),
        ("t.csv", "source,name\na.nii,../b\n", "leads out"),
        ("t.jsonl", "[1]\n", "JSON object"),
        ("t.jsonl", "{\n", "JSON object"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_row(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=told):
        roots([tmp_path / name])
