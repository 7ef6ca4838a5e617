"""Wrong command lines and failures: one line on stderr, one exit code, and JSON where it was asked for."""

import json
import shutil
from pathlib import Path

import pytest
from cli.runs import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"
UPSAMPLE = ("upsample", "a.nii", "-o", "b.nii")

MISUSES = {
    "fractional factor": ((*UPSAMPLE, "--factor", "2.5"), ("--factor 2.5 is not a whole number", "--spacing MM")),
    "short option": ((*UPSAMPLE, "-f", "two"), ("--factor two is not a whole number", "--spacing MM")),
    "word for an integer": ((*UPSAMPLE, "--threads", "all"), ("--threads all is not a whole number",)),
    "word for a number": ((*UPSAMPLE, "--spacing", "fine"), ("--spacing fine is not a number",)),
    "raised digit": ((*UPSAMPLE, "--batch-size", "²"), ("--batch-size ² is neither auto nor a positive integer",)),
    "unknown option": ((*UPSAMPLE, "--facto", "2"), ("no such option: --facto", "--factor", "saint upsample --help")),
    "missing output": (("upsample", "a.nii"), ("missing option '-o' / '--output'", "saint upsample --help")),
    "option without value": (("upsample", "a.nii", "-o"), ("-o", "requires an argument")),
    "one input too many": ((*UPSAMPLE, "c.nii"), ("c.nii", "takes one scan, saint batch takes several")),
    "unknown option of saint": (("--fast",), ("no such option: --fast", "saint --help")),
    "unknown command": (("upscale",), ("no such command 'upscale'", "saint --help")),
    "misspelt command": (("upsampel", "a.nii"), ("Did you mean 'upsample'? saint --help",)),
    "missing argument": (("info",), ("missing argument 'PATH...'", "saint info --help")),
    "one of two arguments": (("batch", "scans"), ("needs IN... and OUT_DIR, in this order", "batch --help")),
    "labels without a map": (("batch", "scans", "out", "--segments", "1,3"), ("--segments needs label maps; name",)),
    "empty input": (("upsample", "", "-o", "b.nii"), ("INPUT is empty; give it a value", "variable")),
    "empty output": (("upsample", "a.nii", "-o", ""), ("--output is empty",)),
    "one of several paths empty": (("info", "a.nii", ""), ("PATH is empty",)),
    "empty folder of a batch": (("batch", "", "out"), ("IN is empty",)),
    "empty path of a page": ((*UPSAMPLE, "--report", ""), ("--report is empty",)),
    "empty validation volume": (("train", "d", "-o", "r", "--val", ""), ("--val is empty",)),
    "empty weights to start from": (("train", "d", "-o", "r", "--val", "v", "--init", ""), ("--init is empty",)),
    "empty teacher": (("train", "d", "-o", "r", "--val", "v", "--teacher", ""), ("--teacher is empty",)),
    "empty model": ((*UPSAMPLE, "--model", ""), ("--model is empty",)),
    "empty level of analysis": (("bids", "in", "out", ""), ("participant is empty; give it a value",)),
    "empty scan of labels": (("labels", "a.nii", "--like", "", "-o", "b.nii"), ("--like is empty",)),
    "workers of a cluster": (
        ("batch", "scans", "out", "--workers", "2", "--scheduler", "tcp://h:1"),
        ("--workers are of this machine, and --scheduler names a cluster with its own; give one",),
    ),
    "another command": (
        ("train", "d", "--val", "v", "-o", "r", "--steps", "1e3"),
        ("--steps 1e3 is not a whole number",),
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(name: str) -> None:
    arguments, expected = MISUSES[name]
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("saint: ")
    assert result.stderr.count("\n") == 1
    for words in expected:
        assert words in result.stderr


def test_a_file_whose_name_was_taken_for_options_is_told_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(EXAMPLE, "-dash.nii.gz")
    assert "no such option: -d;" in (said := run("info", "-dash.nii.gz").stderr)
    assert said.endswith("to name the file, write ./-dash.nii.gz\n")
    assert run("info", "./-dash.nii.gz").exit_code == run("info", "--", "-dash.nii.gz").exit_code == 0
    assert "to name the file" not in run("info", "-other.nii.gz").stderr
    assert "to name the file" not in run("info", "--oops", "--", "-dash.nii.gz").stderr


@pytest.mark.parametrize("arguments", [("info", ""), ("upsample", "", "-o", ""), ("train", "d", "--init", "")])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_is_shown_beside_an_empty_value(arguments: tuple[str, ...], flag: str) -> None:
    result = run(*arguments, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"saint {arguments[0]} [OPTIONS]" in result.stdout


OUTSIDE = ["[/x][on red]:smile:短い", "a\x1b[31m\r\n\x9b\u202e\udcff"]


@pytest.mark.parametrize("word", OUTSIDE)
@pytest.mark.parametrize(
    "arguments",
    [
        ("{}",),
        ("upsample", "{}", "-o", "b.nii"),
        (*UPSAMPLE, "{}"),
        (*UPSAMPLE, "--facto{}"),
        (*UPSAMPLE, "--factor", "{}"),
        (*UPSAMPLE, "--axis", "{}"),
        (*UPSAMPLE, "--max-memory", "{}"),
        ("upsample", ".", "-o", "b.nii", "--device", "{}"),
        ("upsample", ".", "-o", "b.nii", "-m", "{}"),
        ("info", "{}"),
        ("batch", "{}", "out", "--to", "{}"),
        ("batch", "{}", "out", "--name-template", "{}"),
        ("evaluate", "{}", "--against", "{}"),
        ("train", "{}", "--val", "{}", "-o", "r", "--stage", "{}"),
    ],
)
def test_what_is_typed_is_quoted_as_it_is_on_one_line(
    arguments: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(argument.replace("{}", word) for argument in arguments))
    assert result.exit_code in (2, 3)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    (line,) = result.stderr.removesuffix("\n").split("\n")
    assert line.isprintable()
    if word.isprintable():
        assert word in line


SECRETS = ["https://me:SECRET@h/x", "https://h/x.nii?token=SECRET&X-Amz-Signature=SECRET", "s3://key:SE/SECRET@b/x"]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("{}",),
        (*UPSAMPLE, "{}"),
        (*UPSAMPLE, "--factor", "{}"),
        (*UPSAMPLE, "--series", "{}"),
        (*UPSAMPLE, "--report", "{}"),
        (*UPSAMPLE, "-m", "{}"),
        ("upsample", "a.nii", "-o", "{}"),
        ("batch", "a", "{}", "--to", "dicom"),
        ("batch", "a", "out", "--state-dir", "{}"),
        ("evaluate", "{}"),
        ("evaluate", "a.nii", "-m", "{}"),
        ("train", "{}", "--val", "{}", "-o", "{}", "--init", "{}"),
    ],
)
def test_no_failure_shows_the_secrets_of_a_url(
    arguments: tuple[str, ...], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    as_json = () if arguments[0] == "train" else ("--json",)
    result = run(*(argument.replace("{}", url) for argument in arguments), *as_json)
    assert result.exit_code != 0
    assert "SECRET" not in result.output
    assert not [path for path in tmp_path.rglob("*") if "SECRET" in str(path)]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("upsample", ["zip", "DICOMDIR"]),
        ("info", ["zip", "DICOMDIR"]),
        ("evaluate", ["zip", "3 or more"]),
        ("train", ["(Eq. 1 of SAINT, CVPR 2020)"]),
    ],
)
def test_help_names_what_can_be_read_what_is_needed_and_the_paper(
    command: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    shown = run(command, "--help").stdout
    for word in words:
        assert word in shown


def test_saint_alone_still_shows_its_help() -> None:
    assert "Commands" in run().output


FAILURES = [
    ((*UPSAMPLE, "--json"), "UnreadableError", 3),
    ((*UPSAMPLE, "--json", "--axis", "w"), "UsageError", 2),
    ((*UPSAMPLE, "--json", "--factor", "2.5"), "UsageError", 2),
    (("upsample", str(EXAMPLE), "-o", "/dev/null/b.nii", "--json"), "OutputError", 5),
    (("evaluate", "a.nii", "--json"), "UnreadableError", 3),
    (("evaluate", "a.nii", "--json", "--protocol", "mine"), "UsageError", 2),
    (("info", "--json"), "UsageError", 2),
]


@pytest.mark.parametrize(("arguments", "kind", "code"), FAILURES)
def test_with_json_a_failure_is_one_object_on_stdout_and_the_same_line_on_stderr(
    arguments: tuple[str, ...], kind: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exit_code"], found["error_class"]) == (code, code, kind)
    assert result.stderr == f"saint: {found['error']}\n"


def test_info_reports_the_error_of_each_path_in_its_array(tmp_path: Path) -> None:
    (found,) = json.loads(run("info", "--json", tmp_path / "nowhere").stdout)
    assert (found["error_class"], found["exit_code"]) == ("UnreadableError", 3)


def test_without_json_a_failure_leaves_stdout_empty() -> None:
    assert run(*UPSAMPLE).stdout == ""


def test_a_library_that_is_missing_is_reported_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise ImportError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr("saint_cli.jobs.run_job", refuse)
    result = run(*UPSAMPLE)
    assert result.exit_code == 1
    assert result.stderr == (
        "saint: libtorch.so: cannot open shared object file; saint is not installed as it should be\n"
    )


@pytest.mark.parametrize("error", [KeyError("SECRET"), RecursionError("SECRET"), ValueError("SECRET\nSECRET")])
def test_a_fault_is_one_line_that_names_its_place_and_quotes_nothing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("saint_cli.jobs.run_job", fail)
    result = run(*UPSAMPLE, "--json")
    assert (result.exit_code, json.loads(result.stdout)["error_class"]) == (1, "SaintError")
    assert result.stderr.startswith(f"saint: {type(error).__name__} in test_exit_codes.py:")
    assert result.stderr.endswith("; please report this\n")
    assert "SECRET" not in result.output
