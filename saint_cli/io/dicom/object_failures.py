"""What goes wrong in reading a DICOM object of labels becomes one line that names its file and kind."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError
from saint_cli.io.dicom import values


@contextmanager
def convert_object_failures(path: Path, article: str, kind: str) -> Iterator[None]:
    """Turn whatever is raised inside into a failure of the file; pydicom's warnings are not shown.

    article, kind: as in "a", "DICOM Segmentation".

    Raises:
        UnreadableError: the file is damaged, or lacks what is read.
        SaintError: raised inside with the path, which passes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except values.SkippedFileError as error:
            reason = str(error).removeprefix("with ")
            raise UnreadableError(f"{path}: {article} {kind} with {reason}; export it again") from None
        except SaintError as error:
            raise error if str(error).startswith(str(path)) else UnreadableError(f"{path}{error}") from None
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            raise UnreadableError(f"{path}: the {kind} is damaged ({type(error).__name__})") from None
