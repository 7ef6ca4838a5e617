"""Where a scan is read and where its result goes: a path on this machine, or a URL."""

from dataclasses import dataclass, field
from pathlib import Path

from saint_cli.io.remote import urls
from saint_cli.io.remote.transfer import RemoteSource


@dataclass(frozen=True)
class RemoteTarget:
    """The URL that a result is uploaded to."""

    url: str = field(repr=False)

    @property
    def public_url(self) -> str:
        """The URL without secrets."""
        return urls.public_url(self.url)


SourceLocation = Path | RemoteSource

TargetLocation = Path | RemoteTarget


def format_location(location: SourceLocation | TargetLocation) -> str:
    """The path or URL, as messages and records have it."""
    return str(location) if isinstance(location, Path) else location.public_url
