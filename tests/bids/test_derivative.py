"""What is said of results: what stays true of raw images, what saint adds, and for whom a folder of results is."""

from pathlib import Path

import fabricate_bids
import pytest
from make_jobs import make_record

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.bids.dataset import RawDataset, RawImage
from saint_cli.bids.derivative import check_output, make_sidecar, write_description, write_sidecar
from saint_cli.bids.names import ImageName
from saint_cli.errors import UsageError
from saint_cli.options.job import JobSettings, key_options

PATH = "sub-1/anat/sub-1_T2w.nii.gz"


def make_image(**metadata: object) -> RawImage:
    """A raw image with these metadata."""
    name = ImageName.parse(PATH)
    assert name is not None
    return RawImage(Path(PATH), PATH, name, metadata)


def make_done(**more: object) -> JobRecord:
    """The record of a result."""
    known = {"spacing_before_mm": (0.5, 0.5, 5.0), "spacing_after_mm": (0.5, 0.5, 0.5), "weights_sha256": "ab"}
    known |= {"details": {"axis": "z", "acquired_kept": 5}, "options": key_options(JobSettings(modality="MR"))}
    target = {"target": "anat/x.nii.gz", "name": "anat/x", "status": JobStatus.DONE}
    return make_record(**{**target, **known, **more})


def test_a_sidecar_names_source_spacing_weights_and_options() -> None:
    options = key_options(JobSettings(modality="MR")) | {"tta": True}
    document = make_sidecar(make_done(options=options, versions={"saint": "1.0"}), make_image())
    assert document["Sources"] == [f"bids:raw:{PATH}"]
    assert document["SpatialReference"] == f"bids:raw:{PATH}"
    assert document["Resolution"] == "0.5 x 0.5 x 0.5 mm, interpolated from 0.5 x 0.5 x 5 mm"
    assert document["SkullStripped"] is False
    saint = document["Saint"]
    assert (saint["Version"], saint["Model"], saint["WeightsSHA256"]) == ("1.0", "fast", "ab")
    assert (saint["SpacingBefore"], saint["SpacingAfter"]) == ([0.5, 0.5, 5.0], [0.5, 0.5, 0.5])
    used = {"extrapolate": False, "precision": "auto", "directions": 2, "regenerate": False, "tta": True}
    assert saint["Options"] == used


def test_a_sidecar_says_how_many_of_the_acquired_slices_were_kept() -> None:
    some = make_done(details={"axis": "z", "acquired_kept": 3}, shape_before=(8, 8, 15))
    document = make_sidecar(some, make_image())
    assert document["Description"].endswith("acquired slices kept bit for bit: 3 of 15")
    assert (document["Saint"]["AcquiredSlicesKept"], document["Saint"]["AcquiredSlices"]) == (3, 15)


@pytest.mark.parametrize(
    ("shape", "spacing", "words"),
    [
        ((8, 8, 7), (0.5, 0.5, 10.0), "Means of acquired slices along z; acquired slices kept bit for bit: 0 of 15"),
        ((4, 4, 15), (1.0, 1.0, 5.0), "Acquired slices resampled in their plane; acquired"),
    ],
)
def test_a_sidecar_of_a_result_that_no_networks_made_speaks_of_no_interpolation(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], words: str
) -> None:
    known = {"shape_before": (8, 8, 15), "shape_after": shape, "spacing_after_mm": spacing, "weights_sha256": ""}
    document = make_sidecar(make_done(details={"axis": "z", "acquired_kept": 0}, **known), make_image())
    assert document["Description"].startswith(words)
    assert ", resampled from 0.5 x 0.5 x 5 mm" in document["Resolution"]


def test_fields_that_interpolation_makes_untrue_or_that_name_a_place_are_not_inherited() -> None:
    true = {"EchoTime": 0.1, "RepetitionTime": 4.0, "FlipAngle": 90, "MagneticFieldStrength": 3, "MTState": True}
    untrue = {"SliceTiming": [0, 1], "SliceThickness": 5, "SpacingBetweenSlices": 5, "SliceEncodingDirection": "k"}
    private = {"InstitutionName": "S", "DeviceSerialNumber": "S", "PatientName": "S", "AcquisitionDateTime": "S"}
    document = make_sidecar(make_done(), make_image(**true, **untrue, **private))
    assert true.items() <= document.items()
    assert not document.keys() & {*untrue, *private}


