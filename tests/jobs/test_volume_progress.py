"""Progress, warnings and numbers of the volumes of a 4-D scan."""

import pytest

from saint_cli.errors import UsageError
from saint_cli.jobs.volume_progress import VolumeProgress, merge_warnings
from saint_cli.options.values import parse_volume
from saint_cli.volume.warning_words import MORE_THAN_ITS_HEADER


def test_progress_never_goes_back_and_ends_at_the_end() -> None:
    seen: list[tuple[int, int]] = []
    progress = VolumeProgress(
        lambda stage, done, total: seen.append((done, total)), 3, {"a": 2.0, "b": 1.0}, {"check": 1.0}, 1
    )
    for index in range(3):
        progress.begin(index)
        for stage in ("a", *(["check"] if index == 1 else []), "b", "unknown"):
            progress(stage, 1, 2)
            progress(stage, 2, 2)
    assert seen == sorted(seen)
    assert seen[0] == (0, 3000)
    assert progress.stage.seconds == 10.0
    progress.begin(3)
    assert seen[-1] == (3000, 3000)


@pytest.mark.parametrize(
    ("volumes", "merged"),
    [
        ([("a",), ("a",)], ("a",)),
        ([("a",), (), ("a",), ("a",)], ("a (volumes 1, 3\N{EN DASH}4)",)),
        ([(), ("b",)], ("b (volume 2)",)),
        ([(), (f"the file is longer {MORE_THAN_ITS_HEADER}",)], (f"the file is longer {MORE_THAN_ITS_HEADER}",)),
        ([("3 of 9 NaN",), ("4 of 9 NaN",)], ("3 of 9 NaN (volume 1; similar in the others)",)),
        ([("3 of 9 NaN",), ("4 of 9 NaN",), ()], ("3 of 9 NaN (volumes 1\N{EN DASH}2; similar in each)",)),
    ],
)
def test_a_warning_of_several_volumes_is_one_sentence(volumes: list[tuple[str, ...]], merged: tuple[str, ...]) -> None:
    assert merge_warnings(volumes) == merged


@pytest.mark.parametrize("typed", ["0", "-1", "x", "1.5", "alle"])
def test_a_volume_is_a_number_from_1_on_or_all(typed: str) -> None:
    with pytest.raises(UsageError, match=f"`volume={typed}`"):
        parse_volume(typed)
    assert [parse_volume(word) for word in ("3", "all", "ALL")] == [3, "all", "all"]
