"""Single frames of enhanced images: what functional groups say of the anatomy, in the words of a classic image."""

from pathlib import Path

import fabricate
import pytest
from fabricate import interpolated, saved_series
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume


def flattened(image: Dataset, folder: Path) -> list[Dataset]:
    """The image after saving, reading, interpolating and writing as single frames."""
    source = fabricate.save([image], folder / "source")
    write_volume(interpolated(read_volume(source), 2), folder / "out")
    return saved_series(folder / "out")


@pytest.mark.parametrize("anatomy", fabricate.ANATOMIES)
@pytest.mark.parametrize("shared", [True, False])
def test_the_side_of_a_frame_is_that_of_the_image_and_stated_once(anatomy: str, shared: bool, tmp_path: Path) -> None:
    image = fabricate.enhanced("MR", anatomy, shared=shared)
    image.Laterality = "R"
    for data in flattened(image, tmp_path):
        assert data.ImageLaterality == fabricate.ANATOMIES[anatomy][0]
        assert "Laterality" not in data


@pytest.mark.parametrize("side", ["R", None])
def test_the_side_of_the_series_stays_where_frames_name_none(side: str | None, tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    image.BodyPartExamined, image.Laterality = "KNEE", side
    for data in flattened(image, tmp_path):
        assert "ImageLaterality" not in data
        assert (data.Laterality or None) == side
