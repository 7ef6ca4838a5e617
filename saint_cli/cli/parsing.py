"""Values of options that only the command line has: from the text that was typed to what the program works with."""

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from saint_cli.errors import OutputError, UsageError
from saint_cli.options.values import match_word

NAME_METAVARS = ("PATH", "FILE", "FOLDER", "SCAN", "MODEL")
"""How the help shows the values of options that name files, folders and models."""


def parse_path_or_url(text: str) -> Path | str:
    """A path, or a URL that may stand in a manifest."""
    from saint_cli.io.remote import urls

    return urls.check_url(text) if urls.is_url(text) else Path(text)


def parse_local_path(text: str) -> Path:
    """A path on this machine, where a URL cannot be used."""
    from saint_cli.io.remote import urls

    if urls.is_url(text):
        raise UsageError(f"{urls.public_url(text)}: name a file on this machine; only the result itself goes to a URL")
    return Path(text)


def parse_batch_output(out: str, state_dir: Path | None) -> tuple[Path, str | None]:
    """The folder that keeps the manifest, and the URL of the results if they go to one."""
    place = parse_path_or_url(out)
    if isinstance(place, Path):
        if state_dir is not None:
            raise UsageError(f"--state-dir {state_dir} goes with a URL as OUT_DIR; {out} keeps its own manifest")
        return place, None
    if state_dir is None:
        raise UsageError(
            f"{place}: manifest and pages need a folder here; name one, the same each time, by --state-dir FOLDER"
        )
    return state_dir, place.rstrip("/")


def parse_factors(text: str, flag: str = "--factor") -> tuple[int | Fraction, ...]:
    """``2,2.5,4`` as integers and exact fractions."""
    try:
        factors = [Fraction(word) for word in text.split(",")]
    except (ValueError, ZeroDivisionError):
        factors = []
    if not factors or not all(2 <= factor <= 16 for factor in factors):
        raise UsageError(f"{flag} {text} is not a list of factors from 2 to 16, such as 2,2.5,4")
    return tuple(int(factor) if factor.denominator == 1 else factor for factor in factors)


def adapt_arguments(arguments: Sequence[str], params: Sequence[Any]) -> list[str]:
    """The arguments of a command, ``--a_b`` spelled ``--a-b``, and several values behind a flag each behind its own.

    params: of the command; only flags that may be repeated take several values, as ``nargs="+"`` of argparse.
    """
    flags = {flag: param for param in params for flag in (*param.opts, *param.secondary_opts)}
    adapted: list[str] = []
    repeated, values = "", 0
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            name, equals, value = argument.partition("=")
            if name not in flags and name.replace("_", "-") in flags:
                argument = f"{name.replace('_', '-')}{equals}{value}"
            flag = argument.partition("=")[0]
            is_repeated = getattr(flags.get(flag), "multiple", False)
            repeated, values = (flag, len(equals)) if is_repeated else ("", 0)
        elif repeated:
            adapted += [repeated] if values else []
            values += 1
        adapted.append(argument)
    return adapted


def check_names(params: Sequence[Any], typed: Mapping[str, Any]) -> None:
    """Refuse an empty argument, path or model; as a ``Path``, an empty one stands for the current folder.

    params: of the command; typed: the texts that were typed, by the names of parameters.

    Raises:
        UsageError: an empty one, as an unset variable of a shell in quotes is.
    """
    for param in params:
        texts = typed.get(param.name)
        is_name = param.param_type_name == "argument" or param.metavar in NAME_METAVARS
        if is_name and "" in (texts if isinstance(texts, Sequence) and not isinstance(texts, str) else [texts]):
            shown = param.metavar.rstrip(".…") if param.param_type_name == "argument" else max(param.opts, key=len)
            raise UsageError(f"{shown} is empty; give it a value, or set the variable that was to hold one")


def list_of(flag: str, *allowed: str) -> Callable[[str], tuple[str, ...]]:
    """A parser of ``a,b``: its words, each once."""

    def parse(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(match_word(flag, word.strip(), allowed) for word in text.split(",")))

    return parse


def parse_models(text: str) -> tuple[str, ...]:
    """The models of ``a,b``, as ``shipped.parse_model`` gives them, each once."""
    from saint_cli.models import shipped

    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise UsageError(f"--model {text} holds an empty name")
    return tuple(dict.fromkeys(map(shipped.parse_model, names)))


def positive(flag: str) -> Callable[[float], float]:
    """A parser that accepts finite numbers above zero."""

    def parse(number: float) -> float:
        if not 0 < number < float("inf"):
            raise UsageError(f"{flag} {number:g} is not a positive number")
        return number

    return parse


def check_new_file(flag: str, path: Path, ending: str, *, overwrite: bool) -> None:
    """Refuse a file that does not end so or that could not be written, before anything is computed.

    Pipes, sockets and devices are refused too: a file would take their place.
    """
    if path.suffix.lower() != ending:
        raise UsageError(f"{flag} {path} does not end in {ending}")
    folder = path.absolute().parent
    while not folder.exists() and not folder.is_symlink():  # missing folders are made when the file is written
        folder = folder.parent
    is_other = path.exists() and not path.is_file()
    if is_other or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{flag} {path}: no file of this name can be written in {folder}")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{flag} {path}: exists already; choose another name or pass --overwrite")
