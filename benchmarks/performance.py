"""How fast saint is, beside this machine's own limits and beside other programs: docs/performance.md in one command.

    python benchmarks/performance.py [DENSE] [--side 512] [--slices 197] [--factor 4] [--threads N] [--peer FOLDER]
                                     [--write docs/performance.md]

DENSE is a CT with thin slices, of which every FACTOR-th is kept; without one the example is stretched to 512 x 512.
``--side`` puts air around its planes, ``--slices`` takes those in the middle. Every method upsamples that scan in a
process of its own, so that peak memory is its own; ``--quick`` takes a small one.
py-SAINT's networks are timed at their sizes, form (concatenated, float32) and work (every plane, every output slice) on
single planes and slices, multiplied by their number; with FOLDER (``benchmarks/peer.py``) its PSNR is measured too.
"""

import argparse
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
from performance_growth import by_factor, least, long_scan, scaling, start_up
from performance_programs import NETWORKS, OTHERS, run

from saint_cli import Volume, compute, memory, read_volume, write_volume
from saint_cli.metrics import PAPER, psnr_by_protocol
from saint_cli.nets.blocks import TrunkSize
from saint_cli.scores import Trial
from saint_cli.weights import load_model

EXAMPLE = Path(__file__).parent.parent / "examples" / "chest_dense.nii.gz"
SIDE, DENSE_SLICES, THIN_MM = 512, 197, 1.25
QUICK = (128, 33)
MATRIX = 2048


@dataclass(frozen=True)
class Bench:
    """What every measurement shares: the scan made sparse, options, and the machine's measured rate."""

    trial: Trial
    factor: int
    threads: int
    peer: Path | None
    gmacs: float


def matrix_rate(precision: torch.dtype) -> float:
    """Billions of multiply-adds per second of a plain matrix product."""
    a = torch.randn(MATRIX, MATRIX).to(precision)
    return MATRIX**3 / least(lambda: a @ a, 3) / 1e9


def multiply_adds(net: torch.nn.Module) -> int:
    """Of one pixel: every weight of a convolution is used once."""
    return sum(p.numel() for p in net.parameters() if p.ndim == 4)


def rates(bench: Bench) -> list[str]:
    """AMI's convolutions against the matrix rate of the same process."""
    machine = compute.choose("cpu")
    lines = ["| network | G multiply-adds/s | of the matrix rate |", "|---|---|---|"]
    lines.append(f"| matrix product, {str(machine.precision)[6:]} | {bench.gmacs:.0f} | 100 % |")
    height, width = bench.trial.acquired.shape[1:]
    planes = torch.rand(1, 3, height, width)
    for name in ("base", "fast"):
        features = load_model(name).ami.features
        with torch.inference_mode(), machine.autocast():
            seconds = least(lambda features=features: features(planes), 3)
        rate = multiply_adds(features) * height * width / seconds / 1e9
        lines.append(f"| AMI of `{name}` | {rate:.0f} | {100 * rate / bench.gmacs:.0f} % |")
    return lines


def concatenated(size: TrunkSize, x: torch.Tensor) -> torch.Tensor:
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
def peer_seconds(bench: Bench) -> float:
    """What py-SAINT's networks take for the whole scan: every plane of both views, every output slice."""
    x, y, z = bench.trial.acquired.shape
    planes = sum(
        n * least(lambda m=m: concatenated(peer.AMI_SIZE, torch.rand(1, 3, m, z)), 1) for n, m in ((x, y), (y, x))
    )
    return planes + z * bench.factor * least(lambda: concatenated(peer.RFN_SIZE, torch.rand(1, 2, x, y)), 1)


def peer_psnr(bench: Bench) -> str:
    """Its PSNR, where its weights are at hand."""
    if bench.peer is None:
        return "not measured (no --peer)"
    x_mm, y_mm = (s for i, s in enumerate(bench.trial.sparse.spacing_mm) if i != bench.trial.grid.axis)
    spacing = (x_mm, y_mm, bench.trial.sparse.spacing_mm[bench.trial.grid.axis])
    return f"{psnr(bench, peer.restore(peer.load(bench.peer), bench.trial, spacing)['fused']):.2f}"


def psnr(bench: Bench, made: np.ndarray) -> float:
    """By the paper's protocol."""
    return psnr_by_protocol(bench.trial.truth, made, 2, bench.factor, PAPER)


