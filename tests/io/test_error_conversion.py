"""Whatever reading an input raises is a failure of that input, which names it and quotes nothing of it."""

import importlib
import struct
import zipfile
import zlib
from pathlib import Path

import fabricate
import pytest

from saint_cli import io
from saint_cli.errors import GeometryError, SaintError, UnreadableError
from saint_cli.io import read
from saint_cli.io.dicom import describe as dicom_describe
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format

describe = importlib.import_module("saint_cli.io.describe")  # ``io.describe`` is the function

RAISED = [
    OSError(36, "File name too long", "x" * 300),
    PermissionError(13, "Permission denied"),
    OSError(5, "Input/output error"),
    OSError(40, "Too many levels of symbolic links"),
    OSError(116, "Stale file handle"),
    OSError("SECRET^NAME"),
    RecursionError("SECRET^NAME"),
    ValueError("SECRET^NAME"),
    OverflowError("SECRET^NAME"),
    MemoryError("SECRET^NAME"),
    KeyError("SECRET^NAME"),
    TypeError("SECRET^NAME"),
    AttributeError("SECRET^NAME"),
    AssertionError("SECRET^NAME"),
    ZeroDivisionError("SECRET^NAME"),
    struct.error("SECRET^NAME"),
    zlib.error("SECRET^NAME"),
    zipfile.BadZipFile("SECRET^NAME"),
    UnicodeDecodeError("utf-8", b"SECRET^NAME", 0, 1, "SECRET^NAME"),
    EOFError(),
]


def raising(error: BaseException) -> object:
    """A function that raises, whatever it is called with."""

    def fail(*given: object, **more: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", RAISED, ids=lambda error: f"{type(error).__name__}")
def test_whatever_a_reader_raises_is_a_failure_of_the_file_that_quotes_nothing(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.nii"
    io.write_volume(fabricate.volume(), path)
    monkeypatch.setattr(describe, "_describe_file", raising(error))
    monkeypatch.setattr(read, "_read", raising(error))
    for reader in (io.describe, io.read_volume):
        with pytest.raises(SaintError, match=r"scan\.nii") as caught:
            reader(path)
        assert "SECRET" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, UnreadableError) or isinstance(error, MemoryError)


def test_a_fault_of_saint_is_still_reported_as_one_with_its_place(tmp_path: Path) -> None:
    failure = pytest.raises(UnreadableError, match=r"KeyError in test_error_conversion\.py:\d+\).*please report this")
    with failure, convert_exceptions(tmp_path / "a.nii"):
        raise KeyError("SECRET")


def test_failures_that_are_converted_already_and_interruptions_pass(tmp_path: Path) -> None:
    for error in (GeometryError("uneven"), KeyboardInterrupt(), SystemExit(143)):
        with pytest.raises(type(error)) as caught, convert_exceptions(tmp_path):
            raise error
        assert caught.value is error


def test_in_a_folder_the_other_files_are_described_whatever_one_of_them_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.nii", "b.nii"):
        io.write_volume(fabricate.volume(), tmp_path / name)
    fabricate.save(fabricate.slices(), tmp_path / "s")
    plain = describe._describe_file

    def describe_one(path: Path, *given: object) -> object:
        return raising(OverflowError())() if path.name == "a.nii" else plain(path, *given)  # type: ignore[operator]

    monkeypatch.setattr(describe, "_describe_file", describe_one)
    stacks = io.describe(tmp_path).stacks
    assert [(one.label, one.problem is None) for one in stacks[1:]] == [("a.nii", False), ("b.nii", True)]
    assert stacks[0].format == Format.DICOM.value


def test_a_stack_that_cannot_be_described_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate.save(fabricate.slices(), tmp_path)
    fabricate.save(fabricate.slices(modality="MR"), tmp_path)
    plain = dicom_describe._describe_stack

    def describe_one(number: int, label: str, stack: object) -> object:
        return raising(OverflowError())() if number == 1 else plain(number, label, stack)  # type: ignore[operator,arg-type]

    monkeypatch.setattr(dicom_describe, "_describe_stack", describe_one)
    first, second = io.describe(tmp_path).stacks
    assert "OverflowError" in str(first.problem)
    assert (first.exit_code, second.problem) == (UnreadableError.exit_code, None)


def test_pixels_that_cannot_be_compared_cost_no_other_series_of_the_folder(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "good")
    twice = [*fabricate.slices(modality="MR"), *fabricate.slices(modality="MR")]
    for number, data in enumerate(twice):
        data.SOPInstanceUID, data.InstanceNumber = f"1.2.{number}", 1
    twice[3].PixelData = twice[3].PixelData[:-20]
    fabricate.save(twice, tmp_path / "bad")
    reported = {stack.modality: str(stack.problem) for stack in io.describe(tmp_path).stacks}
    assert reported["CT"] == "None"
    assert "truncated" in reported["MR"]
    with pytest.raises(UnreadableError, match="truncated"):
        io.read_volume(tmp_path / "bad")


@pytest.mark.parametrize("name", ["a\0b.nii", "x" * 300 + ".nii", "\ud800.nii", "y/" * 3000])
def test_a_name_that_no_file_can_have_is_a_failure_by_that_name(name: str, tmp_path: Path) -> None:
    for reader in (io.describe, io.read_volume):
        with pytest.raises(UnreadableError):
            reader(tmp_path / name)
