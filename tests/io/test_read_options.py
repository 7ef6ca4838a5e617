"""What the functions that read take besides a path: what does not fit is one line, and never half understood."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest

import saint_cli
from saint_cli.errors import UsageError
from saint_cli.io import list_volumes, read_labels, read_volume, write_volume

READERS = {"read_volume": read_volume, "read_labels": read_labels, "list_volumes": list_volumes}


@pytest.mark.parametrize("name", ["read_volume", "read_labels"])
def test_a_keyword_that_does_not_exist_is_named_with_its_function(name: str) -> None:
    with pytest.raises(TypeError, match=f"^serie is not a keyword of {name}$"):
        READERS[name]("absent.nii", serie="2")


@pytest.mark.parametrize("read", [*READERS.values(), saint_cli.upsample])
def test_an_empty_path_is_not_the_current_folder(read: Callable[[Any], Any]) -> None:
    with pytest.raises(UsageError, match=r"^the path is empty; name a file or a folder$"):
        read("")


WRONG: list[dict[str, Any]] = [
    {"series": 2},
    {"series": 1.0},
    {"volume": "1"},
    {"volume": 1.0},
    {"volume": True},
    {"modality": "CTX"},
    {"modality": ""},
    {"max_memory": "1G"},
]


@pytest.mark.parametrize("given", WRONG, ids=str)
@pytest.mark.parametrize("kind", ["DICOM", "NIfTI"])
def test_a_value_of_another_type_is_named(given: dict[str, Any], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    if kind == "DICOM":
        fabricate.save(fabricate.slices(), path)
    else:
        write_volume(fabricate.volume(), path)
    ((name, value),) = given.items()
    with pytest.raises(UsageError) as caught:
        read_volume(path, **given)
    assert str(caught.value).startswith(f"`{name}={value!r}` must be ")


def test_a_modality_counts_in_small_letters_too(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    assert read_volume(tmp_path / "scan.nii", modality="mr").header.modality == "MR"


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    assert read_volume(tmp_path / "scan.nii", volume=np.int64(1), max_memory=np.int32(10**8)).shape == (24, 20, 6)


@pytest.mark.parametrize("segments", [1, "1", (1.0,)])
def test_segments_that_are_no_numbers_are_named(segments: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`segments=.*must be whole numbers"):
        read_labels(tmp_path / "absent.nii", segments=segments)
