"""Tests here make and read files that break the rules of DICOM, of which pydicom would warn."""

from collections.abc import Iterator

import pytest

from saint_cli.io.dicom.validation import ignore_invalid_values


@pytest.fixture(autouse=True)
def _broken_rules() -> Iterator[None]:
    with ignore_invalid_values():
        yield
