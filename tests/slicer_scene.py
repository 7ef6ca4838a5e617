"""A scene of 3D Slicer as far as the module SAINT needs one: volumes in files, jobs that run the real program."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer_standin

FOLDER = Path(__file__).parents[1] / "integrations" / "slicer"
PROGRAM = FOLDER / "SAINTUpsample" / "SAINTUpsample.py"
XML = PROGRAM.with_suffix(".xml").read_text(encoding="utf-8")
CLI_MODULE = SimpleNamespace(path=str(PROGRAM))
PACKAGE = str(Path(__file__).parents[1])


class Display:
    """A display node."""

    window, level, colour, is_auto = 1.0, 2.0, "grey", True

    def GetWindow(self) -> float:
        return self.window

    def GetLevel(self) -> float:
        return self.level

    def GetColorNodeID(self) -> str:
        return self.colour

    def SetWindowLevel(self, window: float, level: float) -> None:
        self.window, self.level = window, level

    def SetAndObserveColorNodeID(self, colour: str) -> None:
        self.colour = colour

    def SetAutoWindowLevel(self, is_auto: bool) -> None:
        self.is_auto = is_auto


@dataclass
class VolumeNode:
    """A volume of the scene, in a file."""

    name: str
    path: Path
    transform: str | None = None
    display: Display | None = None

    def GetName(self) -> str:
        return self.name

    def GetTransformNodeID(self) -> str | None:
        return self.transform

    def GetDisplayNode(self) -> Display | None:
        return self.display

    def SetAndObserveTransformNodeID(self, transform: str | None) -> None:
        self.transform = transform

    def CreateDefaultDisplayNodes(self) -> None:
        self.display = Display()


@dataclass
class JobNode:
    """A vtkMRMLCommandLineModuleNode, of which the status is that of one real run."""

    Completed, Cancelled, CompletedWithErrors = 0x20, 0x08, 0x60

    parameters: dict[str, Any]
    status: int = 0
    stderr: str = ""
    observers: list[Callable[..., None]] = field(default_factory=list)

    def AddObserver(self, event: str, observer: Callable[..., None]) -> None:
        assert event == "StatusModifiedEvent"
        self.observers.append(observer)

    def GetStatus(self) -> int:
        return self.status

    def GetErrorText(self) -> str:
        return self.stderr

    def IsBusy(self) -> bool:
        return self.status in (0x01, 0x02, 0x10)

    def Cancel(self) -> None:
        self.change_status(self.Cancelled)

    def change_status(self, status: int) -> None:
        self.status = status
        for observer in self.observers:
            observer(self, "StatusModifiedEvent")


class Scene:
    """The nodes, and the jobs that were started; ``run`` ends them as Slicer's thread would."""

    def __init__(self, folder: Path, weights: str) -> None:
        self.folder, self.weights = folder, weights
        self.volumes: list[VolumeNode] = []
        self.jobs: list[JobNode] = []

    def AddNewNodeByClass(self, kind: str, name: str) -> VolumeNode:
        assert kind == "vtkMRMLScalarVolumeNode"
        self.volumes.append(VolumeNode(name, self.folder / f"node{len(self.volumes)}.nrrd"))
        return self.volumes[-1]

    def RemoveNode(self, node: VolumeNode) -> None:
        self.volumes.remove(node)

    def start(self, module: object, node: JobNode, *, update_display: bool) -> JobNode:
        assert module is CLI_MODULE
        self.jobs.append(node)
        node.change_status(0x01)
        return node

    def run(self, job: JobNode) -> None:
        """Run the command-line module of a job as another process."""
        job.change_status(0x02)
        texts = {k: str(v.path if isinstance(v, VolumeNode) else v) for k, v in job.parameters.items()}
        texts |= {"weights": self.weights, "device": "cpu", "precision": "fp32", "threads": "1"}
        command = [sys.executable, str(PROGRAM), *slicer_standin.make_arguments(XML, texts)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": PACKAGE}
        )
        job.stderr = done.stderr
        job.change_status(JobNode.CompletedWithErrors if done.returncode else JobNode.Completed)
