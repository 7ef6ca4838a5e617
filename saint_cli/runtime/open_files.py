"""How many files this process may have open, and how many manifests that leaves room for."""

FILES_PER_MANIFEST = 2
"""The manifest and its lock."""

OTHER_FILES = 128
"""Kept for the rest of the process: libraries, pipes and sockets of the workers."""

USUAL_LIMIT = 1024
"""Where the system does not say, or sets none."""


def find_open_files_limit() -> int:
    """How many files this process may have open at once."""
    try:
        import resource
    except ImportError:  # Windows
        return USUAL_LIMIT
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return USUAL_LIMIT if limit == resource.RLIM_INFINITY else limit


def count_manifests(limit: int) -> int:
    """How many manifests may be open at once where ``limit`` files may; at least one."""
    return max(1, (limit - OTHER_FILES) // FILES_PER_MANIFEST)
