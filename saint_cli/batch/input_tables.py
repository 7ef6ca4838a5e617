"""Tables of scans (CSV, JSONL): rows as text by column; what is wrong is reported by row."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from saint_cli.batch.state_files import STATE_FOLDER
from saint_cli.errors import UsageError
from saint_cli.io.skipped_files import MAX_NAMES_SHOWN
from saint_cli.io.text_files import can_be_path, read_text, split_lines

DELIMITERS = ",;\t"
"""Spreadsheets write CSV with semicolons where numbers have decimal commas; the first row shows which it is."""

MAX_PROBLEM_LENGTH = 300
"""Characters of what is said of one row, whose cells may hold anything."""

OWN_COLUMNS = ("source", "name")
"""The columns that are no options."""

Row = dict[str, str]


Given = TypeVar("Given")
Made = TypeVar("Made")


def read_table(path: Path, check: Callable[[Row], object]) -> list[tuple[str, Row]]:
    """The rows of a table by column, empty cells left out, each with where it stands, as in ``scans.csv, row 2``.

    check: raises a UsageError of a row that cannot be used though its source and name can.

    Raises:
        UnreadableError: no text, or not a regular file.
        UsageError: rows that cannot be used: the first of them, and how many there are.
    """

    def check_row(row: Row | str) -> Row:
        if isinstance(row, str):
            raise UsageError(row)
        if problem := _find_problem(row):
            raise UsageError(problem)
        filled = {column: value for column, value in row.items() if value}
        check(filled)
        return filled

    return use_rows(_parse(path, read_text(path)), check_row)


def use_rows(rows: Iterable[tuple[str, Given]], use: Callable[[Given], Made]) -> list[tuple[str, Made]]:
    """What ``use`` makes of each row, with where it stands.

    Raises:
        UsageError: of all rows that ``use`` refuses with one: the first of them, and how many there are.
    """
    made, problems = list[tuple[str, Made]](), list[tuple[str, str]]()
    for place, row in rows:
        try:
            made.append((place, use(row)))
        except UsageError as error:
            problems.append((place, str(error)))
    if problems:
        raise UsageError(_list_problems(problems))
    return made


def _list_problems(problems: Sequence[tuple[str, str]]) -> str:
    """One sentence of the first problems, and how many rows have some; ``problems``: where a row stands, what is wrong.

    What is the same in several rows is said once.
    """
    places = defaultdict[str, list[str]](list)
    for place, problem in problems:
        places[problem].append(place)
    texts, left = list[str](), len(problems)
    for problem, (first, *others) in islice(places.items(), MAX_NAMES_SHOWN):
        text = f"{first} and {len(others):,} more: {problem}" if others else f"{first}: {problem}"
        texts.append(text if len(text) <= MAX_PROBLEM_LENGTH else f"{text[:MAX_PROBLEM_LENGTH]}…")
        left -= 1 + len(others)
    if len(problems) == 1:
        return texts[0]
    more = f"; and {left:,} more" if left else ""
    return f"{len(problems):,} rows cannot be used: {'; '.join(texts)}{more}"


def _parse(path: Path, text: str) -> Iterator[tuple[str, Row | str]]:
    """Where each row stands, and its cells or what is wrong with it."""
    if path.suffix.lower() == ".csv":
        yield from ((f"{path}, row {number}", row) for number, row in _parse_csv(text))
    else:
        yield from ((f"{path}, line {number}", row) for number, row in _parse_jsonl(text))


def _parse_csv(text: str) -> Iterator[tuple[int, Row | str]]:
    delimiter = max(DELIMITERS, key=split_lines(text)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if header is None:
                header = [_clean_column(cell) for cell in cells]
                if repeated := _find_repeated(header):
                    yield number, f"two columns are called '{repeated}'; keep one"
                    return
            elif not any(cell.strip() for cell in cells):
                continue  # spreadsheets write such rows below the last one
            elif len(cells) != len(header):
                yield number, "not as many cells as the first row has columns"
            else:
                yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        yield number + 1, f"cannot be read as CSV ({error}); look for a quote that does not end"


def _parse_jsonl(text: str) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            yield number, _parse_json(line)


def _parse_json(line: str) -> Row | str:
    try:
        document = json.loads(line, object_pairs_hook=_make_dict)
    except (ValueError, RecursionError):
        return 'not a JSON object such as {"source": "a.nii", "factor": 4}, with each name once'
    if not isinstance(document, dict):
        return "not a JSON object"
    for name, value in document.items():
        is_text = _clean_column(name) in OWN_COLUMNS
        if value is not None and not isinstance(value, str if is_text else str | int | float):
            return f"'{name}' must be {'text' if is_text else 'text, a number, true or false'}"
    return {_clean_column(name): "" if value is None else str(value) for name, value in document.items()}


def _clean_column(name: str) -> str:
    """The name of a column without spaces around it; one of ``OWN_COLUMNS`` in small letters."""
    plain = name.strip()
    return plain.lower() if plain.lower() in OWN_COLUMNS else plain


def _make_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if repeated := _find_repeated([name for name, _ in pairs]):
        raise ValueError(repeated)
    return dict(pairs)


def _find_repeated(names: Sequence[str]) -> str | None:
    """A name of which a sequence holds two spellings, as options of the command line are compared."""
    visited = set()
    for name in names:
        plain = name.strip().replace("-", "_").lower()
        if plain and plain in visited:
            return name
        visited.add(plain)
    return None


def _find_problem(row: Row) -> str | None:
    """What is wrong with the source or the name of a row; None if nothing is."""
    name = row.get("name", "")
    if not row.get("source"):
        return "no 'source'; each row names one in a column of that name"
    for column in OWN_COLUMNS:
        if not can_be_path(row.get(column, "")):
            return f"the '{column}' holds characters that no file name can have"
    if not name:
        return None
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or not parts:
        return f"the name {name} leads out of the output folder"
    return f"the name {name} lies in the folder where saint keeps its state" if parts[0] == STATE_FOLDER else None
