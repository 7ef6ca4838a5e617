"""How ``saint bids`` is typed: as other BIDS Apps are; and what it says without its extra."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from saint_cli.cli.app import app
from saint_cli.cli.bids import parse_labels
from saint_cli.cli.parsing import adapt_arguments


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("IN OUT participant", "IN OUT participant"),
        ("IN --participant-label 01 02 -f 2", "IN --participant-label 01 --participant-label 02 -f 2"),
        ("--participant_label=01 02", "--participant-label=01 --participant-label 02"),
        ("--n_procs 2 --no_such", "--n-procs 2 --no_such"),
        ("--suffix T2w FLAIR --tta OUT", "--suffix T2w --suffix FLAIR --tta OUT"),
        ("--participant-label -h", "--participant-label -h"),
    ],
)
def test_options_may_be_spelled_as_other_bids_apps_spell_them(typed: str, expected: str) -> None:
    group = typer.main.get_command(app)
    context = group.context_class(group, info_name="saint")
    command = group.get_command(context, "bids")  # type: ignore[attr-defined]
    assert adapt_arguments(typed.split(), command.params) == expected.split()


def test_labels_are_taken_with_and_without_their_prefix_each_once() -> None:
    assert parse_labels("sub-")(["01", "sub-02,03", "02"]) == ("01", "02", "03")


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['bidsschematools'] = None; from saint_cli.__main__ import main; main()"
    line = [sys.executable, "-c", program, "bids", str(tmp_path), str(tmp_path / "out"), "participant"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "saint: saint bids needs bidsschematools, the names of BIDS: pip install 'saint-cli[bids]'\n"
