"""Help that can be read, and completion that knows the words and costs nothing."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from saint_cli.cli import help_texts
from saint_cli.cli.app import app
from saint_cli.node.rules import read_rules
from saint_cli.options import completion

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"

COMMANDS = ("upsample", "batch", "bids", "serve", "labels", "info", "evaluate", "models", "train", "slicer")


def shown(*arguments: str, columns: int = 80) -> str:
    """What a command line prints on a terminal so wide."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_no_type_of_what_takes_no_value(command: str) -> None:
    text = shown(*filter(None, [command]), "--help")
    assert "bool" not in text.lower().replace("boolean mask", "")
    assert "<str>" not in text or command in ("", "info")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_teaches_by_an_example(command: str) -> None:
    text = shown(*filter(None, [command]), "-h")
    example = text.partition("Examples")[2].partition("╭")[0]
    assert f"   saint {command or 'upsample'} " in example.replace("\n", " ")


def test_options_are_grouped() -> None:
    text = shown("upsample", "-h", columns=160)
    titles = [line.split("─")[1].strip() for line in text.splitlines() if line.startswith("╭")]
    assert titles[:8] == ["Arguments", "Output", "Grid", "Input", "Labels", "Model and method", "Machine", "Run"]
    flags = re.findall(r"^│ +(--[a-z-]+)", text, re.MULTILINE)
    assert flags.index("--labels") < flags.index("--labels-out")


def test_the_reference_in_the_docs_is_current() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = runpy.run_path(str(docs / "make_cli.py"))["render"]()
    assert (docs / "cli.md").read_text(encoding="utf-8") == page, "run python docs/make_cli.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_has_the_defaults_that_the_help_shows(command: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## saint {command}\n")[2].partition("\n## ")[0]
    defaults = re.findall(r"^\| `.*\| `(.*)` \|$", section, re.MULTILINE)
    helped = re.findall(r"\[default: ([^\]]*)\]", shown(command, "-h", columns=400))
    assert [default.removeprefix("--") for default in defaults] == helped


def test_the_rules_that_the_help_and_the_docs_show_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for text in (shown("serve", "-h"), page):
        example = re.search(r"^ ?\[\[rule\]\] *\n(?:.*=.*\n)+", text, re.MULTILINE)
        assert example is not None
        (tmp_path / "rules.toml").write_text(example[0])
        (rule,) = read_rules(tmp_path / "rules.toml", {}).rules
        assert (rule.name, rule.least_spacing_mm) == ("thick chest", 2.5)


def completed(words: str, folder: Path) -> tuple[list[str], list[str]]:
    """What bash would offer for a command line, and the heavy modules that were loaded for it."""
    program = (
        "import sys\nfrom saint_cli.cli.app import app\n"
        "try:\n    app(prog_name='saint')\nfinally:\n"
        "    print(sorted({'torch', 'numpy', 'SimpleITK', 'pydicom'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {"_SAINT_COMPLETE": "complete_bash", "COMP_WORDS": f"saint {words}"}
    environment["COMP_CWORD"] = str(len(words.split(" ")))
    package = str(Path(completion.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": package, "PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split(), done.stderr.strip().splitlines()[-1:]


CT_MODELS = ["fast", "medium", "base"]
MR_MODELS = ["mr-fast", "mr-medium"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("upsample scan.nii -m ", ["auto", *CT_MODELS, *MR_MODELS, "models/", "own.safetensors"]),
        ("upsample scan.nii --model b", ["base"]),
        ("upsample scan.nii --model m", ["medium", *MR_MODELS, "models/"]),
        ("upsample scan.nii --model models/", ["models/mine.safetensors"]),
        ("upsample scan.nii --modality ", ["auto", "ct", "mr"]),
        ("upsample scan.nii --device c", ["cpu", "cuda", "cuda:0"]),
        ("upsample scan.nii --device g", ["gpu", "gpu:0"]),
        ("batch IN OUT --to n", ["nii.gz", "nrrd"]),
        ("batch IN OUT --precision ", ["auto", "fp32", "bf16", "fp16"]),
        ("evaluate scan.nii --protocol ", ["paper", "all"]),
        ("evaluate scan.nii --model base,f", ["base,fast"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_completion_offers_the_words_of_an_option(words: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("own.safetensors", "scan.nii", "models/mine.safetensors", ".hidden.safetensors"):
        (tmp_path / name).touch()
    found, heavy = completed(words, tmp_path)
    assert sorted(found) == sorted(offered)
    assert heavy == ["[]"]


def test_words_of_a_list_are_offered_once() -> None:
    offer = completion.list_completer(lambda: ("derived", "label"))
    assert offer("") == ["derived", "label"]
    assert offer("derived,") == ["derived,label"]
    assert offer("derived,x") == []


@pytest.mark.parametrize("start", ["/no/such/folder/", "missing/w", "~nobody-of-this-name/"])
def test_a_folder_that_is_not_there_offers_nothing(start: str) -> None:
    assert completion.complete_model(start) == []


def test_names_that_a_shell_would_evaluate_are_not_offered(tmp_path: Path) -> None:
    for name in (
        "a b",
        "a;id",
        "a$(id)",
        "a`id`",
        'a\\"',
        "a'",
        "a\nb",
        "a\x1b[31m",
        "a\u202eb",
        "a*",
        "a短い",
        "a\udcff",
    ):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "a|b").mkdir()
    assert completion.complete_model(f"{tmp_path}/a") == [
        f"{tmp_path}/a b.safetensors",
        f"{tmp_path}/a短い.safetensors",
    ]


@pytest.mark.parametrize("words", [["--help"], ["upsample", "--help"], ["info", str(EXAMPLE)]])
def test_help_and_info_never_import_torch(words: list[str]) -> None:
    probe = (
        "import sys; from saint_cli.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", probe, *words], check=True, capture_output=True)


def test_no_sentence_of_the_help_is_broken_by_a_terminal_of_80_columns() -> None:
    texts = [text for name, text in vars(help_texts).items() if name.isupper() and isinstance(text, str)]
    lines = [line for text in texts for line in text.splitlines() if "[green]" not in line]
    assert len(lines) > 100
    assert [line for line in lines if len(line) > 78] == []
