"""Module SAINT of 3D Slicer: installs saint in Slicer's Python, and upsamples a volume in the background.

Slicer writes the volume, runs ``SAINTUpsample`` as another process and reads the result; the window stays free.
"""

import importlib.util
import sys

import ctk
import qt
import slicer
import vtk
from SAINTLib.jobs import Request, describe_failure, find_obstacle, list_warnings
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

MODELS = ("auto", "base", "medium", "fast", "mr-medium", "mr-fast")
MODALITIES = ("auto", "ct", "mr")
NOISE_WORDS = ("keep", "match", "smooth")
MAX_FACTOR, MAX_SPACING_MM = 16, 50.0

INSTALL_QUESTION = (
    "Install saint and what it needs (PyTorch, SciPy and others) in Slicer's Python? pip may download up to some GB. "
    "Slicer does not react until that is done."
)


class SAINT(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = "SAINT"
        self.parent.categories = ["Filtering"]
        self.parent.dependencies = []
        self.parent.contributors = ["The saint contributors"]
        self.parent.helpText = (
            "Synthesises the slices between those of a thick-slice CT or MR volume. Acquired slices are kept. "
            "Not for diagnosis. All options: module SAINT Upsample."
        )
        self.parent.acknowledgementText = "Peng C et al., SAINT, CVPR 2020. An independent implementation."


class SAINTWidget(ScriptedLoadableModuleWidget):
    """The window: package, volumes, grid, model; progress of the running job."""

    def setup(self):
        super().setup()
        self.logic = SAINTLogic()
        self._add_installation()
        form = self._add_section("Upsample")
        self.inputSelector = self._make_selector(is_input=True)
        self.outputSelector = self._make_selector(is_input=False)
        self.factorBox, self.spacingBox = qt.QSpinBox(), qt.QDoubleSpinBox()
        self.factorBox.maximum, self.spacingBox.maximum = MAX_FACTOR, MAX_SPACING_MM
        self.factorBox.specialValueText = self.spacingBox.specialValueText = "not set"
        self.modelBox, self.modalityBox, self.noiseBox = qt.QComboBox(), qt.QComboBox(), qt.QComboBox()
        self.modelBox.addItems(list(MODELS))
        self.modalityBox.addItems(list(MODALITIES))
        self.noiseBox.addItems(list(NOISE_WORDS))
        self.runButton, self.cancelButton = qt.QPushButton("Upsample"), qt.QPushButton("Cancel")
        self.progressBar = slicer.qSlicerCLIProgressBar()
        for label, widget in (
            ("Volume", self.inputSelector), ("Result", self.outputSelector), ("Factor", self.factorBox),
            ("Slice spacing, mm", self.spacingBox), ("Model", self.modelBox), ("Modality", self.modalityBox),
            ("Noise of CT", self.noiseBox),
        ):  # fmt: skip
            form.addRow(label, widget)
        for widget in (self.runButton, self.cancelButton, self.progressBar):
            form.addRow(widget)
        self.runButton.connect("clicked()", self.onRun)
        self.cancelButton.connect("clicked()", self.logic.cancel)
        self.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.showState)
        self.layout.addStretch(1)
        self.showState()

    def _add_section(self, title):
        section = ctk.ctkCollapsibleButton()
        section.text = title
        self.layout.addWidget(section)
        return qt.QFormLayout(section)

    def _add_installation(self):
        form = self._add_section("Installation")
        self.packageEdit, self.installButton = ctk.ctkPathLineEdit(), qt.QPushButton("Install")
        self.packageEdit.filters, self.packageEdit.nameFilters = ctk.ctkPathLineEdit.Files, ["Wheel (*.whl)"]
        form.addRow("Wheel of saint", self.packageEdit)
        form.addRow(self.installButton)
        self.installButton.connect("clicked()", self.onInstall)

    def _make_selector(self, *, is_input):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.addEnabled, selector.noneEnabled, selector.renameEnabled = not is_input, not is_input, not is_input
        selector.noneDisplay = "New volume"
        selector.setMRMLScene(slicer.mrmlScene)
        return selector

    def showState(self, *_):
        """Enable what can be done now."""
        is_installed = self.logic.is_installed()
        self.runButton.enabled = is_installed and not self.logic.is_running and bool(self.inputSelector.currentNode())
        self.runButton.toolTip = (
            "" if is_installed else "Install saint first (and add the folder of SAINTUpsample as module path)"
        )
        self.cancelButton.enabled = self.logic.is_running

    def onInstall(self):
        """Ask, then install."""
        package = self.packageEdit.currentPath
        if (obstacle := find_obstacle(sys.version_info[:2], package)) is not None:
            slicer.util.errorDisplay(obstacle)
        elif slicer.util.confirmOkCancelDisplay(INSTALL_QUESTION):
            with slicer.util.tryWithErrorDisplay("saint could not be installed.", waitCursor=True):
                self.logic.install(package)
        self.showState()

    def onRun(self):
        """Start the job of what the window shows."""
        request = Request(
            self.factorBox.value,
            self.spacingBox.value,
            self.modelBox.currentText,
            self.modalityBox.currentText,
            self.noiseBox.currentText,
        )
        source = self.inputSelector.currentNode()
        with slicer.util.tryWithErrorDisplay("The job could not be started.", waitCursor=False):
            node = self.logic.start(source, self.outputSelector.currentNode(), request, self.onEnd)
            self.progressBar.setCommandLineModuleNode(node)
        self.showState()

    def onEnd(self, failure, warnings):
        """Show how a job ended; ``failure``: None where it did not fail."""
        self.showState()
        if failure is not None:
            slicer.util.errorDisplay(failure)
        elif warnings:
            slicer.util.infoDisplay("\n".join(warnings))


