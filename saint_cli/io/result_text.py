"""One line about how a result was made, in the headers of NIfTI, NRRD and MetaImage files: written, and recognised."""

import re
from collections.abc import Iterable

from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume
from saint_cli.volume.warning_words import MADE_BY_SAINT

MAX_LENGTH = 80
"""Bytes of NIfTI's ``descrip``."""

MAX_MODEL_LENGTH = 16
"""Characters of a model's name that the line holds beside its hash."""

MADE_BY_NETWORKS = re.compile(r"saint \S+ x\S+ model=.*:[0-9a-f]{8}")
"""How the line of a result begins that networks made, whose weights it names."""


def describe_result(volume: Volume) -> str:
    """Program, factor, weights and method, in at most ``MAX_LENGTH`` ASCII characters; no patient text, no paths."""
    derivation = volume.header.derivation
    text = f"saint {__version__}"
    if derivation is None:
        return text
    name = "".join(c if c.isascii() and c.isprintable() else "?" for c in derivation.model[:MAX_MODEL_LENGTH])
    text += f" x{1 / derivation.grid.step:.4g} model={name}:{derivation.weights_sha256[:8]}"
    for word in derivation.option_names:
        if len(text) + 1 + len(word) <= MAX_LENGTH:
            text += f" {word}"
    return text


def find_result_warnings(texts: Iterable[str]) -> tuple[str, ...]:
    """That a file is a result of networks, if one of the texts of its header says so.

    The name of the text does not count: converters keep the text and give it another name.
    """
    return (MADE_BY_SAINT,) if any(map(MADE_BY_NETWORKS.match, texts)) else ()
