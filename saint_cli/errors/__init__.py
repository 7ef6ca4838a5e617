"""Every failure that saint reports, with the exit code that scripts may rely on."""

import traceback
from pathlib import Path

from saint_cli.errors.parameter_names import adapt_message


class SaintError(Exception):
    """A failure with a one-line message: what is wrong, where, the values, what to do next.

    The message names parameters in backticks; while a command runs they become its options.
    nothing_to_do: the input is as fine as wanted already, a single slice, or not fit for isotropic voxels that nobody
    asked for: one of many scans is left out then.
    """

    exit_code = 1

    def __init__(self, message: str, *, nothing_to_do: bool = False) -> None:
        super().__init__(adapt_message(message))
        self.nothing_to_do = nothing_to_do


class UsageError(SaintError):
    """Options that do not fit together, or an input in which nothing can be interpolated."""

    exit_code = 2


class UnreadableError(SaintError):
    """A file that is missing, truncated, corrupt, or of a format that saint does not read."""

    exit_code = 3


class RemoteError(UnreadableError):
    """A URL that cannot be listed or read now; a later run may succeed."""


class DecoderUnavailableError(UnreadableError):
    """Compressed pixels that could not be decoded for lack of time, memory or a process; a later run may succeed."""


class SourceChangedError(UnreadableError):
    """A source that changed while it was read; once it is complete a later run may succeed."""


PASSING_ERRORS = (RemoteError, DecoderUnavailableError, SourceChangedError)
"""Failures of reading that may be over when the same files are read again."""


class WeightsError(UnreadableError):
    """Weights that are missing, damaged, or not weights of a SAINT model."""


class GeometryError(SaintError):
    """Slices that do not form one regular, interpolable stack."""

    exit_code = 4


class NonFiniteError(SaintError):
    """A result that is NaN or infinite where its source is finite; it is never written."""


class OutputError(SaintError):
    """A result that could not be written."""

    exit_code = 5

    @classmethod
    def from_os_error(cls, error: OSError) -> "OutputError":
        """The reason and the file that the system names."""
        where = f": {error.filename}" if error.filename else ""
        return cls(f"{error.strerror or type(error).__name__}{where}")


class TargetExistsError(OutputError):
    """A result that was not written because something has its name that may not be replaced."""


class LabelMapError(UsageError):
    """A volume of labels where intensities are wanted."""


class ClusterError(SaintError):
    """A cluster that does not answer or disappeared."""

    exit_code = 6


class WorkerKilledError(ClusterError):
    """A job that ended every worker that tried it."""


def wrap_unexpected(error: BaseException) -> SaintError:
    """An unforeseen exception as its class and place alone: its text may quote a patient's file."""
    return SaintError(f"{type(error).__name__} in {locate_error(error)}; please report this")


def locate_error(error: BaseException) -> str:
    """File and line where an exception was raised."""
    places = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "an unknown place"
