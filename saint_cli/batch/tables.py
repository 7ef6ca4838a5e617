"""Tables of scans (CSV, JSONL): rows as text by column, with what is wrong told by row."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saint_cli.batch.ledger import HIDDEN
from saint_cli.errors import UsageError
from saint_cli.io.skipped import list_first
from saint_cli.io.text_files import can_be_path, read_text, split_lines

DELIMITERS = ",;\t"
"""Spreadsheets write CSV with semicolons where the comma stands in numbers; the first row tells which it is."""

LONGEST_PROBLEM = 300
"""Characters of what is told of one row, whose cells may hold anything."""

Row = dict[str, str]


def read_table(path: Path) -> list[tuple[str, Row]]:
    """The rows of a table by column, empty cells left out, each with where it stands, as in ``scans.csv, row 2``.

    Raises:
        UnreadableError: no text, or not a regular file.
        UsageError: rows that cannot be used: the first of them, and how many there are.
    """
    rows, problems = list[tuple[str, Row]](), list[str]()
    for where, found in _rows(path, read_text(path)):
        found = _problem(found) or found if isinstance(found, dict) else found
        if isinstance(found, str):
            problems.append(f"{where}: {found}")
        else:
            rows.append((where, found))
    if problems:
        raise UsageError(list_problems(problems))
    return rows


def list_problems(problems: Sequence[str]) -> str:
    """One sentence of the first problems, and how many there are."""
    told = list_first([one if len(one) <= LONGEST_PROBLEM else f"{one[:LONGEST_PROBLEM]}…" for one in problems])
    return told if len(problems) == 1 else f"{len(problems):,} rows cannot be used: {told}"


def _rows(path: Path, text: str) -> Iterator[tuple[str, Row | str]]:
    """Where each row stands, and its cells or what is wrong with it."""
    if path.suffix.lower() == ".csv":
        yield from ((f"{path}, row {number}", row) for number, row in _of_csv(text))
    else:
        yield from ((f"{path}, line {number}", row) for number, row in _of_jsonl(text))


def _of_csv(text: str) -> Iterator[tuple[int, Row | str]]:
    delimiter = max(DELIMITERS, key=split_lines(text)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if header is None:
                header = [cell.strip() for cell in cells]
                if repeated := _repeated(header):
                    yield number, f"two columns are called '{repeated}'; keep one"
                    return
            elif cells and len(cells) != len(header):
                yield number, "not as many cells as the first row has columns"
            elif cells:
                yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        yield number + 1, f"cannot be read as CSV ({error}); look for a quote that does not end"


def _of_jsonl(text: str) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            yield number, _of_json(line)


def _of_json(line: str) -> Row | str:
    try:
        document = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        return 'not a JSON object such as {"source": "a.nii", "factor": 4}, with each name once'
    if not isinstance(document, dict):
        return "not a JSON object"
    for name, value in document.items():
        is_text = name.strip() in ("source", "name")
        if value is not None and not isinstance(value, str if is_text else str | int | float):
            return f"'{name}' must be {'text' if is_text else 'text, a number, true or false'}"
    return {name.strip(): "" if value is None else str(value) for name, value in document.items()}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if repeated := _repeated([name for name, _ in pairs]):
        raise ValueError(repeated)
    return dict(pairs)


def _repeated(names: Sequence[str]) -> str | None:
    """A name of which a sequence holds two spellings, as options of the command line are compared."""
    seen = set()
    for name in names:
        plain = name.strip().replace("-", "_").lower()
        if plain and plain in seen:
            return name
        seen.add(plain)
    return None


def _problem(row: Row) -> str | None:
    """What is wrong with the source or the name of a row; None if nothing is. Empty cells are taken out."""
    for empty in [column for column, value in row.items() if value == ""]:
        del row[empty]
    source, name = row.get("source"), row.get("name")
    if source is None:
        return "no 'source'; each row names one in a column of that name"
    if not can_be_path(source):
        return "the 'source' holds characters that no file name can have"
    if name is None:
        return None
    if not can_be_path(name):
        return "the 'name' holds characters that no file name can have"
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or not parts:
        return f"the name {name} leads out of the output folder"
    return f"the name {name} lies in the folder where saint keeps its state" if parts[0] == HIDDEN else None
