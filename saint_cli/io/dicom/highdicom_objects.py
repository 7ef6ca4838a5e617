"""What DICOM objects made by highdicom have in common: the extra that brings it, their largest size, their file."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from saint_cli.errors import OutputError, UsageError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.dicom import derived_image
from saint_cli.io.error_conversion import convert_os_errors

MAX_PIXEL_BYTES = 2**32 - 2
"""An element's length has 32 bits, and the largest stands for an unknown one (PS3.5 7.1)."""


def check_installed(path: Path, kind: str, extra: str) -> None:
    """Refuse to write an object without highdicom; kind: of object, extra: of the package that brings highdicom.

    Raises:
        UsageError: it is not installed.
    """
    if find_spec("highdicom") is None:
        raise UsageError(
            f"{path}: a {kind} needs highdicom: pip install 'saint-cli[{extra}]'; or name a file ending in .nii.gz"
        )


def check_pixel_bytes(need: int, path: Path, kind: str) -> None:
    """Refuse an object with more pixel data than a DICOM element holds.

    Raises:
        UsageError: naming both sizes.
    """
    if need > MAX_PIXEL_BYTES:
        raise UsageError(
            f"{path}: a {kind} holds at most {MAX_PIXEL_BYTES / 1e9:.1f} GB, this one would have {need / 1e9:.1f} GB; "
            "name a file ending in .nii.gz"
        )


def write_object(make: Callable[[], Dataset], path: Path, *, overwrite: bool) -> None:
    """Encode an object and write it; the file appears under its name only when complete.

    overwrite: whether it may replace what is at ``path`` by then.

    Raises:
        OutputError: it cannot be encoded or written.
    """
    with derived_image.convert_encoding_errors(path):
        data = make()
        data.file_meta.ImplementationVersionName = derived_image.IMPLEMENTATION_VERSION
    with convert_os_errors(path, "written", OutputError), open_atomic_file(path, overwrite=overwrite) as file:
        dcmwrite(file, data, enforce_file_format=True)
