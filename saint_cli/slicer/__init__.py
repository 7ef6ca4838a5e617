"""``saint`` as a command-line module of 3D Slicer: the description of its form, its progress lines, its launcher.

Nothing is computed here. Source of the rules: Slicer's *execution model* (SlicerExecutionModel), and
``vtkSlicerCLIModuleLogic``, which makes the command line and reads stdout.
"""
