"""What tells one document from all others."""

import hashlib
import json
from typing import Any


def digest(document: Any) -> str:
    """The SHA-256 of a document that JSON can hold, keys sorted."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode("ascii")).hexdigest()
