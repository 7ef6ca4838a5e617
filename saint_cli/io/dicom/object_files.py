"""Files of DICOM objects that are no images, such as those of labels: what goes wrong in them names file and kind."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset

from saint_cli.errors import SaintError, UnreadableError
from saint_cli.io.dicom import values
from saint_cli.io.dicom.bounded_parse import FRAME_SEQUENCE_TAGS, is_truncated, parse_sequences, read_header


@contextmanager
def open_object(
    path: Path, kind: str, tags: Sequence[str], sequences: Sequence[int] = FRAME_SEQUENCE_TAGS
) -> Iterator[tuple[Dataset, bytes]]:
    """The elements ``tags`` of a file, and the bytes behind its header; whatever is raised inside is its failure.

    kind: with its article, as in "a DICOM Segmentation". sequences: tags of those that may be large. pydicom's
    warnings are not shown.

    Raises:
        UnreadableError: the file is damaged, or lacks what is read.
        SaintError: raised inside with the path, which passes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data, following = read_header(path, tags)
            if is_truncated(data):
                raise values.DamagedImageError("a header that is cut off")
            parse_sequences(data, path.stat().st_size, sequences)
            yield data, following
        except values.SkippedFileError as error:
            reason = str(error).removeprefix("with ")
            raise UnreadableError(f"{path}: {kind} with {reason}; export it again") from None
        except SaintError as error:
            raise error if str(error).startswith(str(path)) else UnreadableError(f"{path}{error}") from None
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            name = kind.partition(" ")[2]
            raise UnreadableError(f"{path}: the {name} is damaged ({type(error).__name__})") from None
