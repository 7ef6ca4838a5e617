"""``python -m saint_cli``: the same program as the ``saint`` command."""

from saint_cli.cli import app

if __name__ == "__main__":
    app(prog_name="saint")
