from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from nets import tiny
from nets.tiny import CPU
from report.test_quality_control import FACTS, restored

from saint_cli.evaluation import selfcheck
from saint_cli.geometry import grid_by_factor
from saint_cli.options.method import NoiseHandling
from saint_cli.report import methods_text, texts
from saint_cli.runtime.version import __version__


def test_the_paragraph_names_program_weights_options_spacing_check_and_paper() -> None:
    restoration = restored(tiny.volume((20, 18, 7)), grid_by_factor(7, 2, 4))
    result = restoration.result()
    check = selfcheck.try_self_check(restoration, CPU)
    text = methods_text.write_methods(FACTS, restoration, result, check)
    for words in (
        "from 5 mm to 1.25 mm (7 to 25 slices)",
        f"saint {__version__} (model tiny, weights SHA-256 abababababab; options --factor 2)",
        "All acquired slices were kept unchanged",
        "(3 slices), the PSNR was",
        "with cubic interpolation (data range 4000 HU).",
        methods_text.CITATION,
    ):
        assert words in text
    assert "in.nii.gz" not in text
    without = methods_text.write_methods(replace(FACTS, options={}), restoration, result, "only 3 slices")
    assert "default options" in without
    assert "PSNR" not in without


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ("match", "Random noise was added to the synthesised slices"),
        ("smooth", "Noise of the acquired slices was reduced"),
    ],
)
def test_a_change_of_noise_is_said_and_that_the_check_is_without_it(noise: str, words: str) -> None:
    restoration = restored(tiny.volume((20, 18, 7)), grid_by_factor(7, 2, 4), noise=NoiseHandling(noise))
    check = selfcheck.try_self_check(restoration, CPU)
    assert isinstance(check, selfcheck.SelfCheck)
    said = "(3 slices, without this change of noise)"
    changed = replace(FACTS, options={"--noise": noise})
    text = methods_text.write_methods(changed, restoration, restoration.source, check)
    assert words in text
    assert said in text
    assert f"--noise {noise} was not applied here." in texts.describe_self_check(check, restoration, changed)
    assert "--noise" not in texts.describe_self_check(check, restoration, FACTS)
    kept = methods_text.write_methods(FACTS, restoration, restoration.source, check)
    assert words not in kept
    assert said not in kept


def test_the_data_range_of_other_modalities_is_that_of_the_self_check_without_a_unit() -> None:
    restoration = restored(tiny.volume((20, 18, 7), modality="MR"), grid_by_factor(7, 2, 4))
    check = selfcheck.try_self_check(restoration, CPU)
    assert isinstance(check, selfcheck.SelfCheck)
    text = methods_text.write_methods(FACTS, restoration, restoration.result(), check)
    assert f"with cubic interpolation (data range {check.data_range:.5g})." in text


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (7, "All acquired slices were kept unchanged"),
        (1, "1 of 7 acquired slices was kept unchanged"),
        (3, "3 of 7 acquired slices were kept unchanged"),
        (0, "none is an acquired slice kept unchanged"),
    ],
)
def test_what_was_kept_is_said_as_it_is(kept: int, words: str) -> None:
    assert words in methods_text._describe_acquired(kept, 7)


def test_the_citation_is_that_of_the_citation_file() -> None:
    path = Path(__file__).parents[2] / "CITATION.cff"
    (paper,) = yaml.safe_load(path.read_text(encoding="utf-8"))["references"]
    for author in paper["authors"]:
        assert author["family-names"] in methods_text.CITATION
    assert paper["title"] in methods_text.CITATION
    assert f"{paper['year']}, {paper['start']}\N{EN DASH}{paper['end']}." in methods_text.CITATION
