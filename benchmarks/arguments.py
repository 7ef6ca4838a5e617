"""Command lines of the benchmarks."""

import argparse


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows a program's docstring as it is."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def split_words(text: str) -> list[str]:
    """Words between commas; none where there is no text."""
    return text.split(",") if text else []


def split_integers(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [int(word) for word in text.split(",")]
