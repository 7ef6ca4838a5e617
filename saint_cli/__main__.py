"""The ``saint`` command, and ``python -m saint_cli``: signals first, then slow imports."""

from saint_cli.cli import stop_signals


def main() -> None:
    """Run the command line of this process, and end it with the exit code."""
    stop_signals.install()
    from saint_cli.cli import streams

    streams.open_missing()
    from saint_cli.cli.app import app

    try:
        app(prog_name="saint")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    if not streams.flush() and code == 0:
        code = 1
    stop_signals.exit_process(code)


if __name__ == "__main__":
    main()