def test_a_stripped_skull_stays_stripped() -> None:
    assert make_sidecar(make_done(), make_image(SkullStripped=True))["SkullStripped"] is True


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    dataset = RawDataset.open(fabricate_bids.save_dataset(tmp_path / "raw"))
    out = tmp_path / "out"

    def write() -> dict[str, tuple[int, int]]:
        write_description(out, dataset)
        write_sidecar(out / "sub-1", make_done(), make_image())
        return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(out.rglob("*")) if p.is_file()}

    first = write()
    assert sorted(first) == [".bidsignore", "README.md", "dataset_description.json", "x.json"]
    assert write() == first


def test_a_description_refers_to_the_raw_data_set_and_keeps_what_people_add(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw set", License="CC0", DatasetDOI="doi:10.1/x", Authors=["A"])
    out = root / "derivatives" / "saint"
    write_description(out, RawDataset.open(root))
    path = out / "dataset_description.json"
    document = fabricate_bids.read_json(path)
    assert document["DatasetLinks"] == {"raw": "../.."}
    assert document["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    assert (document["DatasetType"], document["License"]) == ("derivative", "CC0")
    assert [one["Name"] for one in document["GeneratedBy"]] == ["saint"]
    assert "Authors" not in document
    other = {"Name": "defacer"}
    fabricate_bids.save_json(path, **{**document, "Authors": ["B"], "GeneratedBy": [other, {"Name": "saint"}]})
    write_description(out, RawDataset.open(root))
    again = fabricate_bids.read_json(path)
    assert again["Authors"] == ["B"]
    assert again["GeneratedBy"] == [other, *document["GeneratedBy"]]


def test_a_folder_beside_the_raw_data_set_links_to_it(tmp_path: Path) -> None:
    root = fabricate_bids.save_dataset(tmp_path / "raw set")
    write_description(tmp_path / "out", RawDataset.open(root))
    document = fabricate_bids.read_json(tmp_path / "out" / "dataset_description.json")
    assert document["DatasetLinks"] == {"raw": "../raw%20set"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    dataset = RawDataset.open(fabricate_bids.save_dataset(tmp_path / "raw"))
    other = RawDataset.open(fabricate_bids.save_dataset(tmp_path / "other"))
    write_description(tmp_path / "mine", dataset)
    write_description(tmp_path / "others", other)
    fabricate_bids.save_dataset(tmp_path / "foreign", GeneratedBy=[{"Name": "fMRIPrep"}])
    check_output(tmp_path / "mine", dataset)
    check_output(tmp_path / "new", dataset)
    check_output(tmp_path / "raw" / "derivatives" / "saint", dataset)
    for folder, message in {
        "raw": "is the raw data set",
        "raw/sub-1/saint": "lies in a participant",
        "foreign": "that saint did not make",
        "others": "holds results of the data set at ../other, not of",
    }.items():
        with pytest.raises(UsageError, match=message):
            check_output(tmp_path / folder, dataset)


@pytest.mark.parametrize(
    "wrong",
    [
        {"GeneratedBy": "saint"},
        {"GeneratedBy": ["saint"]},
        {"GeneratedBy": {"Name": "saint"}},
        {"GeneratedBy": [{"Name": "saint"}], "DatasetLinks": ["../raw"]},
    ],
    ids=["a text", "a list of texts", "an object", "links in a list"],
)
def test_a_description_of_other_types_than_those_of_bids_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    dataset = RawDataset.open(fabricate_bids.save_dataset(tmp_path / "raw"))
    fabricate_bids.save_dataset(tmp_path / "out", **wrong)
    with pytest.raises(UsageError, match=r"dataset_description\.json: not a description by BIDS"):
        check_output(tmp_path / "out", dataset)
