import pytest

from saint_cli.evaluation.verdict import Verdict


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (
            Verdict(0.94, 29.2, 24.6, "HU"),
            "On this scan saint predicts left-out slices 0.9 dB better than cubic interpolation; most of the remaining "
            "29 HU is noise (noise alone makes 25 HU).",
        ),
        (
            Verdict(2.0, 50.0, 18.0, "HU"),
            "On this scan saint predicts left-out slices 2.0 dB better than cubic interpolation; the remaining mean "
            "error is 50 HU, of which noise alone makes 18 HU.",
        ),
        (
            Verdict(2.0, 3.456, None, ""),
            "On this scan saint predicts left-out slices 2.0 dB better than cubic interpolation; the remaining mean "
            "error is 3.5.",
        ),
    ],
)
def test_a_better_prediction_is_told_in_figures(verdict: Verdict, sentence: str) -> None:
    assert verdict.is_better
    assert verdict.describe() == sentence


@pytest.mark.parametrize(
    ("gain", "words"),
    [(-1.2, "1.2 dB worse than cubic"), (-0.02, "no better than cubic"), (0.04, "no better than cubic")],
)
def test_a_prediction_that_is_not_better_is_a_warning(gain: float, words: str) -> None:
    verdict = Verdict(gain, 29.0, 20.0, "HU")
    assert not verdict.is_better
    assert words in verdict.describe()


def test_without_body_in_the_region_the_sentence_is_of_the_gain_alone() -> None:
    assert Verdict(0.07, float("nan"), None, "HU").describe().endswith("0.1 dB better than cubic interpolation.")


def test_noise_never_makes_more_than_the_whole_error() -> None:
    assert "noise alone makes 30 HU" not in Verdict(1.0, 29.0, 30.0, "HU").describe()
