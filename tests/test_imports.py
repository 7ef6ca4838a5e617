"""Imports go one way between the rooms of the package, and torch stays in the rooms that compute voxels."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import saint_cli

PACKAGE = Path(saint_cli.__file__).parent

NUMPY_SIDE = {"errors", "regularity", "geometry", "spacings", "volume", "coding"}

NETWORK_SIDE = {"compute", "planes", "nets", "weights"}

WORDS = {"choices", "devices", "progress", "shipped"}
"""What is known of the networks, and of how far they are, before torch is loaded."""

SCORING_SIDE = {"noise", "scores", "uncertainty"}

LEARNING_SIDE = {
    "padding",
    "io",
    "intensity",
    "interpolate",
    "plan",
    "scene",
    "directions",
    "pipeline",
    "degrade",
    "metrics",
}

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "regularity": {"errors"},
    "geometry": {"errors", "regularity"},
    "spacings": {"errors", "geometry", "regularity"},
    "coding": set(),
    "progress": set(),
    "volume": {"errors", "geometry", "coding"},
    "intensity": NUMPY_SIDE,
    "fill": {*NUMPY_SIDE, "intensity"},
    "gdcm_worker": set(),
    "owners": set(),
    "temporary": {"owners"},
    "io": {
        *NUMPY_SIDE,
        "files",
        "fill",
        "gdcm_worker",
        "memory",
        "native_output",
        "owners",
        "plain_text",
        "temporary",
        "version",
    },
    "interpolate": NUMPY_SIDE,
    "plan": NUMPY_SIDE,
    "bounds": {"errors"},
    "padding": {*NUMPY_SIDE, "intensity", "plan"},
    "degrade": {*NUMPY_SIDE, "intensity"},
    "metrics": {*NUMPY_SIDE, "intensity"},
    "noise": {"errors"},
    "uncertainty": {"errors"},
    "choices": {"errors", "progress"},
    "devices": {"errors"},
    "control_groups": set(),
    "cores": {"errors", "control_groups"},
    "native_output": {"errors"},
    "shipped": {"errors"},
    "scores": {*NUMPY_SIDE, "degrade", "metrics", "noise"},
    "compute": {"errors", "cores", "devices"},
    "planes": {"errors"},
    "memory": {"errors", "control_groups"},
    "residuals": {"errors", "memory"},
    "spread": set(),
    "nets.winograd": {"errors"},
    "nets.blocks": {"errors", "nets.winograd"},
    "nets.fdm": {"errors"},
    "nets.ami": {"errors", "nets.blocks", "nets.fdm"},
    "nets.rfn": {"errors", "nets.blocks", "nets.fdm"},
    "nets": {"errors", "nets"},
    "weights_header": {"errors"},
    "weights": {"errors", "io", "nets", "shipped", "uncertainty", "version", "weights_header"},
    "texture": {*NUMPY_SIDE, "intensity", "noise", "padding", "plan"},
    "scene": {*NUMPY_SIDE, "planes", "intensity", "padding", "plan"},
    "directions": {
        *NUMPY_SIDE,
        "choices",
        "compute",
        "memory",
        "planes",
        "nets",
        "plan",
        "residuals",
        "scene",
        "spread",
    },
    "fusion": {*NUMPY_SIDE, "choices", "compute", "memory", "planes", "nets", "plan", "residuals", "scene", "spread"},
    "pipeline": {
        "bounds",
        "fusion",
        *NUMPY_SIDE,
        *WORDS,
        *NETWORK_SIDE,
        "intensity",
        "plan",
        "scene",
        "choices",
        "directions",
        "texture",
        "padding",
        "uncertainty",
    },
    "workload": {
        *NUMPY_SIDE,
        "choices",
        "compute",
        "directions",
        "fusion",
        "nets",
        "plan",
        "progress",
        "selfcheck",
        "weights",
    },
    "footprint": {*NUMPY_SIDE, "compute", "memory", "nets", "planes", "weights"},
    "forecast": {
        *NUMPY_SIDE,
        *WORDS,
        *NETWORK_SIDE,
        "intensity",
        "plan",
        "scene",
        "directions",
        "fusion",
    },
    "evaluate": {*NUMPY_SIDE, *WORDS, *NETWORK_SIDE, *LEARNING_SIDE, *SCORING_SIDE, "workload"},
    "training": {*NUMPY_SIDE, *WORDS, *NETWORK_SIDE, *LEARNING_SIDE, "version"},
    "jobs": {
        *NUMPY_SIDE,
        *WORDS,
        "compute",
        "memory",
        "weights",
        "io",
        "intensity",
        "plan",
        "choices",
        "shipped",
        "cores",
        "footprint",
        "forecast",
        "pipeline",
        "quality",
        "temporary",
        "version",
        "workload",
    },
    "selfcheck": {
        *NUMPY_SIDE,
        "choices",
        "compute",
        "weights",
        "intensity",
        "interpolate",
        "degrade",
        "metrics",
        "padding",
        "directions",
        "pipeline",
    },
    "quality": {
        *NUMPY_SIDE,
        "choices",
        "compute",
        "intensity",
        "directions",
        "pipeline",
        "selfcheck",
        "report",
        "version",
    },
    "engine": {"errors", "native_output", "temporary", "version"},
    "batch": {
        *NUMPY_SIDE,
        *WORDS,
        "compute",
        "cores",
        "engine",
        "files",
        "io",
        "jobs",
        "memory",
        "report",
        "temporary",
        "version",
    },
    "images": {*NUMPY_SIDE, "fill", "io"},
    "api": {*NUMPY_SIDE, "io", "images", "pipeline", "jobs", "footprint", "choices"},
    "report": {*NUMPY_SIDE, "intensity", "io", "metrics", "evaluate", "plain_text", "temporary", "version"},
    "plain_text": set(),
    "terminal": {"plain_text"},
    "streams": set(),
    "console": {"errors", "plain_text", "progress", "streams", "terminal"},
    "stop_signals": set(),
}
"""What each room may import of the others besides itself; ``nets`` stands for all its modules, and so on.

