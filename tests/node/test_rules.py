"""Rules: what they match, and how a wrong one is told."""

import re
from pathlib import Path

import fabricate
import pytest
from pydicom import Dataset

from saint_cli.errors import SaintError
from saint_cli.io import StackInfo, describe
from saint_cli.node.rules import Rule, Rules, make_default_rules, read_rules


def write(folder: Path, text: str) -> Path:
    """A file of rules."""
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def stack(modality: str = "CT", description: str | None = "SECRET chest", spacing: float | None = 5.0) -> StackInfo:
    """A stack of ten slices."""
    return StackInfo(
        1, "1.2.3", "DICOM", modality, (8, 8, 10), slice_distance_mm=spacing, series_description=description
    )


def matched(rules: Rules, one: StackInfo) -> str:
    """The name of the rule that a stack is upsampled by."""
    rule = rules.match(one)
    assert isinstance(rule, Rule), rule
    return rule.name


def refused(rules: Rules, one: StackInfo) -> str:
    """Why a stack is not processed."""
    reason = rules.match(one)
    assert isinstance(reason, str)
    return reason


def test_the_first_rule_that_matches_holds(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "one"\nmatch = { least_spacing = 4 }\n[[rule]]\nname = "two"\n'
    rules = read_rules(write(tmp_path, text), {})
    assert matched(rules, stack(spacing=5.0)) == "one"
    assert matched(rules, stack(spacing=4.0)) == "one"
    assert matched(rules, stack(spacing=3.99)) == "two"


def test_options_of_a_rule_and_of_the_machine_become_those_of_its_jobs(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "a"\noptions = { spacing = 1, model = "fast", "in-plane" = 0.5 }\n'
    (rule,) = read_rules(write(tmp_path, text), {"threads": 3, "device": "cpu"}).rules
    assert (rule.settings.grid.spacing_mm, rule.settings.grid.in_plane_mm) == (1, 0.5)
    assert (rule.settings.model_config.model, rule.settings.model_config.threads) == ("fast", 3)


@pytest.mark.parametrize(
    ("value", "slab"), [("true", True), ("false", None), ("5", 5.0), ("2.5", 2.5), ('"header"', True)]
)
def test_slabs_of_a_rule_are_a_word_or_a_thickness(tmp_path: Path, value: str, slab: bool | float | None) -> None:
    text = f'[[rule]]\nname = "a"\noptions = {{ factor = 4, slab = {value} }}\n'
    (rule,) = read_rules(write(tmp_path, text), {}).rules
    assert rule.settings.grid.slab == slab
    assert isinstance(rule.settings.grid.slab, type(slab))


def test_slabs_with_weights_that_are_not_for_these_are_refused_before_series_come(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "a"\noptions = { slab = true, model = "base" }\n'
    with pytest.raises(SaintError, match="for slabs"):
        read_rules(write(tmp_path, text), {}).check()


@pytest.mark.parametrize("description", ["CHEST", "a chest b", "Chest 5mm"])
def test_descriptions_match_in_any_case(description: str) -> None:
    rules = Rules((Rule("chest", description="*cHest*"),))
    assert matched(rules, stack(description=description)) == "chest"


@pytest.mark.parametrize("pattern", ["chest", "*[c]hest?", "chest*"])
def test_a_pattern_is_of_the_whole_description(pattern: str) -> None:
    assert refused(Rules((Rule("chest", description=pattern),)), stack(description="a chest"))


def test_brackets_in_a_pattern_stand_for_themselves() -> None:
    rules = Rules((Rule("scouts", description="*[scout]*"),))
    assert matched(rules, stack(description="chest [SCOUT] 1")) == "scouts"
    assert refused(rules, stack(description="THORAX"))


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (stack("MR"), "is not CT"),
        (stack(spacing=1.25), "slices every 1.25 mm, below 2 mm"),
        (StackInfo(1, "u", "DICOM", "CT", (8, 8, 1)), "single slice"),
        (StackInfo(1, "u", "DICOM", "CT", (8, 8, 9), slice_distance_mm=5.0, secondary="a derived image"), "derived"),
    ],
)
def test_what_matches_no_rule_is_not_processed_and_the_reason_quotes_no_header(one: StackInfo, reason: str) -> None:
    text = refused(make_default_rules({}), one)
    assert reason in text
    assert "SECRET" not in text


def test_a_rule_may_skip_what_it_matches() -> None:
    rules = Rules((Rule("scouts", description="*scout*", skip=True), Rule("rest")))
    assert '"scouts" skips it' in refused(rules, stack(description="Scout 1"))
    assert matched(rules, stack()) == "rest"


@pytest.mark.parametrize("kept", [(0, 1, 3, 4, 5), (0, 2, 3, 4, 6, 7)], ids=["one missing", "some missing"])
@pytest.mark.parametrize("claimed", [2.0, None], ids=["the gap claimed", "silent"])
def test_an_incomplete_stack_is_judged_by_its_positions_whatever_its_headers_say(
    tmp_path: Path, kept: tuple[int, ...], claimed: float | None
) -> None:
    def claim(_: int, data: Dataset) -> None:
        data.SliceThickness, data.SpacingBetweenSlices = 5, claimed

    whole = fabricate.changed(fabricate.slices(8, step=(0, 0, 7.0), modality="MR"), claim)
    (one,) = describe(fabricate.save([whole[i] for i in kept], tmp_path / "s")).stacks
    assert one.problem is not None
    assert matched(Rules((Rule("thick", "MR", least_spacing_mm=6.9),)), one) == "thick"
    assert refused(Rules((Rule("thicker", "MR", least_spacing_mm=7.1),)), one)


def test_a_stack_without_positions_matches_for_its_problem_must_be_told() -> None:
    silent = StackInfo(1, "u", "DICOM", "CT", (8, 8, 9), problem="positions are missing")
    assert matched(make_default_rules({}), silent) == "CT"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]\nname = 1", "not a TOML file of rules: .*line 1, column"),
        ("\xff\xfe", "holds no rules|not a TOML file"),
        ("", "holds no rules"),
        ("rule = 3", "holds no rules"),
        ("rule = [3]", "holds no rules"),
        ("[[rules]]\nname = 'a'", r'"rules" is no key of this file; write \[\[rule\]\]'),
        ("[[rule]]\nmatch = {}", "rule 1: needs a name"),
        ("[[rule]]\nname = 'a\\n'", "rule 1: needs a name"),
        ("[[rule]]\nname = 'a'\n[[rule]]\nname = 'a'", 'two rules are called "a"'),
        ("[[rule]]\nname = 'a'\nmodality = 'CT'", 'rule 1: "modality" is none of name, match, options, skip'),
        ("[[rule]]\nname = 'a'\nmatch = { modality = 'US' }", r'rule 1 \("a"\), match: modality must be one of CT, MR'),
        ("[[rule]]\nname = 'a'\nmatch = { modality = 1 }", "modality = 1 is not a text"),
        ("[[rule]]\nname = 'a'\nmatch = { thickness = 2 }", 'match: "thickness" is none of modality, description'),
        ("[[rule]]\nname = 'a'\nmatch = { least_spacing = -1 }", "least_spacing = -1 is not a distance"),
        ("[[rule]]\nname = 'a'\nmatch = { least_spacing = nan }", "least_spacing = nan is not a distance"),
        ("[[rule]]\nname = 'a'\nmatch = { least_spacing = true }", "least_spacing = True is not a number"),
        ("[[rule]]\nname = 'a'\nskip = 1", "skip = 1 is not true or false"),
        ("[[rule]]\nname = 'a'\nskip = true\noptions = { factor = 2 }", "skip = true has no options"),
        ("[[rule]]\nname = 'a'\noptions = { faktor = 2 }", 'options: "faktor" is none of factor'),
        ("[[rule]]\nname = 'a'\noptions = { series = '1' }", 'options: "series" is none of factor'),
        ("[[rule]]\nname = 'a'\noptions = { factor = 2.5 }", "factor = 2.5 is not a whole number"),
        ("[[rule]]\nname = 'a'\noptions = { factor = 99 }", "rule 1 .*options: .*99"),
        ("[[rule]]\nname = 'a'\noptions = { factor = 2, spacing = 1 }", "options: .*give one"),
        (
            "[[rule]]\nname = 'a'\nmatch = { modality = 'MR' }\noptions = { noise = 'match' }",
            'noise = "match" needs CT',
        ),
        ("[[rule]]\nname = 'a'\noptions = { noise = 'smooth', modality = 'mr' }", "is for MR"),
        ("[[rule]]\nname = 'a'\noptions = 3", "options = 3 is not a table"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_file_its_number_and_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SaintError) as raised:
        read_rules(path, {})
    assert str(raised.value).startswith(f"{path}: ")
    assert re.search(message, str(raised.value)), raised.value


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SaintError, match=r"none\.toml: cannot be read"):
        read_rules(tmp_path / "none.toml", {})


def test_a_model_that_cannot_be_had_is_refused_before_anything_is_received(tmp_path: Path) -> None:
    rules = read_rules(write(tmp_path, "[[rule]]\nname = 'a'\noptions = { model = 'huge' }\n"), {})
    with pytest.raises(SaintError, match="huge"):
        rules.check()
