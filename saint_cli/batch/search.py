"""The rules of the search for scans, and what it finds."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from saint_cli.batch.inputs import Root
from saint_cli.batch.remote_cache import RemoteCache
from saint_cli.errors import SaintError
from saint_cli.io import Description
from saint_cli.io.folder_walk import identify_folder, is_link
from saint_cli.io.formats import IMAGE_ENDINGS
from saint_cli.io.path_identity import lies_in
from saint_cli.io.remote import urls
from saint_cli.jobs.location import SourceLocation, format_location
from saint_cli.options.job import JobSettings

NO_IMAGE = "not an image"
"""Why most files are ignored."""

NO_DICOM = "not DICOM, whatever the name says"
"""Why a file is ignored that promises a slice; named itself it is a failure."""

OTHER_RESULTS = "folder with results of another batch"
"""Why a folder is left out; it is searched if it is named itself."""


@dataclass(frozen=True)
class Scan:
    """A stack to upsample, or one (``error``) that should be but cannot.

    path: where it lies, below what the user named, without ending; its result is named after it. tag: distinguishes it
    from all others, if two have one path. place: of its ``Root``. files: what the result depends on, where that lies on
    this machine.
    shape, spacing_mm: of the stack (x, y, z), None where unknown. slice_ratio: output slices over acquired slices.
    volumes: how many such stacks are one job.
    """

    path: str
    tag: str
    source: SourceLocation
    settings: JobSettings
    files: tuple[Path, ...] = ()
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    slice_ratio: float = 1.0
    volumes: int = 1
    error: SaintError | None = None
    place: str = ""

    @property
    def source_name(self) -> str:
        """Path or URL of what is read."""
        return format_location(self.source)


@dataclass
class Findings:
    """Scans; stacks that were skipped and why; how many files were ignored for which reason; what URLs held."""

    remote_cache: RemoteCache
    scans: list[Scan] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class SearchRules:
    """What to look for.

    make_settings: makes settings of the options in which a scan differs from the command line; state_dir: the folder of
    results, or with ``results`` (their URL) of the manifest alone, never input; include: kinds of stacks to take that
    are skipped otherwise.
    """

    make_settings: Callable[[Mapping[str, str]], JobSettings]
    state_dir: Path
    include: frozenset[str] = frozenset()
    results: str | None = None

    def is_output(self, location: str) -> bool:
        """Whether a path or URL lies where results or the manifest go, whatever the two are called."""
        if not urls.is_url(location) and lies_in(Path(location), self.state_dir):
            return True
        place = f"{urls.normalize_location(location)}/"
        return any(place.startswith(f"{output}/") for output in self._outputs)

    def is_output_folder(self, path: str, name: str) -> bool:
        """``is_output`` of a folder in one that is not, by its path and last part; faster, for most cannot be."""
        is_possible = (
            any(name == output.rpartition("/")[2] for output in self._outputs)
            or is_link(path)
            or identify_folder(path) == identify_folder(self.state_dir)
        )
        return is_possible and self.is_output(path)

    @cached_property
    def _outputs(self) -> list[str]:
        outputs = [str(self.state_dir)] if self.results is None else [str(self.state_dir), self.results]
        return [urls.normalize_location(output) for output in outputs]


@dataclass(frozen=True)
class Unit(ABC):
    """A file, or a folder with all DICOM below it, that is described by itself; on this machine or at a URL.

    tag: its path from the folder that holds the root, which distinguishes it from all others.
    """

    root: Root
    location: SourceLocation
    tag: str
    is_file: bool

    @property
    def name(self) -> str:
        """Path of its result below the output folder, without ending."""
        is_root = self.tag == self.root.base_name
        if self.root.name is not None and is_root:
            return self.root.name
        below = PurePosixPath(self.tag if is_root else self.tag.removeprefix(f"{self.root.base_name}/"))
        if self.is_file:
            below = below.with_name(_strip_image_ending(below.name))
        return (PurePosixPath(self.root.name or self.root.prefix) / below).as_posix()

    @abstractmethod
    def split(self, rules: SearchRules, ignored: Counter[str]) -> "Iterator[Unit]":
        """Files of other formats, and of DICOM the topmost folder that holds any with all below it; else itself.

        ignored: takes the counts of other files, by reason.

        Raises:
            UnreadableError: after what could be found, where the folder itself cannot be listed to its end.
        """

    @abstractmethod
    def describe(self, settings: JobSettings) -> Description:
        """The stacks in it, from their headers.

        Raises:
            SaintError: as ``io.describe``.
        """

    def holds_as_results(self, files: Sequence[Path], rules: SearchRules) -> bool:
        """Whether files of it lie in folders of results below it; not where ``split`` has left these out."""
        return False

    @abstractmethod
    def find_stack(self, description: Description, index: int) -> "tuple[Unit, Unit]":
        """The smallest unit that one of its stacks can be read from, and the one that its result is named after."""


def _strip_image_ending(name: str) -> str:
    """A file's name without the ending of an image."""
    ending = next((e for e in IMAGE_ENDINGS if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)]