class SAINTLogic(ScriptedLoadableModuleLogic):
    """Installs saint; runs one job at a time."""

    def __init__(self):
        super().__init__()
        self._job = None  # the node of the running SAINTUpsample

    @property
    def is_running(self):
        return self._job is not None

    @staticmethod
    def is_installed():
        """Whether jobs can run: by a launcher, which has a Python of its own, or by saint in Slicer's Python."""
        module = getattr(slicer.modules, "saintupsample", None)
        if module is None:
            return False
        return not module.path.endswith(".py") or importlib.util.find_spec("saint_cli") is not None

    @staticmethod
    def install(package):
        """Install a wheel; PyTorch by its extension, where that is there, for it knows which build fits the GPU.

        SimpleITK stays Slicer's own, where Slicer's pip_install can leave a package out.
        """
        if importlib.util.find_spec("torch") is None and hasattr(slicer.modules, "pytorchutils"):
            import PyTorchUtils

            if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True) is None:
                raise ValueError("PyTorch was not installed")
        can_skip = importlib.util.find_spec("slicer.packaging") is not None
        slicer.util.pip_install([package], **({"skip_packages": ["SimpleITK"]} if can_skip else {}))
        importlib.invalidate_caches()

    def start(self, source, target, request, on_end):
        """Upsample ``source`` into ``target`` (None: a new volume) in the background; the node of the job.

        on_end: called with a failure or None, and a list of warnings.
        """
        if self.is_running:
            raise ValueError("A job is running already")
        is_new = target is None
        name = request.name_result(source.GetName())
        target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) if is_new else target
        parameters = {"inputVolume": source, "outputVolume": target, **request.make_parameters()}
        self._job = slicer.cli.createNode(slicer.modules.saintupsample, parameters)

        def look(node, event):
            if node is self._job and not node.IsBusy():
                self._job = None
                self._finish(node, source, target, on_end, is_new=is_new)

        self._job.AddObserver(slicer.vtkMRMLCommandLineModuleNode.StatusModifiedEvent, look)
        return slicer.cli.run(slicer.modules.saintupsample, self._job, update_display=False)

    def cancel(self):
        """Stop the running job, if there is one."""
        if self._job is not None:
            self._job.Cancel()

    @staticmethod
    def _finish(node, source, target, on_end, *, is_new):
        """Give the result the place and the window of the scan, or remove an empty one."""
        status, stderr = node.GetStatus(), node.GetErrorText() or ""
        if status == node.Completed:
            show_like(source, target)
            on_end(None, list_warnings(stderr))
            return
        if is_new:
            slicer.mrmlScene.RemoveNode(target)
        on_end(None if status == node.Cancelled else describe_failure(stderr), [])


def show_like(source, target):
    """Give a volume the transform, the window and the colours of another one, and show it."""
    target.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    target.CreateDefaultDisplayNodes()
    before, after = source.GetDisplayNode(), target.GetDisplayNode()
    if before is not None:
        after.SetAutoWindowLevel(False)
        after.SetWindowLevel(before.GetWindow(), before.GetLevel())
        after.SetAndObserveColorNodeID(before.GetColorNodeID())
    slicer.util.setSliceViewerLayers(background=target)


class SAINTTest(ScriptedLoadableModuleTest):
    """A test inside of Slicer, of a volume of four slices; needs saint in Slicer's Python."""

    def runTest(self):
        import numpy

        slicer.mrmlScene.Clear()
        source = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "thick")
        voxels = numpy.random.default_rng(0).integers(-100, 100, (4, 24, 24)).astype("int16")  # [z, y, x]
        slicer.util.updateVolumeFromArray(source, voxels)
        source.SetSpacing(1.0, 1.0, 4.0)
        target = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "thin")
        parameters = {
            "inputVolume": source,
            "outputVolume": target,
            **Request(factor=2, model="fast").make_parameters(),
        }
        node = slicer.cli.runSync(slicer.modules.saintupsample, None, parameters)
        assert node.GetStatus() == node.Completed, node.GetErrorText()
        after = slicer.util.arrayFromVolume(target)
        assert after.shape == (7, 24, 24)
        assert (after[::2] == voxels).all()
        matrices = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
        for volume, matrix in zip((source, target), matrices, strict=True):
            volume.GetIJKToRASMatrix(matrix)
        assert abs(matrices[1].GetElement(2, 2) - matrices[0].GetElement(2, 2) / 2) < 1e-6
