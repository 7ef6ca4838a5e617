"""What the module SAINT knows beside Slicer; importable anywhere."""
