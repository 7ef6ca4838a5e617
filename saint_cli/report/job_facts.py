"""What the page says of a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JobFacts:
    """One job without patient text: of files only the names.

    options: the flags of the command line that were given, with their values as text, "" for those without;
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
    options: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=())
