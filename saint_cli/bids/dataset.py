"""A raw BIDS data set: its description, and the anatomical images of each participant with what is known of them."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saint_cli.batch.json_values import parse_object
from saint_cli.bids.names import DATATYPE, IMAGE_ENDINGS, ImageName, find_reason_to_skip, split_name
from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.folder_walk import explain_absence, is_folder, is_there
from saint_cli.io.path_identity import fold_name
from saint_cli.io.regular_files import open_regular
from saint_cli.io.skipped_files import format_first
from saint_cli.io.text_files import read_text

DESCRIPTION_FILE = "dataset_description.json"

CT_FOLDER = "ct"
"""Where data sets keep CT before BIDS has it (BEP024)."""

ANNEX = "annex/objects/"
"""Part of what git-annex leaves in place of a file: the target of a link, or the text of a pointer."""

MAX_POINTER_BYTES = 1 << 15
"""Of a pointer of git-annex, as its documentation has it."""

Metadata = dict[str, Any]


@dataclass(frozen=True)
class RawImage:
    """An anatomical image.

    path: below the root of the data set, as in ``sub-01/anat/sub-01_T2w.nii.gz``; metadata: of its sidecars (BIDS, "The
    Inheritance Principle"); problem: why it cannot be read.
    """

    file: Path
    path: str
    name: ImageName
    metadata: Metadata
    problem: str = ""


@dataclass(frozen=True)
class Participant:
    """What is taken of a participant, and what is not, with the reason."""

    label: str
    images: tuple[RawImage, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Selection:
    """Labels of participants and sessions, without ``sub-`` and ``ses-``, and suffixes; none stands for all."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawDataset:
    """A data set and its ``dataset_description.json``."""

    root: Path
    description: Metadata

    @classmethod
    def open(cls, root: Path) -> "RawDataset":
        """The data set of a folder.

        Raises:
            UnreadableError: there is none, or its description cannot be read.
        """
        if not is_folder(root):
            raise UnreadableError(f"{root}: {'is no folder' if is_there(root) else explain_absence(root)}")
        if not is_there(root / DESCRIPTION_FILE):
            raise UnreadableError(
                f"{root}: has no {DESCRIPTION_FILE}, so it is not the root of a BIDS data set; name that folder"
            )
        return cls(root, read_json(root / DESCRIPTION_FILE))

    def find_participants(self, chosen: Selection) -> list[Participant]:
        """The participants that are chosen, by their labels, each with its images.

        Raises:
            UsageError: a participant or a session that no folder is of; suffixes that no image has.
            UnreadableError: the data set has no participants.
        """
        labels = _list_labels(self.root, "sub")
        if not labels:
            raise UnreadableError(f"{self.root}: has no folder sub-LABEL, so there are no participants in it")
        _check_labels("participant-label", "sub", chosen.participants, labels, self.root)
        labels = [label for label in labels if not chosen.participants or label in chosen.participants]
        sessions = {session for label in labels for session in _list_labels(self.root / f"sub-{label}", "ses")}
        _check_labels("session-label", "ses", chosen.sessions, sorted(sessions), self.root)
        participants = [self._find_images(label, chosen) for label in labels]
        if chosen.suffixes and not any(one.images for one in participants):
            self._check_suffixes(labels, chosen)
        return participants

    def _find_images(self, label: str, chosen: Selection) -> Participant:
        images, skipped = list[RawImage](), list[tuple[str, str]]()
        for folder in self._list_folders(label, chosen):
            if is_folder(folder / CT_FOLDER):
                place = (folder / CT_FOLDER).relative_to(self.root).as_posix()
                skipped.append((place, "CT, which BIDS does not define yet; saint batch takes it"))
            for file in _list_entries(folder / DATATYPE):
                path = file.relative_to(self.root).as_posix()
                suffix = split_name(file.name)[1]
                if not file.name.endswith(IMAGE_ENDINGS) or (chosen.suffixes and suffix not in chosen.suffixes):
                    continue
                if reason := find_reason_to_skip(path, frozenset(chosen.suffixes)):
                    skipped.append((path, reason))
                elif name := ImageName.parse(path):
                    images.append(self._describe_image(file, path, name))
        return Participant(label, tuple(_mark_repeated(images)), tuple(skipped))

    def _check_suffixes(self, labels: Sequence[str], chosen: Selection) -> None:
        """Refuse suffixes of which no image of these participants has one."""
        folders = [folder / DATATYPE for label in labels for folder in self._list_folders(label, chosen)]
        names = [file.name for folder in folders for file in _list_entries(folder)]
        there = {split_name(name)[1] for name in names if name.endswith(IMAGE_ENDINGS)}
        if there.isdisjoint(chosen.suffixes):
            found = f"but {format_first(sorted(there))}" if there else "nor any other"
            wanted = ", ".join(chosen.suffixes)
            raise UsageError(f"--suffix {wanted}: {self.root} has no such anatomical image, {found}")

    def _list_folders(self, label: str, chosen: Selection) -> list[Path]:
        """The folders in which a participant's ``anat`` may lie: of its sessions, or its own."""
        folder = self.root / f"sub-{label}"
        sessions = [folder / f"ses-{session}" for session in _list_labels(folder, "ses")]
        if chosen.sessions:
            return [one for one in sessions if one.name.removeprefix("ses-") in chosen.sessions]
        return [folder, *sessions]

    def _describe_image(self, file: Path, path: str, name: ImageName) -> RawImage:
        problem = _explain_missing(file)
        metadata: Metadata = {}
        try:
            for sidecar in self._find_sidecars(file, name):
                metadata |= read_json(sidecar)
        except UnreadableError as error:
            problem = problem or str(error)
        return RawImage(file, path, name, metadata, problem)

    def _find_sidecars(self, file: Path, name: ImageName) -> Iterator[Path]:
        """The JSON files that apply to an image, the most general first."""
        below = file.parent.relative_to(self.root)
        for folder in (self.root / above for above in reversed([below, *below.parents])):
            applicable = []
            for one in sorted(folder.glob(f"*{name.suffix}.json")):
                entities, suffix = split_name(one.name)
                if suffix == name.suffix and entities.items() <= name.entities.items():
                    applicable.append((len(entities), one))
            yield from (one for _, one in sorted(applicable))


def read_json(path: Path) -> Metadata:
    """The JSON object in a file.

    Raises:
        UnreadableError: it cannot be read, or holds anything else.
    """
    try:
        return parse_object(read_text(path).encode())
    except ValueError as error:
        raise UnreadableError(f"{path}: {error}; validate the data set") from None


def _list_labels(folder: Path, entity: str) -> list[str]:
    """The labels of the folders ``entity-LABEL``."""
    names = (one.name for one in _list_entries(folder) if one.name.startswith(f"{entity}-") and is_folder(one))
    return [name[len(entity) + 1 :] for name in names]


def _list_entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is no folder.

    Raises:
        UnreadableError: it cannot be listed.
    """
    with convert_os_errors(folder, "listed"):
        return sorted(folder.iterdir()) if is_there(folder) else []


def _check_labels(option: str, entity: str, chosen: Sequence[str], there: Collection[str], root: Path) -> None:
    missing = [label for label in chosen if label not in there]
    if missing:
        found = format_first([f"{entity}-{label}" for label in there]) if there else f"no {entity}-LABEL"
        raise UsageError(f"--{option} {' '.join(missing)}: {root} has no {entity}-{missing[0]}, but {found}")


def _explain_missing(file: Path) -> str:
    """Why an image is not there: a link or a pointer of git-annex that has no content here; "" if it is."""
    exists = is_there(file)
    target = str(file.readlink()) if file.is_symlink() else ""
    is_annexed = _is_pointer(file) if exists else ANNEX in target
    if is_annexed:
        return f"{file}: not downloaded (git-annex); datalad get, or git annex get, brings it"
    if exists:
        return ""
    return f"{file}: {'a link that leads nowhere' if target else explain_absence(file)}"


def _is_pointer(file: Path) -> bool:
    """Whether a file is what git-annex leaves in place of another; False where it cannot be read."""
    try:
        if file.stat().st_size > MAX_POINTER_BYTES:
            return False
        with open_regular(file) as content:
            return content.read(len(ANNEX) + 1) == f"/{ANNEX}".encode()
    except (OSError, UnreadableError):  # reading the image says what is wrong
        return False


def _mark_repeated(images: Sequence[RawImage]) -> list[RawImage]:
    """The images, those of one name (``.nii`` and ``.nii.gz``, ``acq-a`` and ``acq-A``) with that as their problem."""
    names = [fold_name(image.path.partition(".")[0]) for image in images]
    counts = Counter(names)
    sentence = "there is another file of this name, compressed or not, or in other capitals; keep or rename one of them"
    return [
        image if counts[name] == 1 else replace(image, problem=f"{image.file}: {sentence}")
        for name, image in zip(names, images, strict=True)
    ]
