"""Imports go one way between the parts of the package, as the table in docs/architecture.md says."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import saint_cli

PACKAGE = Path(saint_cli.__file__).parent
TABLE = Path(__file__).parents[1] / "docs" / "architecture.md"


def module_name(path: Path) -> str:
    """Dotted name of a module, from ``saint_cli`` on."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def read_rules() -> dict[str, tuple[set[str], set[str]]]:
    """By part, in the order of the table: the parts that it imports, and its modules that import torch."""
    section = TABLE.read_text(encoding="utf-8").split("## Imports")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    named = [[set(re.findall(r"`([^`]+)`", cell)) for cell in row] for row in rows]
    return {min(part): (parts, modules) for part, _, parts, modules in named}


RULES = read_rules()


def part_of(module: str) -> str:
    """The first part of a module's name below the package; the package itself for its own ``__init__``."""
    return [*module.split("."), ""][1] or "saint_cli"


def imports(module: str) -> Iterator[str]:
    """Names of what a module imports anywhere in its code, for type checking too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else str(node.module) for name in names)


def imported_modules(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    return {name for name in imports(module) if name in MODULES} - {module}


def test_the_table_names_every_part_once_and_no_other() -> None:
    assert sorted(RULES) == sorted({part_of(module) for module in MODULES})


@pytest.mark.parametrize("part", RULES)
def test_a_part_imports_what_the_table_says_and_all_of_it(part: str) -> None:
    used = {part_of(name) for module in MODULES if part_of(module) == part for name in imported_modules(module)}
    assert used - {part} == RULES[part][0]


@pytest.mark.parametrize("part", RULES)
def test_a_part_imports_only_parts_above_it_in_the_table(part: str) -> None:
    order = list(RULES)
    assert RULES[part][0] <= set(order[: order.index(part)])


def test_no_imports_run_in_a_circle() -> None:
    graph = {module: imported_modules(module) for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("part", RULES)
def test_torch_is_imported_where_the_table_says(part: str) -> None:
    users = {
        module
        for module in MODULES
        if part_of(module) == part and {name.split(".")[0] for name in imports(module)} & {"torch", "safetensors"}
    }
    assert {module.split(".")[-1] for module in users} == RULES[part][1]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"saint_cli.cli.console"}))
def test_only_the_console_prints(module: str) -> None:
    calls = [n for n in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert not [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


PICTURES_AND_SCORES = ("matplotlib", "skimage", "scipy", "PIL", "jinja2")
"""Needed by evaluation and reports alone, and slow to import."""

NETWORKS = ("torch", "safetensors", *PICTURES_AND_SCORES)

HEAVY = ("torch", "numpy", "SimpleITK", "nibabel", "pydicom", *PICTURES_AND_SCORES)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], HEAVY),
        (["info", "--help"], HEAVY),
        (["evaluate", "--help"], HEAVY),
        (["batch", "--help"], (*HEAVY, "dask", "distributed")),
        (["bids", "--help"], (*HEAVY, "dask", "distributed", "bidsschematools")),
        (["serve", "--help"], (*HEAVY, "pynetdicom", "dicomweb_client", "requests")),
        (["info", "scan.nii"], (*NETWORKS, "fsspec")),
        (["models"], NETWORKS),
        (["upsample", "scan.nii", "-o", "out.nii"], NETWORKS),
        (["labels", "--help"], HEAVY),
        (["slicer", "--xml"], HEAVY),
        (["labels", "seg.nii", "--like", "scan.nii", "-o", "out.nii"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--labels", "seg.nii"], NETWORKS),
        (["evaluate", "scan.nii", "-m", "huge"], ("torch", "safetensors")),
        (["evaluate", "scan.nii", "--protocol", "mine"], ("torch", "safetensors")),
        (["upsample", ".", "-o", "out.nii", "-m", "huge"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--device", "xpu"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--uncertainty", "out.nii"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--uncertainty", "error.nii", "--tta"], NETWORKS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_that_compute_nothing_load_nothing_heavy(
    tmp_path: Path, arguments: list[str], unwanted: tuple[str, ...]
) -> None:
    program = (
        "import sys\nfrom saint_cli.cli.app import app\n"
        "try:\n    app(prog_name='saint')\nexcept SystemExit:\n    pass\n"
        f"assert not {set(unwanted)!r} & set(sys.modules), {set(unwanted)!r} & set(sys.modules)"
    )
    path = {"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
