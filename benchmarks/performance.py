"""How fast saint is, beside this machine's own limits and beside other programs: docs/performance.md in one command.

    python benchmarks/performance.py [DENSE] [--side 512] [--slices 197] [--factor 4] [--threads N] [--peer FOLDER]
                                     [--write docs/performance.md]

DENSE is a CT with thin slices, of which every FACTOR-th is kept; without one the example is stretched to 512 x 512.
``--side`` puts air around its planes, ``--slices`` takes those in the middle. Every method upsamples that scan in a
process of its own, so that peak memory is its own; ``--quick`` takes a small one.
py-SAINT's networks are timed at their sizes, form (concatenated, float32) and work (every plane, every output slice) on
single planes and slices, multiplied by their number; with FOLDER (``benchmarks/peer.py``) its PSNR is measured too.
"""

import platform
import sys
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import peer
import torch
import torch.nn.functional as F
from arguments import make_parser
from matrix_rate import measure_matrix_rate
from performance_growth import measure_factors, measure_long_scan, measure_scaling, measure_start_up
from performance_programs import NETWORKS, OTHERS, run_program
from timing import measure_least

from saint_cli import Volume, read_volume, write_volume
from saint_cli.evaluation.metrics import PAPER, psnr_by_protocol
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.models.weights import load_model
from saint_cli.nets.blocks import TrunkSize
from saint_cli.runtime import device_selection, memory

EXAMPLE = Path(__file__).parent.parent / "examples" / "chest_dense.nii.gz"
SIDE, DENSE_SLICES, THIN_MM = 512, 197, 1.25
QUICK = (128, 33)
NOTES = "\n## How to read this\n"


@dataclass(frozen=True)
class Setup:
    """What every measurement shares: the scan made sparse, options, and the machine's measured rate."""

    degraded: DegradedScan
    factor: int
    threads: int
    peer: Path | None
    gmacs: float


def measure_rates(setup: Setup) -> list[str]:
    """AMI's convolutions against the matrix rate of the same process."""
    machine = device_selection.select_compute("cpu")
    lines = ["| network | G multiply-adds/s | of the matrix rate |", "|---|---|---|"]
    lines.append(f"| matrix product, {str(machine.precision)[6:]} | {setup.gmacs:.0f} | 100 % |")
    height, width = setup.degraded.acquired.shape[1:]
    planes = torch.rand(1, 3, height, width)
    for name in ("base", "medium", "fast"):
        features = load_model(name).ami.features
        with torch.inference_mode(), machine.autocast():
            seconds = measure_least(lambda features=features: features(planes), 3)
        rate = features.multiply_adds * height * width / seconds / 1e9
        lines.append(f"| AMI of `{name}` | {rate:.0f} | {100 * rate / setup.gmacs:.0f} % |")
    return lines


