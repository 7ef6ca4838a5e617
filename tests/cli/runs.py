"""Runs of saint within this process, and a screen for them."""

import io

from typer.testing import CliRunner, Result

from saint_cli.cli.app import app


class Screen(io.StringIO):
    """What calls itself a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


def run(*arguments: object) -> Result:
    """The result of ``saint`` with these arguments."""
    return CliRunner().invoke(app, [str(a) for a in arguments])
