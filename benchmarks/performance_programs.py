"""Programs that ``performance.py`` starts, so that time and peak memory are those of one method alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PEAK = """
def peak_mb():  # of this program alone: a child inherits the peak of getrusage from its parent
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmHWM:"))
"""

OTHERS = """
import json, sys, time
source, target, factor, method, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
began = time.perf_counter()
import SimpleITK as sitk
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
image = sitk.ReadImage(source)
x, y, z = image.GetSize()
dx, dy, dz = image.GetSpacing()
count, spacing = (z - 1) * factor + 1, (dx, dy, dz / factor)
if method == "scipy cubic":
    import numpy as np
    from scipy import ndimage
    voxels = sitk.GetArrayFromImage(image)
    zoomed = ndimage.zoom(voxels.astype(np.float32), (count / z, 1, 1), order=3, mode="nearest", grid_mode=False)
    result = sitk.GetImageFromArray(np.rint(zoomed).astype(voxels.dtype))
    result.SetOrigin(image.GetOrigin()), result.SetDirection(image.GetDirection()), result.SetSpacing(spacing)
else:
    kind = {"SimpleITK linear": sitk.sitkLinear, "SimpleITK B-spline": sitk.sitkBSpline3}[method]
    place = image.GetOrigin(), spacing, image.GetDirection()
    result = sitk.Resample(image, (x, y, count), sitk.Transform(), kind, *place)
sitk.WriteImage(result, target)
print(json.dumps({"seconds": time.perf_counter() - began, "peak_memory_mb": peak_mb()}))
"""

NETWORKS = """
import json, sys, time
source, target, factor, model, threads = sys.argv[1:]
began = time.perf_counter()
from saint_cli.cli.app import app
from saint_cli.method import pipeline
seconds = []
def time_calls(name):
    work = getattr(pipeline, name)
    def run(*arguments):
        start = time.perf_counter()
        result = work(*arguments)
        seconds.append(time.perf_counter() - start)
        return result
    setattr(pipeline, name, run)
time_calls("interpolate_directions")
time_calls("fuse")
words = [source, "-o", target, "--factor", factor, "-m", model, "--threads", threads, "--modality", "ct", "-q"]
if code := app(["upsample", *words], standalone_mode=False):
    raise SystemExit(code)
total = time.perf_counter() - began
print(json.dumps({"seconds": total, "peak_memory_mb": peak_mb(), "networks": sum(seconds) / total}))
"""


def run_program(program: str, files: tuple[Path, Path], factor: int, method: str, threads: int) -> dict[str, Any]:
    """Upsample one file to another: seconds, peak memory in MB, and the networks' share of the time."""
    words = [sys.executable, "-c", PEAK + program, *files, factor, method, threads]
    measured: dict[str, Any] = json.loads(subprocess.check_output([str(word) for word in words]))
    return measured
