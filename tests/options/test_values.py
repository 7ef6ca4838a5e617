"""What is typed for an option becomes a value, or is refused in words, however long and in whatever script it is."""

from collections.abc import Callable
from typing import Any

import pytest

from saint_cli.errors import UsageError
from saint_cli.options.labels import parse_segments
from saint_cli.options.values import parse_batch_size, parse_memory

LONG = "9" * 5000  # Python converts no more than 4300 digits

WRONG: list[tuple[Callable[[str], Any], str]] = [
    *((parse_batch_size, word) for word in ("", "0", "-1", "1.5", "many", "²", "٣", LONG)),
    *((parse_memory, word) for word in ("٣GB", f"{LONG}GB", f"{'9' * 400}GB", f"0.{LONG}GB")),
    *((parse_segments, word) for word in ("0", "²", LONG, f"1,{LONG}")),
]


@pytest.mark.parametrize(("parse", "word"), WRONG, ids=[f"{parse.__name__} {word[:6]}" for parse, word in WRONG])
def test_what_is_no_number_of_a_usual_length_is_refused(parse: Callable[[str], Any], word: str) -> None:
    with pytest.raises(UsageError):
        parse(word)


def test_numbers_are_read() -> None:
    assert [parse_batch_size(word) for word in ("auto", "1", "64")] == [None, 1, 64]
    assert parse_memory("12.123456789GB") == 12_123_456_789
    assert parse_segments("3, 1,2147483647") == (1, 3, 2**31 - 1)
