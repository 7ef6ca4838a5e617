"""Every failure that saint reports on purpose, each with the exit code that scripts may rely on."""

import traceback
from pathlib import Path


class SaintError(Exception):
    """A failure with a one-line message for the user: what is wrong, where, the values, what to do next."""

    exit_code = 1


class UsageError(SaintError):
    """Options that do not fit together, or an input in which nothing can be interpolated."""

    exit_code = 2


class UnreadableError(SaintError):
    """A file that is missing, truncated, corrupt, or of a format that saint does not read."""

    exit_code = 3


class RemoteError(UnreadableError):
    """A URL that cannot be listed or read now; another time it may."""


class DecoderUnavailableError(UnreadableError):
    """Compressed pixels that could not be decoded now, for want of time, memory or a process; another time they may."""


class SourceChangedError(UnreadableError):
    """A source that changed while it was used; once it is complete another run may do."""


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
    def of_system(cls, error: OSError) -> "OutputError":
        """What the system said, and of which file."""
        where = f": {error.filename}" if error.filename else ""
        return cls(f"{error.strerror or type(error).__name__}{where}")


class LabelMapError(UsageError):
    """A volume of labels where intensities are wanted."""


class EngineError(SaintError):
    """A cluster that does not answer or went away."""

    exit_code = 6


class DeadlyJobError(EngineError):
    """A job that every worker died of that tried it."""


def fault_of(error: BaseException) -> SaintError:
    """What is told of an exception that nobody foresaw: its kind and place, for its text may quote a patient's file."""
    return SaintError(f"{type(error).__name__} in {place_of(error)}; please report this")


def place_of(error: BaseException) -> str:
    """File and line where an exception arose: all that may be told of one whose text may quote a patient's file."""
    places = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "a place unknown"
