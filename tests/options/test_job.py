"""An option is declared once: command line, tables, pages and keys of batch jobs follow from its field."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from saint_cli.errors import UsageError
from saint_cli.options.fields import get_options, list_options
from saint_cli.options.job import COLUMNS, JOB_OPTIONS, JobSettings, key_options, make_settings, page_options

EVERYTHING = {
    **{"factor": 4, "axis": "y", "extrapolate": True, "series": "1.2.840.7", "volume": 2, "split_runs": True},
    **{"merge": True, "outside_data": True, "modality": "mr", "allow_labels": True, "slice_thickness": "spacing"},
    **{"model": "/secret/name/own.safetensors", "precision": "fp32", "match_noise": True, "tta": True},
    **{"directions": 4, "regenerate": True, "no_skip_air": True},
    **{"labels": "/secret/name/seg.nii.gz", "segments": "3,1,3", "no_guide": True},
    **{"device": "cpu", "batch_size": "3", "threads": 2, "max_memory": "2GB"},
}

KEY_OF_DEFAULTS = {
    **{"factor": None, "spacing_mm": None, "axis": None, "extrapolate": False},
    **{"directions": 2, "regenerate": False, "tta": False, "match_noise": False, "skip_air": True},
    **{"precision": "auto", "series": None, "volume": None, "modality": None},
    **{"keep_slice_thickness": True, "refuse_labels": True, "split_runs": False},
}
"""As in manifests that exist: another name, or one more, would compute every result again."""


def test_what_is_not_typed_has_its_default() -> None:
    assert make_settings({}) == make_settings({"factor": None, "tta": False, "batch_size": "auto"}) == JobSettings()


def test_keys_hold_what_changes_the_result_and_nothing_else() -> None:
    assert key_options(JobSettings()) == KEY_OF_DEFAULTS
    changed = key_options(make_settings(EVERYTHING))
    assert changed.keys() == {*KEY_OF_DEFAULTS, "merge", "outside_data", "noise", "segments", "guide"}
    assert {name for name, value in changed.items() if value == KEY_OF_DEFAULTS.get(name)} == {
        "spacing_mm",
        "match_noise",  # is in the key as noise
    }


def test_capitals_of_words_do_not_count() -> None:
    words = {"modality": "ct", "noise": "match", "slab": "header", "slab_profile": "gaussian", "axis": "z"} | {
        **{"device": "cuda:0,gpu:1", "precision": "fp32", "batch_size": "auto", "volume": "all"},
        **{"slice_thickness": "spacing", "max_memory": "4gb"},
    }
    assert make_settings({name: word.upper() for name, word in words.items()}) == make_settings(words)
    with pytest.raises(UsageError, match="--modality must be one of auto, ct, mr, not PT"):
        make_settings({"modality": "PT"})


def test_slab_false_counts_as_not_given() -> None:
    plain = make_settings({})
    settings = make_settings({"slab": "false"})
    assert settings == plain
    assert key_options(settings) == key_options(plain)
    assert page_options(settings) == page_options(plain)


def test_the_old_name_of_an_option_gives_the_key_of_the_new_one() -> None:
    old, new = (key_options(make_settings(typed)) for typed in ({"match_noise": True}, {"noise": "match"}))
    assert old == new == {**KEY_OF_DEFAULTS, "noise": "match"}


def test_a_page_lists_what_was_asked_for_without_folders_and_uids() -> None:
    assert page_options(JobSettings()) == {"--isotropic": ""}
    page = page_options(make_settings(EVERYTHING))
    assert page["--factor"] == "4"
    assert page["--axis"] == "y"
    assert page["--model"] == "own.safetensors"
    assert page["--slice-thickness"] == "spacing"
    assert page["--no-skip-air"] == ""
    assert (page["--labels"], page["--segments"], page["--no-guide"]) == ("seg.nii.gz", "1,3", "")
    assert not page.keys() & {"--series", "--isotropic", "--device", "--precision", "--batch-size", "--threads"}
    assert page_options(make_settings({"series": "3"}))["--series"] == "3"


def test_no_two_options_share_a_flag_or_a_name() -> None:
    flags = [flag for option in list_options(*JOB_OPTIONS) for flag in option.flags.split()]
    assert len(flags) == len(set(flags))
    assert len({option.name for option in list_options(*JOB_OPTIONS)}) == len(list_options(*JOB_OPTIONS))


def test_tables_cannot_say_where_to_compute_or_read_outside_of_a_folder() -> None:
    assert not COLUMNS.keys() & {"device", "batch_size", "threads", "max_memory", "outside_data", "no_skip_air"}


def test_the_manual_of_batches_lists_every_column() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    listed = manual.split("Columns of a table:")[1].split("\n\n")[0]
    assert [name for name in COLUMNS if not re.search(rf"\b{name}\b", listed)] == []


@pytest.mark.parametrize("kind", JOB_OPTIONS, ids=lambda kind: kind.__name__)
def test_defaults_can_be_typed(kind: type) -> None:
    for name, option in get_options(kind).items():
        assert option.convert(option.default) == getattr(kind() if name != "isotropic" else kind(factor=2), name)


def test_options_that_exclude_each_other_are_refused() -> None:
    for typed in ({"factor": 2, "spacing": 1.0}, {"factor": 2, "isotropic": True}, {"spacing": 1.0, "isotropic": True}):
        with pytest.raises(UsageError, match="`factor` and `spacing_mm`"):
            make_settings(typed)


def test_declaring_options_loads_nothing_heavy() -> None:
    program = (
        "import sys, saint_cli.cli.app; print(sorted({'numpy', 'torch', 'pydicom', 'SimpleITK'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
