"""The module SAINT of Slicer, without Slicer: its logic runs the real command-line module; Slicer is a stand-in.

What needs Slicer itself (writing a node, its window) is not tested here; docs/slicer.md says so.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import fabricate
import numpy as np
import pytest
import slicer_standin
from slicer_scene import CLI_MODULE, FOLDER, PROGRAM, XML, Display, JobNode, Scene, VolumeNode

from saint_cli.cli.slicer import FORM_OPTIONS
from saint_cli.io import read_volume, write_volume
from saint_cli.jobs import ModelConfig
from saint_cli.slicer.description import render_description


@pytest.fixture
def scene(tmp_path: Path, model_config: ModelConfig) -> Scene:
    """A scene with one volume, turned, under a transform and with a window of its own."""
    scene = Scene(tmp_path, model_config.model)
    scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "chest")
    write_volume(fabricate.volume((24, 20, 5), affine_lps=fabricate.OBLIQUE_LPS), scan.path)
    scan.transform, scan.display = "transform1", Display()
    scan.display.SetWindowLevel(400.0, 40.0)
    return scene


@pytest.fixture
def module(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """SAINT.py, imported with stand-ins for what Slicer has."""
    slicer, qt, base = MagicMock(), MagicMock(), ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic", "Test"):
        setattr(
            base, f"ScriptedLoadableModule{name}", type(name, (), {"__init__": lambda self, *_: None, "setup": print})
        )
    for constructor in (slicer.qMRMLNodeComboBox, qt.QSpinBox, qt.QDoubleSpinBox, qt.QComboBox, qt.QPushButton):
        constructor.side_effect = lambda *_: MagicMock()  # each its own
    slicer.mrmlScene, slicer.modules = scene, SimpleNamespace(saintupsample=CLI_MODULE)
    slicer.cli = SimpleNamespace(createNode=lambda module, parameters: JobNode(parameters), run=scene.start)
    slicer.vtkMRMLCommandLineModuleNode.StatusModifiedEvent = "StatusModifiedEvent"
    for name, stub in {
        "slicer": slicer,
        base.__name__: base,
        "qt": qt,
        "ctk": MagicMock(),
        "vtk": MagicMock(),
    }.items():
        monkeypatch.setitem(sys.modules, name, stub)
    monkeypatch.syspath_prepend(FOLDER / "SAINT")
    spec = importlib.util.spec_from_file_location("SAINT", FOLDER / "SAINT" / "SAINT.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    for name in [name for name in sys.modules if name.startswith("SAINTLib")]:
        del sys.modules[name]


def start(module: ModuleType, scene: Scene, target: VolumeNode | None = None, **request: Any) -> tuple[Any, list[Any]]:
    """The logic with a job under way, and what it said of the end."""
    logic, ends = module.SAINTLogic(), list[Any]()
    logic.start(scene.volumes[0], target, module.Request(**request), lambda *end: ends.append(end))
    return logic, ends


def test_the_description_beside_the_program_is_current() -> None:
    assert render_description(FORM_OPTIONS) == XML, "run saint slicer --xml > SAINTUpsample.xml"


def test_slicer_takes_the_program_for_a_command_line_module() -> None:
    assert PROGRAM.read_text(encoding="utf-8").startswith("#!/usr/bin/env python-real\n")


def test_words_of_the_window_are_those_of_the_description(module: ModuleType) -> None:
    words = {"model": list(module.MODELS), "modality": list(module.MODALITIES), "noise": list(module.NOISE_WORDS)}
    assert words == {name: slicer_standin.list_words(XML, name) for name in words}


def test_the_result_has_the_place_the_window_and_the_slices_of_the_scan(module: ModuleType, scene: Scene) -> None:
    logic, ends = start(module, scene, factor=4)
    assert logic.is_running
    assert ends == []
    scene.run(scene.jobs[0])
    scan, result = scene.volumes
    assert ends == [(None, [])]
    assert not logic.is_running
    assert (result.name, result.transform) == ("chest x4", "transform1")
    assert result.display is not None
    assert (result.display.window, result.display.level, result.display.is_auto) == (400.0, 40.0, False)
    before, after = read_volume(scan.path), read_volume(result.path)
    np.testing.assert_array_equal(after.voxels[..., ::4], before.voxels)
    np.testing.assert_allclose(after.affine_lps[:, 3], before.affine_lps[:, 3])
    assert after.voxels.dtype == before.voxels.dtype == np.int16


def test_a_failure_is_one_sentence_and_leaves_no_empty_volume(module: ModuleType, scene: Scene) -> None:
    logic, ends = start(module, scene, factor=4, spacing_mm=1.0)
    scene.run(scene.jobs[0])
    assert ends == [("--factor and --spacing both say how fine to interpolate; give one", [])]
    assert [one.name for one in scene.volumes] == ["chest"]
    assert not logic.is_running


def test_a_cancelled_job_is_no_failure_and_another_can_follow(module: ModuleType, scene: Scene) -> None:
    logic, ends = start(module, scene, factor=2)
    logic.cancel()
    assert ends == [(None, [])]
    assert len(scene.volumes) == 1
    logic.start(scene.volumes[0], None, module.Request(), lambda *end: ends.append(end))
    assert len(scene.jobs) == 2


def test_two_jobs_do_not_run_at_once(module: ModuleType, scene: Scene) -> None:
    logic, _ = start(module, scene, factor=2)
    with pytest.raises(ValueError, match="running already"):
        logic.start(scene.volumes[0], None, module.Request(), print)
    assert len(scene.jobs) == 1


def test_the_window_opens_and_starts_what_it_shows(module: ModuleType, scene: Scene) -> None:
    widget = module.SAINTWidget()
    widget.layout = MagicMock()
    widget.setup()
    widget.inputSelector.currentNode.return_value, widget.outputSelector.currentNode.return_value = (
        scene.volumes[0],
        None,
    )
    widget.factorBox.value, widget.spacingBox.value = 3, 0.0
    widget.modelBox.currentText, widget.modalityBox.currentText, widget.noiseBox.currentText = "fast", "mr", "keep"
    widget.onRun()
    parameters = scene.jobs[0].parameters
    assert {name: parameters[name] for name in ("factor", "spacing", "model", "modality", "noise")} == {
        "factor": 3,
        "spacing": 0.0,
        "model": "fast",
        "modality": "mr",
        "noise": "keep",
    }
    assert parameters["inputVolume"] is scene.volumes[0]


@pytest.mark.parametrize(
    ("path", "has_saint", "is_ready"),
    [
        ("SAINTUpsample.py", True, True),
        ("SAINTUpsample.py", False, False),
        ("SAINTUpsample", False, True),
        (None, True, False),
    ],
)
def test_jobs_can_run_by_a_launcher_or_by_saint_in_slicers_python(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, path: str | None, has_saint: bool, is_ready: bool
) -> None:
    modules = SimpleNamespace() if path is None else SimpleNamespace(saintupsample=SimpleNamespace(path=path))
    monkeypatch.setattr(module.slicer, "modules", modules)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object() if has_saint else None)
    assert module.SAINTLogic.is_installed() is is_ready


def test_names_say_how_fine_the_result_is(module: ModuleType) -> None:
    names = [module.Request(**how).name_result("a") for how in ({"factor": 4}, {"spacing_mm": 1.5}, {})]
    assert names == ["a x4", "a 1.5 mm", "a isotropic"]


def test_an_old_python_or_no_wheel_is_named_before_anything_is_installed(module: ModuleType) -> None:
    assert "needs Python 3.11, and this Slicer has 3.9" in module.find_obstacle((3, 9), "saint.whl")
    assert "wheel" in module.find_obstacle((3, 12), "")
    assert module.find_obstacle((3, 12), "/a/saint_cli-0.1.0-py3-none-any.whl") is None


def test_warnings_are_not_taken_for_the_failure(module: ModuleType) -> None:
    stderr = "saint: warning: trained on CT only\nsaint: --factor 40 is outside 2...16\n"
    assert module.describe_failure(stderr) == "--factor 40 is outside 2...16"
    assert module.list_warnings(stderr) == ["trained on CT only"]
    assert module.describe_failure("Killed") == "Killed"
    assert module.describe_failure("") != ""


def test_without_saint_the_program_says_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "SAINTUpsample.py"
    copy.write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(copy), "in.nrrd", "out.nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "press Install" in done.stderr
