"""Every option that says how a scan is upsampled, declared once: a dataclass field with flag, type and help.

The command line, the columns of a table of scans, the options on a quality-control page and the key of a batch job are
made from these fields. Nothing here imports numpy or torch before it is used.
"""
