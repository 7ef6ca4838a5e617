"""What a job tells of itself, for its page."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class About:
    """One job without patient text: of files only the names.

    options: what was asked for, by the command line's words; None and False were not.
    seconds: to read and to restore.
    """

    source: str
    target: str
    model: str
    weights_sha256: str
    device: str
    precision: str
    seconds: float
    acquired_kept: int
    options: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=())
