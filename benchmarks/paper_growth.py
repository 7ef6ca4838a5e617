"""How memory and time of 2-D and 3-D networks grow with the volume, at full width with random weights, on one thread.

    python benchmarks/paper_growth.py [--sides 32,48,64,96] [--slices 30] [--factor 4] -o GROWTH.json [--figure PNG]

Each point is a program of its own. 2-D networks run slice by slice; 3-D ones on the whole volume at once, as the paper
runs them on the central 256 x 256 pixels, and mDCSRN also on its patches. Points that GROWTH.json holds are kept.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from arguments import make_parser, split_integers
from peak_memory import measure_work
from tables import format_table

from saint_cli.io.whole_files import write_bytes, write_text
from saint_cli.method.baseline_networks import cut_blocks
from saint_cli.nets import AMI
from saint_cli.nets.baselines import ARCHITECTURES, Baseline
from saint_cli.nets.baselines.architectures import CUBES
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.report.plotting import literal_text
from saint_cli.runtime import device_selection
from saint_cli.training.settings import AMI_SIZES

WAYS = {
    "rdn": "2D RDN, slice by slice",
    "ami": "AMI, slice by slice",
    "mdsr-3d": "3D MDSR, whole volume",
    "mdcsrn": "mDCSRN, whole volume",
    "rdn-3d": "3D RDN, whole volume",
    "mdcsrn-patches": "mDCSRN, patches of 64³",
}

BOUNDED = ("mdcsrn-patches",)
"""Ways whose memory is that of a patch, however large the volume: no line is fitted to it."""

MEMORY_GB = 24.0
LARGE = (512, 512)
"""In-plane voxels of a scan, for which the fitted lines are read."""


@dataclass(frozen=True)
class Point:
    """One program: ``side`` x ``side`` x ``slices`` acquired voxels at ``factor``."""

    way: str
    side: int
    slices: int
    factor: int
    seconds: float
    memory_mb: float

    @property
    def voxels(self) -> int:
        """Acquired ones."""
        return self.side**2 * self.slices


@dataclass(frozen=True)
class Line:
    """Memory in MB and seconds as lines over acquired voxels, by least squares."""

    fixed_mb: float
    mb_per_voxel: float
    fixed_s: float
    s_per_voxel: float

    @classmethod
    def fit(cls, points: list[Point]) -> "Line":
        """Through points of at least two sizes."""
        voxels = [point.voxels for point in points]
        memory, time = (np.polyfit(voxels, [getattr(p, n) for p in points], 1) for n in ("memory_mb", "seconds"))
        return cls(float(memory[1]), float(memory[0]), float(time[1]), float(time[0]))

    def predict_mb(self, voxels: float) -> float:
        """Memory of a volume."""
        return self.fixed_mb + self.mb_per_voxel * voxels

    def find_voxels(self, memory_mb: float) -> float:
        """The volume that takes so much."""
        return (memory_mb - self.fixed_mb) / self.mb_per_voxel


def make_work(way: str, shape: tuple[int, int, int], factor: int) -> Callable[[], object]:
    """Interpolation of a volume of random voxels by a network of random weights."""
    volume = torch.rand(shape)
    if way == "ami":
        ami = AMI(*AMI_SIZES["base"]).eval()
        fdm = filter_distance_matrix(torch.arange(1, factor) / factor, torch.tensor(0.8), torch.tensor(4.0))[None]
        return lambda: run_slices(volume, factor, lambda planes: ami(planes, fdm))
    net = ARCHITECTURES[way.removesuffix("-patches")].build(1.0, (factor,)).eval()
    if way.endswith("-patches"):
        return lambda: run_patches(volume, factor, net)
    if net.dims == 2:
        return lambda: run_slices(volume, factor, lambda planes: net(planes, factor))
    return lambda: net(volume[None, None], factor)


def run_slices(volume: torch.Tensor, factor: int, network: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """(X, factor - 1, Y, slices) of every slice with its neighbours, one after the other."""
    x, y, slices = volume.shape
    result = torch.empty(x, factor - 1, y, slices)
    padded = torch.nn.functional.pad(volume, (0, 0, 0, 0, 1, 1))
    for i in range(x):
        result[i] = network(padded[None, i : i + 3])[0]
    return result


def run_patches(volume: torch.Tensor, factor: int, network: Baseline) -> torch.Tensor:
    """(X, factor - 1, Y, slices) from the patches of mDCSRN, stitched."""
    x, y, slices = volume.shape
    result = torch.empty(x, factor - 1, y, slices)
    for block in cut_blocks((x, y, slices), CUBES):
        part = network(volume[block.outer][None, None], factor)[0]  # (factor - 1, x, y, w)
        cut = [slice(i.start - o.start, i.stop - o.start) for i, o in zip(block.inner, block.outer, strict=True)]
        rows, columns, depth = block.inner
        result[rows, :, columns, depth] = part[:, *cut].movedim(0, 1)
    return result


def measure_point(way: str, side: int, slices: int, factor: int) -> Point:
    """In a program of its own."""
    words = [sys.executable, __file__, "--one", way, "--sides", side, "--slices", slices, "--factor", factor]
    return Point(**json.loads(subprocess.check_output([str(word) for word in words])))


@torch.inference_mode()
def measure_here(way: str, side: int, slices: int, factor: int) -> Point:
    """In this program."""
    device_selection.set_threads(1)
    torch.manual_seed(0)
    work = make_work(way, (side, side, slices), factor)
    make_work(way, (8, 8, 8), factor)()  # libraries that are loaded on first use
    seconds, memory_mb = measure_work(work)
    return Point(way, side, slices, factor, round(seconds, 3), round(memory_mb, 1))


def measure_all(sides: list[int], slices: int, factor: int, kept: Path) -> list[Point]:
    """Every way at every side; each point is kept in a file as soon as it is there."""
    points = read_points(kept)
    for way in WAYS:
        for side in sides:
            if any((p.way, p.side, p.slices, p.factor) == (way, side, slices, factor) for p in points):
                continue
            points.append(measure_point(way, side, slices, factor))
            write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n", kept)
            print(points[-1], flush=True)
    return [p for p in points if p.side in sides and (p.slices, p.factor) == (slices, factor)]


def read_points(kept: Path) -> list[Point]:
    """What a file holds."""
    return [Point(**one) for one in json.loads(kept.read_text())] if kept.is_file() else []


def format_growth(points: list[Point]) -> str:
    """Measured and extrapolated figures of every way, Markdown."""
    slices, sides = points[0].slices, sorted({point.side for point in points})
    largest = f"{sides[-1]}x{sides[-1]}x{slices}"
    header = ["", f"{largest}: s", "MB", "fitted: MB a million voxels", f"{LARGE[0]}x{LARGE[1]}x{slices}: GB", "s"]
    header += [f"side at {MEMORY_GB:g} GB"]
    rows = []
    for way, label in WAYS.items():
        mine = [point for point in points if point.way == way]
        if len({point.side for point in mine}) < 2:
            continue
        line, last, large = Line.fit(mine), max(mine, key=lambda p: p.side), LARGE[0] * LARGE[1] * slices
        side = (line.find_voxels(1e3 * MEMORY_GB) / slices) ** 0.5
        memory = [f"{1e6 * line.mb_per_voxel:,.0f}", f"{line.predict_mb(large) / 1e3:,.1f}", f"{side:,.0f}"]
        if way in BOUNDED:
            memory = ["none", f"{last.memory_mb / 1e3:,.1f}, of a patch", "none"]
        seconds = f"{line.fixed_s + line.s_per_voxel * large:,.0f}"
        rows.append([label, f"{last.seconds:.1f}", f"{last.memory_mb:,.0f}", *memory[:2], seconds, memory[2]])
    return format_table(header, rows)


def draw_growth(points: list[Point], path: Path) -> None:
    """Memory and time over acquired voxels, measured points and fitted lines up to a large scan."""
    with literal_text():
        _draw(points, path)


def _draw(points: list[Point], path: Path) -> None:
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    memory, time = figure.subplots(1, 2)
    voxels = np.geomspace(min(p.voxels for p in points), LARGE[0] * LARGE[1] * points[0].slices, 60)
    for way, label in WAYS.items():
        mine = [point for point in points if point.way == way]
        if len({point.side for point in mine}) < 2:
            continue
        line = Line.fit(mine)
        fits = (line.fixed_mb + line.mb_per_voxel * voxels) / 1e3, line.fixed_s + line.s_per_voxel * voxels
        if way in BOUNDED:
            fits = np.full(len(voxels), np.nan), fits[1]
        measured = [p.memory_mb / 1e3 for p in mine], [p.seconds for p in mine]
        for axes, fit, values in zip((memory, time), fits, measured, strict=True):
            (drawn,) = axes.plot([p.voxels for p in mine], values, "o", label=label)
            axes.plot(voxels, np.where(fit > 0, fit, np.nan), "--", color=drawn.get_color(), linewidth=1)
    memory.axhline(MEMORY_GB, color="0.4", linewidth=1)
    memory.set(ylabel="peak memory, GB", title="memory (grey: 24 GB)")
    time.set(ylabel="processor seconds, one thread", title="time")
    for axes in (memory, time):
        axes.set(xscale="log", yscale="log", xlabel="acquired voxels, millions")
        axes.xaxis.set_major_formatter(lambda voxels, _: f"{voxels / 1e6:g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.legend(*time.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    file = BytesIO()
    figure.savefig(file, dpi=110, format="png")
    write_bytes(file.getvalue(), path)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--sides", type=split_integers, default=[32, 48, 64, 96])
    parser.add_argument("--slices", type=int, default=30)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--out", type=Path, default=Path("growth.json"))
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure what is missing and print the table; or, in the program of one point, that point."""
    options = parse_options()
    if options.one is not None:
        (side,) = options.sides
        print(json.dumps(asdict(measure_here(options.one, side, options.slices, options.factor))))
        return
    points = measure_all(options.sides, options.slices, options.factor, options.out)
    print(format_growth(points))
    if options.figure is not None:
        draw_growth(points, options.figure)


if __name__ == "__main__":
    main()