def methods(bench: Bench) -> list[str]:
    """Every method on the same scan, one after the other."""
    found: dict[str, tuple[float, str, str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "thick.nii", Path(folder) / "made.nii"
        write_volume(bench.trial.sparse, source)
        programs = {name: (OTHERS, name) for name in ("SimpleITK linear", "SimpleITK B-spline", "scipy cubic")}
        programs |= {f"saint {model}": (NETWORKS, model) for model in ("fast", "base")}
        for name, (program, method) in programs.items():
            target.unlink(missing_ok=True)
            told = run(program, (source, target), bench.factor, method, bench.threads)
            share = f"{100 * told['networks']:.0f} %" if "networks" in told else ""
            quality = f"{psnr(bench, np.moveaxis(read_volume(target).voxels, bench.trial.grid.axis, 2)):.2f}"
            found[name] = told["seconds"], f"{told['peak_memory_mb']:.0f}", quality, share
    found["py-SAINT's networks"] = peer_seconds(bench), "", peer_psnr(bench), ""
    spline, theirs = found["SimpleITK B-spline"][0], found["py-SAINT's networks"][0]
    lines = ["| method | seconds | times B-spline | py-SAINT takes times | peak MB | PSNR dB | inside AMI and RFN |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, (seconds, peak, quality, share) in found.items():
        ratios = f"{seconds / spline:.2f} | {theirs / seconds:.1f}"
        lines.append(f"| {name} | {seconds:.1f} | {ratios} | {peak} | {quality} | {share} |")
    return lines


def floor(bench: Bench) -> list[str]:
    """The least time that the multiply-adds and the bytes of the whole scan allow, without leaving anything out."""
    x, y, z = bench.trial.acquired.shape
    synthesised = (z - 1) * (bench.factor - 1)
    block = np.ones(50_000_000, np.float32)
    bandwidth = 2 * block.nbytes / least(lambda: block.copy(), 3)
    moved = 2 * x * y * (z + bench.trial.grid.count) + 4 * x * y * z + 2 * 6 * x * y * synthesised
    lines = ["| model | multiply-adds, 10^12 | at the matrix rate, s | bytes over bandwidth, s |", "|---|---|---|---|"]
    for name in ("fast", "base"):
        model = load_model(name)
        work = 2 * x * y * z * multiply_adds(model.ami.features) + synthesised * x * y * multiply_adds(model.rfn)
        lines.append(f"| `{name}` | {work / 1e12:.2f} | {work / bench.gmacs / 1e9:.1f} | {moved / bandwidth:.2f} |")
    return lines


def thin(path: Path | None, side: int | None, count: int | None, *, quick: bool) -> Volume:
    """The dense scan, cut and padded as wished, or the example stretched by nearest neighbours."""
    small = read_volume(path or EXAMPLE)
    if path is not None:
        return padded(small, side, count)
    side, slices = QUICK if quick else (SIDE, DENSE_SLICES)
    shape = (side, side, slices)
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(shape, small.shape, strict=True)))
    affine = small.affine_lps @ np.diag([*(m / side for m in small.shape[:2]), 1.0, 1.0])
    affine[:3, 2] *= THIN_MM / np.linalg.norm(affine[:3, 2])
    return Volume(small.voxels[index], affine, small.header)


def padded(scan: Volume, side: int | None, count: int | None) -> Volume:
    """The middle ``count`` slices, each within ``side`` x ``side`` voxels; what is added is as dark as the darkest."""
    x, y, z = scan.shape
    first = (z - (count or z)) // 2
    cut = scan.voxels[:, :, first : first + (count or z)]
    around = [(n // 2, n - n // 2) for n in (max(0, (side or 0) - n) for n in (x, y))]
    return replace(scan, voxels=np.pad(cut, [*around, (0, 0)], constant_values=cut.min()))


def head(bench: Bench) -> list[str]:
    """What was measured, and where."""
    told = " ".join(Path(word).name for word in sys.argv[1:] if not word.startswith("docs/"))  # no one's folders
    shape, count = " x ".join(map(str, bench.trial.sparse.shape)), bench.trial.grid.count
    machine = f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), torch {torch.__version__}"
    return [
        "# Performance\n",
        "Written by `benchmarks/performance.py`. Ratios within this page can be compared between machines,",
        "seconds cannot.\n",
        f"`python benchmarks/performance.py {told}`: {shape} to {count} slices, {bench.threads} threads, {machine}.",
    ]


def main() -> None:
    """Measure, print, and write the page if wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense", type=Path, nargs="?")
    parser.add_argument("--side", type=int)
    parser.add_argument("--slices", type=int)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    memory.keep_freed()
    compute.set_threads(options.threads)
    scan = thin(options.dense, options.side, options.slices, quick=options.quick)
    scan = replace(scan, header=replace(scan.header, modality="CT"))
    trial = Trial.of(scan, 2, Fraction(options.factor))
    bench = Bench(trial, options.factor, options.threads, options.peer, matrix_rate(compute.choose("cpu").precision))
    page = head(bench)
    sections = {
        "The networks and the processor": rates,
        "The least that this scan can take": floor,
        "Beside other programs": methods,
        "Memory of a long scan (`fast`)": lambda b: long_scan(b.trial.sparse, b.trial.grid.axis, b.factor, b.threads),
        "How time grows with slices, pixels and threads": lambda b: scaling(b.threads),
        "How time grows with the factor": lambda _: by_factor(),
        "What every scan takes, however small": lambda _: start_up(),
    }
    print("\n".join(page), flush=True)
    for title, measure in sections.items():
        section = [f"\n## {title}\n", *measure(bench)]
        print("\n".join(section), flush=True)
        page += section
    if options.write is not None:
        options.write.write_text("\n".join([*page, NOTES.read_text(encoding="utf-8")]), encoding="utf-8")


NOTES = Path(__file__).with_name("performance-notes.md")
"""What the page says that is not measured by this program."""

if __name__ == "__main__":
    main()
