"""``saint models``: what is shipped is what the manifest says."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from saint_cli.cli.app import app
from saint_cli.models import shipped, weights


def test_models_lists_the_shipped_weights_with_their_sizes() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    for name, parameters in (("base", "2,787,712"), ("medium", "401,184"), ("fast", "124,864")):
        assert name in result.output
        assert parameters in result.output
    assert "--model auto, the default, is medium" in result.output.splitlines()


@pytest.mark.parametrize("columns", [40, 60, 64, 80, 120])
def test_models_fit_a_narrow_terminal_with_whole_words_and_say_what_they_were_trained_on(columns: int) -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": str(columns)})
    assert max(map(len, result.stdout.splitlines())) <= columns
    words = result.stdout.split()
    for name, entry in shipped.read_manifest().items():
        assert f"{name}: trained on {entry['trained_on']}" in " ".join(words)
        assert {name, f"{entry['parameters']['ami']:,}", f"{entry['parameters']['rfn']:,}"} <= set(words)
    assert {"AMI", "RFN", "over", "dB", "at"} <= set(words)
    assert words.count("parameters") + words.count("parameters:") >= 2


def test_a_terminal_too_narrow_for_the_table_shows_no_broken_words() -> None:
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "40"})
    assert max(map(len, result.stdout.splitlines())) <= 40
    lines = result.stdout.splitlines()
    start = lines.index("slab-medium")
    assert lines[start + 1 : start + 3] == ["  for: CT slabs", "  AMI parameters: 401,328"]


@pytest.mark.parametrize("name", shipped.read_manifest())
def test_every_shipped_file_is_the_one_the_manifest_describes(name: str) -> None:
    entry = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)[name]
    data = (shipped.shipped_folder() / entry["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    model = weights.load_model(name)
    assert dict(zip(("ami", "rfn"), model.parameters, strict=True)) == entry["parameters"]
    gains = [figures["over cubic dB"] for figures in entry["validation"].values() if isinstance(figures, dict)]
    assert gains
    assert min(gains) > 0


def test_the_ami_of_base_has_the_papers_number_of_parameters() -> None:
    ami, rfn = weights.load_model("base").parameters
    assert 2.7e6 < ami < 2.95e6
    listed = shipped.read_manifest()["base"]["parameters"]
    assert (ami, rfn) == (listed["ami"], listed["rfn"])
