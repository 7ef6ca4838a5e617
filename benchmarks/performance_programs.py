"""What ``performance.py`` runs as programs of their own, so that time and peak memory are those of one method alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PEAK = """
def peak_mb():  # of this program alone: what getrusage tells, a child inherits from its parent
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
    made = ndimage.zoom(voxels.astype(np.float32), (count / z, 1, 1), order=3, mode="nearest", grid_mode=False)
    result = sitk.GetImageFromArray(np.rint(made).astype(voxels.dtype))
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
from pathlib import Path
began = time.perf_counter()
from saint_cli import pipeline
from saint_cli.jobs import Engine, Grid, Job, run_job
spent = {}
def timed(module, name):
    work = getattr(module, name)
    def run(*given):
        start = time.perf_counter()
        made = work(*given)
        spent[name] = spent.get(name, 0) + time.perf_counter() - start
        return made
    setattr(module, name, run)
timed(pipeline, "interpolate_directions")
timed(pipeline, "fuse")
engine = Engine(sys.argv[4], threads=int(sys.argv[5]))
run_job(Job(Path(sys.argv[1]), Path(sys.argv[2]), Grid(int(sys.argv[3])), engine, modality="CT"), lambda *told: None)
total = time.perf_counter() - began
print(json.dumps({"seconds": total, "peak_memory_mb": peak_mb(), "networks": sum(spent.values()) / total}))
"""


def run(program: str, files: tuple[Path, Path], factor: int, method: str, threads: int) -> dict[str, Any]:
    """What a program tells of upsampling one file to another: seconds, peak memory, the networks' share of the time."""
    words = [sys.executable, "-c", PEAK + program, *files, factor, method, threads]
    told: dict[str, Any] = json.loads(subprocess.check_output([str(word) for word in words]))
    return told
