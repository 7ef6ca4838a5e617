"""What is taken of a raw data set, with the metadata that apply to it; and what is wrong with data sets."""

import os
from pathlib import Path

import fabricate_bids
import pytest

from saint_cli.bids.dataset import Participant, RawDataset, Selection
from saint_cli.errors import SaintError, UnreadableError, UsageError


def find(root: Path, **chosen: tuple[str, ...]) -> list[Participant]:
    """The participants of a data set."""
    return RawDataset.open(root).find_participants(Selection(**chosen))


def list_paths(participants: list[Participant]) -> list[str]:
    """The paths of all images."""
    return [image.path for participant in participants for image in participant.images]


def test_labels_and_suffixes_choose_images(tmp_path: Path) -> None:
    paths = [
        "sub-1/ses-a/anat/sub-1_ses-a_T2w.nii",
        "sub-1/ses-b/anat/sub-1_ses-b_FLAIR.nii",
        "sub-2/anat/sub-2_T2w.nii.gz",
    ]
    root = fabricate_bids.save_dataset(tmp_path, *paths, "sub-2/func/sub-2_task-x_bold.nii.gz")
    fabricate_bids.save_image(root / "derivatives" / "x" / "sub-3" / "anat" / "sub-3_T2w.nii")
    assert list_paths(find(root)) == paths
    assert list_paths(find(root, participants=("1",))) == paths[:2]
    assert list_paths(find(root, participants=("1",), sessions=("b",))) == paths[1:2]
    assert list_paths(find(root, sessions=("a",))) == paths[:1]
    assert list_paths(find(root, suffixes=("T2w",))) == [paths[0], paths[2]]


def test_nearer_sidecars_overrule_and_those_of_other_images_do_not_apply(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path, "sub-1/ses-a/anat/sub-1_ses-a_acq-x_run-1_T2w.nii")
    save, folder = fabricate_bids.save_json, root / "sub-1" / "ses-a" / "anat"
    save(root / "T2w.json", EchoTime=1, RepetitionTime=1, FlipAngle=1)
    save(root / "acq-x_T2w.json", FlipAngle=2, EchoTime=2)
    save(root / "sub-1" / "sub-1_T2w.json", EchoTime=3)
    save(folder / "sub-1_ses-a_acq-x_run-1_T2w.json", Manufacturer="it")
    for other in ("acq-y_T2w", "sub-1_echo-1_T2w", "FLAIR", "inplaneT2w"):
        save(root / f"{other}.json", EchoTime=9, Manufacturer="other")
    (participant,) = find(root)
    expected = {"EchoTime": 3, "RepetitionTime": 1, "FlipAngle": 2, "Manufacturer": "it"}
    assert participant.images[0].metadata == expected


def test_files_that_git_annex_has_not_brought_are_named_so(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz")
    folder = root / "sub-1" / "anat"
    (folder / "sub-1_FLAIR.nii.gz").symlink_to("../../.git/annex/objects/xX/1q/MD5E-s9--a.nii.gz/MD5E-s9--a.nii.gz")
    (folder / "sub-1_PDw.nii.gz").write_text("/annex/objects/MD5E-s9--b.nii.gz\n")
    (folder / "sub-1_T1w.nii.gz").symlink_to("nowhere.nii.gz")
    problems = {image.name.suffix: image.problem for image in find(root)[0].images}
    assert problems["T2w"] == ""
    assert problems["FLAIR"].endswith("not downloaded (git-annex); datalad get, or git annex get, brings it")
    assert problems["PDw"].endswith("not downloaded (git-annex); datalad get, or git annex get, brings it")
    assert problems["T1w"].endswith("a link that leads nowhere")


def test_downloaded_files_of_git_annex_are_taken(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path)
    content = fabricate_bids.save_image(root / ".git" / "annex" / "objects" / "a" / "MD5E-s9--a.nii.gz")
    link = root / "sub-1" / "anat" / "sub-1_T2w.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(content, link.parent))
    assert find(root)[0].images[0].problem == ""


@pytest.mark.parametrize(
    "names", [("sub-1_T2w.nii.gz", "sub-1_T2w.nii"), ("sub-1_acq-A_T2w.nii.gz", "sub-1_acq-a_T2w.nii.gz")]
)
def test_two_files_of_one_name_are_both_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = fabricate_bids.save_dataset(tmp_path, *(f"sub-1/anat/{name}" for name in names))
    assert ["another file of this name" in image.problem for image in find(root)[0].images] == [True, True]


def test_a_broken_sidecar_is_the_problem_of_its_images(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz", "sub-1/anat/sub-1_FLAIR.nii")
    (root / "T2w.json").write_text("{")
    problems = {image.name.suffix: image.problem for image in find(root)[0].images}
    assert problems == {"FLAIR": "", "T2w": f"{root / 'T2w.json'}: not JSON; validate the data set"}


def test_ct_is_named_among_what_is_skipped(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path, "sub-1/ct/sub-1_ct.nii.gz")
    (participant,) = find(root)
    assert participant.images == ()
    assert participant.skipped == (("sub-1/ct", "CT, which BIDS does not define yet; saint batch takes it"),)


@pytest.mark.parametrize(
    ("break_it", "chosen", "error", "message"),
    [
        (lambda root: (root / "dataset_description.json").unlink(), {}, UnreadableError, "no dataset_description.json"),
        (lambda root: (root / "dataset_description.json").write_text("[]"), {}, UnreadableError, "not a JSON object"),
        (lambda root: (root / "sub-1").rename(root / "1"), {}, UnreadableError, "has no folder sub-LABEL"),
        (lambda root: root.rename(root.with_name("y")), {}, UnreadableError, "no such file or folder"),
        (lambda root: None, {"participants": ("1", "7")}, UsageError, "label 7: .* has no sub-7, but sub-1"),
        (lambda root: None, {"sessions": ("b",)}, UsageError, "--session-label b: .* has no ses-b, but ses-a"),
    ],
    ids=["no description", "a list", "no participants", "no folder", "no such participant", "no such session"],
)  # fmt: skip
def test_a_broken_data_set_is_refused_in_one_sentence(
    break_it: object, chosen: dict[str, tuple[str, ...]], error: type[SaintError], message: str, tmp_path: Path
) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "x", "sub-1/ses-a/anat/sub-1_ses-a_T2w.nii")
    break_it(root)  # type: ignore[operator]
    with pytest.raises(error, match=message):
        find(root, **chosen)
