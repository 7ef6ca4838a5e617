"""Seconds and peak memory of ``saint upsample``, beside SimpleITK's interpolators on the same scan in the same run.

    python benchmarks/upsample_time.py [SCAN] [--factor 4] [--models fast,base]

Without SCAN the example is enlarged to a 512 x 512 x 50 CT. Each method runs as a process of its own, so that peak
memory is its own; ratios within one run can be compared between machines, absolute times cannot.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from saint_cli import Volume, read_volume, write_volume

EXAMPLE = Path(__file__).parent.parent / "examples" / "chest_dense.nii.gz"
SHAPE = (512, 512, 50)
THICK_MM = 4.0

SITK = """
import json, resource, sys, time
import SimpleITK as sitk
source, factor, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(sys.argv[4]))
began = time.perf_counter()
image = sitk.ReadImage(source)
x, y, z = image.GetSize()
dx, dy, dz = image.GetSpacing()
identity = sitk.Transform()
result = sitk.Resample(image, (x, y, (z - 1) * factor + 1), identity, getattr(sitk, kind), image.GetOrigin(),
                       (dx, dy, dz / factor), image.GetDirection())
sitk.WriteImage(result, sys.argv[5])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps({"seconds": time.perf_counter() - began, "peak_memory_mb": peak}))
"""


def main() -> None:
    """Time every method once and print seconds, memory, and times relative to B-spline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, nargs="?")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--models", default="fast,base")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = options.scan or enlarged(Path(folder) / "scan.mha")
        out, factor, threads = str(Path(folder) / "out.mha"), str(options.factor), str(options.threads)
        runs = {
            f"SimpleITK {kind.removeprefix('sitk')}": [sys.executable, "-c", SITK, scan, factor, kind, threads, out]
            for kind in ("sitkLinear", "sitkBSpline3")
        }
        saint = ["saint", "upsample", scan, "-f", factor, "--threads", threads, "--json", "--overwrite", "-o", out]
        runs |= {f"saint {model}": [*saint, "--model", model] for model in options.models.split(",")}
        figures = {name: json.loads(subprocess.check_output(list(map(str, run)))) for name, run in runs.items()}
    reference = figures["SimpleITK BSpline3"]["seconds"]
    print("| method | seconds | times B-spline | peak memory, MB |\n|---|---|---|---|")
    for name, f in figures.items():
        print(f"| {name} | {f['seconds']:.1f} | {f['seconds'] / reference:.1f} | {f['peak_memory_mb']:.0f} |")


def enlarged(target: Path) -> Path:
    """Write the example, stretched by nearest neighbours to ``SHAPE``, 4 mm between slices."""
    small = read_volume(EXAMPLE)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(SHAPE, small.shape, strict=True)))
    affine = small.affine_lps @ np.diag([m / n for n, m in zip(SHAPE, small.shape, strict=True)] + [1.0])
    affine[:3, 2] *= THICK_MM / np.linalg.norm(affine[:3, 2])
    write_volume(Volume(small.voxels[index], affine, small.header), target)
    return target


if __name__ == "__main__":
    main()
