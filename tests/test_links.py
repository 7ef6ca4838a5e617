"""What the documentation links to is there."""

import re
from pathlib import Path

import pytest

import saint_cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "saint_cli"
PARTS = {path.stem for path in PACKAGE.iterdir()}
FOLDERS = {path.name for path in ROOT.iterdir()} | PARTS
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if "://" not in target]
    assert not [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:\w+|\.ci)/[\w./-]+?\.(?:py|sh|md|txt))`", page.read_text(encoding="utf-8")))
    ours = [name for name in named if (ROOT / name).parts[len(ROOT.parts)] in FOLDERS]
    assert not [name for name in ours if not (ROOT / name).exists() and not (PACKAGE / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`(?:saint_cli\.)?(\w+(?:\.\w+)+)`", page.read_text(encoding="utf-8")))
    assert not [name for name in named if name.partition(".")[0] in PARTS and not is_in_package(name)]


def is_in_package(name: str) -> bool:
    """Whether a dotted name is a module, or a word of the module that it leads to."""
    place = PACKAGE
    for part in name.split("."):
        if place.is_dir() and ((place / part).is_dir() or (place / f"{part}.py").is_file()):
            place = place / part if (place / part).is_dir() else place / f"{part}.py"
            continue
        source = place / "__init__.py" if place.is_dir() else place
        return re.search(rf"\b{part}\b", source.read_text(encoding="utf-8")) is not None
    return True


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {saint_cli.__version__}\n" in citation