def run_concatenated(size: TrunkSize, x: torch.Tensor) -> torch.Tensor:
    """A residual dense network as py-SAINT runs it, with weights of no meaning: time does not depend on them."""

    def conv(x: torch.Tensor, outputs: int, kernel: int) -> torch.Tensor:
        return F.conv2d(x, torch.full((outputs, x.shape[1], kernel, kernel), 1e-3), padding=kernel // 2)

    first = conv(x, size.width, 3)
    x, outputs = conv(first, size.width, 3), []
    for _ in range(size.blocks):
        dense = x
        for _ in range(size.layers):
            dense = torch.cat((dense, torch.relu(conv(dense, size.growth, 3))), 1)
        x = conv(dense, size.width, 1) + x
        outputs.append(x)
    return conv(conv(torch.cat(outputs, 1), size.width, 1), size.width, 3) + first


@torch.inference_mode()
def measure_peer_seconds(setup: Setup) -> float:
    """What py-SAINT's networks take for the whole scan: every plane of both views, every output slice."""
    x, y, z = setup.degraded.acquired.shape
    planes = sum(
        n * measure_least(lambda m=m: run_concatenated(peer.AMI_SIZE, torch.rand(1, 3, m, z)), 1)
        for n, m in ((x, y), (y, x))
    )
    return planes + z * setup.factor * measure_least(lambda: run_concatenated(peer.RFN_SIZE, torch.rand(1, 2, x, y)), 1)


def measure_peer_psnr(setup: Setup) -> str:
    """Its PSNR, where its weights are at hand."""
    if setup.peer is None:
        return "not measured (no --peer)"
    return f"{compute_psnr(setup, peer.restore(peer.load_peer(setup.peer), setup.degraded)['fused']):.2f}"


def compute_psnr(setup: Setup, restored: np.ndarray) -> float:
    """By the paper's protocol."""
    return psnr_by_protocol(setup.degraded.truth, restored, setup.factor, PAPER)


def compare_methods(setup: Setup) -> list[str]:
    """Every method on the same scan, one after the other."""
    results: dict[str, tuple[float, str, str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "thick.nii", Path(folder) / "thin.nii"
        write_volume(setup.degraded.sparse, source)
        programs = {name: (OTHERS, name) for name in ("SimpleITK linear", "SimpleITK B-spline", "scipy cubic")}
        programs |= {f"saint {model}": (NETWORKS, model) for model in ("fast", "medium", "base")}
        for name, (program, method) in programs.items():
            target.unlink(missing_ok=True)
            measured = run_program(program, (source, target), setup.factor, method, setup.threads)
            share = f"{100 * measured['networks']:.0f} %" if "networks" in measured else ""
            quality = f"{compute_psnr(setup, np.moveaxis(read_volume(target).voxels, setup.degraded.grid.axis, 2)):.2f}"
            results[name] = measured["seconds"], f"{measured['peak_memory_mb']:.0f}", quality, share
    results["py-SAINT's networks"] = measure_peer_seconds(setup), "", measure_peer_psnr(setup), ""
    spline, theirs = results["SimpleITK B-spline"][0], results["py-SAINT's networks"][0]
    lines = ["| method | seconds | times B-spline | py-SAINT takes times | peak MB | PSNR dB | inside AMI and RFN |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, (seconds, peak, quality, share) in results.items():
        ratios = f"{seconds / spline:.2f} | {theirs / seconds:.1f}"
        lines.append(f"| {name} | {seconds:.1f} | {ratios} | {peak} | {quality} | {share} |")
    return lines


def compute_floor(setup: Setup) -> list[str]:
    """The least time that the multiply-adds and the bytes of the whole scan allow, without leaving anything out."""
    x, y, z = setup.degraded.acquired.shape
    synthesised = (z - 1) * (setup.factor - 1)
    block = np.ones(50_000_000, np.float32)
    bandwidth = 2 * block.nbytes / measure_least(lambda: block.copy(), 3)
    moved = 2 * x * y * (z + setup.degraded.grid.count) + 4 * x * y * z + 2 * 6 * x * y * synthesised
    lines = ["| model | multiply-adds, 10^12 | at the matrix rate, s | bytes over bandwidth, s |", "|---|---|---|---|"]
    for name in ("fast", "medium", "base"):
        model = load_model(name)
        ami, rfn = model.ami.features.multiply_adds, model.rfn.multiply_adds
        work = 2 * x * y * z * ami + synthesised * x * y * rfn
        lines.append(f"| `{name}` | {work / 1e12:.2f} | {work / setup.gmacs / 1e9:.1f} | {moved / bandwidth:.2f} |")
    return lines


def make_dense_scan(path: Path | None, side: int | None, count: int | None, *, quick: bool) -> Volume:
    """The dense scan, cut and padded, or the example stretched by nearest neighbours."""
    small = read_volume(path or EXAMPLE)
    if path is not None:
        return pad_scan(small, side, count)
    side, slices = QUICK if quick else (SIDE, DENSE_SLICES)
    shape = (side, side, slices)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(shape, small.shape, strict=True)))
    affine = small.affine_lps @ np.diag([*(m / side for m in small.shape[:2]), 1.0, 1.0])
    affine[:3, 2] *= THIN_MM / np.linalg.norm(affine[:3, 2])
    return Volume(small.voxels[index], affine, small.header)


def pad_scan(scan: Volume, side: int | None, count: int | None) -> Volume:
    """The middle ``count`` slices, each within ``side`` x ``side`` voxels; what is added is as dark as the darkest."""
    x, y, z = scan.shape
    first = (z - (count or z)) // 2
    cut = scan.voxels[:, :, first : first + (count or z)]
    around = [(n // 2, n - n // 2) for n in (max(0, (side or 0) - n) for n in (x, y))]
    return replace(scan, voxels=np.pad(cut, [*around, (0, 0)], constant_values=cut.min()))


def describe_run(setup: Setup) -> list[str]:
    """What was measured, and where."""
    words = " ".join(Path(word).name for word in sys.argv[1:] if not word.startswith("docs/"))  # no folders
    shape, count = " x ".join(map(str, setup.degraded.sparse.shape)), setup.degraded.grid.count
    machine = f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), torch {torch.__version__}"
    return [
        "# Performance\n",
        "Written by `benchmarks/performance.py`, up to *How to read this*. Ratios within this page can be compared",
        "between machines, seconds cannot.\n",
        f"`python benchmarks/performance.py {words}`: {shape} to {count} slices, {setup.threads} threads, {machine}.",
    ]


def read_notes(page: Path) -> str:
    """What the page says that is not measured by this program, from ``NOTES`` on; nothing of a new page."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return "".join(text.partition(NOTES)[1:])


def main() -> None:
    """Measure, print, and write the page if wanted."""
    parser = make_parser(__doc__)
    parser.add_argument("dense", type=Path, nargs="?")
    parser.add_argument("--side", type=int)
    parser.add_argument("--slices", type=int)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    memory.keep_freed_memory()
    device_selection.set_threads(options.threads)
    scan = make_dense_scan(options.dense, options.side, options.slices, quick=options.quick)
    scan = replace(scan, header=replace(scan.header, modality="CT"))
    degraded = DegradedScan.from_dense(scan, 2, Fraction(options.factor))
    gmacs = measure_matrix_rate(device_selection.select_compute("cpu").precision)
    setup = Setup(degraded, options.factor, options.threads, options.peer, gmacs)
    page = describe_run(setup)
    sections = {
        "The networks and the processor": measure_rates,
        "The least that this scan can take": compute_floor,
        "Beside other programs": compare_methods,
        "Memory of a long scan (`fast`)": lambda s: measure_long_scan(
            s.degraded.sparse, s.degraded.grid.axis, s.factor, s.threads
        ),
        "How time grows with slices, pixels and threads": lambda s: measure_scaling(s.threads),
        "How time grows with the factor": lambda _: measure_factors(),
        "What every scan takes, however small": lambda _: measure_start_up(),
    }
    print("\n".join(page), flush=True)
    for title, measure in sections.items():
        section = [f"\n## {title}\n", *measure(setup)]
        print("\n".join(section), flush=True)
        page += section
    if options.write is not None:
        options.write.write_text("\n".join([*page, read_notes(options.write)]), encoding="utf-8")


if __name__ == "__main__":
    main()
