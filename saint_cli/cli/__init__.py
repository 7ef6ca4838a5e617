"""The ``saint`` command: ``app``, and one module per subcommand."""