``version`` is the package itself. ``cli``, ``__main__`` and the package's own lazy table may import everything.
"""

FREE = ("cli", "__main__", "")

TORCH_ROOMS = {
    *NETWORK_SIDE,
    "residuals",
    "spread",
    "scene",
    "directions",
    "forecast",
    "fusion",
    "pipeline",
    "training",
    "evaluate",
    "workload",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """Dotted name inside the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str:
    """The longest entry of ``ALLOWED`` that holds the module."""
    held = [room for room in (*ALLOWED, "cli") if name == room or name.startswith(room + ".")]
    return max(held, key=len, default=name)


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names that a module imports anywhere in its code, type-checking blocks excepted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield from (_imported(node.module or "", alias.name) for alias in node.names)


def _imported(module: str, name: str) -> str:
    """``module.name`` if that is a module of the package, else ``module``."""
    folder = PACKAGE.joinpath(*module.split(".")[1:]) if module.startswith("saint_cli") else None
    if folder is not None and (folder.joinpath(f"{name}.py").exists() or folder.joinpath(name).is_dir()):
        return f"{module}.{name}"
    return module


def is_allowed(importer: str, imported: str) -> bool:
    """Whether the module ``importer`` may import the module ``imported``, both named inside the package."""
    own, other = room_of(importer), room_of(imported) if imported else "version"
    assert own in ALLOWED, f"{importer}: no room of this name; add it to ALLOWED"
    return own == other or bool({other, other.split(".")[0]} & ALLOWED[own])


@pytest.mark.parametrize("path", MODULES, ids=[module_name(p) or "saint_cli" for p in MODULES])
def test_imports_go_one_way(path: Path) -> None:
    importer = module_name(path)
    if importer.split(".")[0] in FREE:
        return
    for name in imports(path):
        if name.split(".")[0] == "saint_cli":
            imported = name.removeprefix("saint_cli").removeprefix(".")
            assert is_allowed(importer, imported), f"{importer} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=[module_name(p) or "saint_cli" for p in MODULES])
def test_torch_is_imported_only_where_voxels_are_computed(path: Path) -> None:
    if module_name(path).split(".")[0] not in TORCH_ROOMS:
        assert not [name for name in imports(path) if name.split(".")[0] in ("torch", "safetensors")]


@pytest.mark.parametrize("path", MODULES, ids=[module_name(p) or "saint_cli" for p in MODULES])
def test_only_the_console_prints(path: Path) -> None:
    if module_name(path) == "console":
        return
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
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
        (["info", "scan.nii"], (*NETWORKS, "fsspec")),
        (["models"], NETWORKS),
        (["upsample", "scan.nii", "-o", "out.nii"], NETWORKS),
        (["evaluate", "scan.nii", "-m", "huge"], ("torch", "safetensors")),
        (["evaluate", "scan.nii", "--protocol", "mine"], ("torch", "safetensors")),
        (["upsample", ".", "-o", "out.nii", "-m", "huge"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--device", "gpu"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--uncertainty", "out.nii"], NETWORKS),
        (["upsample", ".", "-o", "out.nii", "--uncertainty", "error.nii", "--tta"], NETWORKS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_that_compute_nothing_load_nothing_heavy(
    tmp_path: Path, arguments: list[str], unwanted: tuple[str, ...]
) -> None:
    program = (
        "import sys\nfrom saint_cli.cli import app\n"
        "try:\n    app(prog_name='saint')\nexcept SystemExit:\n    pass\n"
        f"assert not {set(unwanted)!r} & set(sys.modules), {set(unwanted)!r} & set(sys.modules)"
    )
    path = {"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
