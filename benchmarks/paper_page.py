"""Pages whose generated parts stand between markers, so that the text around them is written by hand.

<!-- table1 time -->
what is generated
<!-- end -->
"""

import re
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.whole_files import write_text

END = "<!-- end -->"
PART = re.compile(rf"(<!-- (?P<name>[^>]+) -->\n).*?{END}", re.DOTALL)


def rewrite_page(page: Path, parts: dict[str, str]) -> None:
    """Put each part between the markers of its name; parts that are not given stay as they are.

    Raises:
        UnreadableError: the page lacks the markers of a part.
    """
    text = page.read_text(encoding="utf-8")
    missing = set(parts) - {found["name"] for found in PART.finditer(text)}
    if missing:
        raise UnreadableError(f"{page} has no markers for {', '.join(sorted(missing))}")

    def fill(found: re.Match[str]) -> str:
        content = parts.get(found["name"])
        return found[0] if content is None else f"{found[1]}{content.rstrip()}\n{END}"

    write_text(PART.sub(fill, text), page)
