"""Filters that AMI and Meta-SR generate for one slice: how many, and how long that takes, on one thread.

Both at full width. The paper (Section 4.1): AMI generates H x W times fewer filter weights than Meta-SR. A table of
``paper_tables.py``.
"""

from dataclasses import dataclass

import torch
from peak_memory import measure_work
from tables import format_table
from timing import measure_least

from saint_cli.nets import AMI
from saint_cli.nets.baselines import ARCHITECTURES
from saint_cli.nets.baselines.meta_sr import MetaSR, project_pixels
from saint_cli.nets.filter_generation import filter_distance_matrix
from saint_cli.runtime import device_selection
from saint_cli.training.settings import AMI_SIZES

REPEATS = 3


@dataclass(frozen=True)
class FilterCost:
    """Of one slice: filter weights, seconds to generate them, memory for them, and seconds of the whole network."""

    name: str
    weights: int
    seconds: float
    memory_mb: float
    whole_seconds: float


@torch.inference_mode()
def measure_filters(height: int, width: int, factor: int) -> tuple[FilterCost, FilterCost]:
    """AMI's and Meta-SR's."""
    device_selection.set_threads(1)
    torch.manual_seed(0)
    ami, meta = AMI(*AMI_SIZES["base"]).eval(), ARCHITECTURES["meta-sr"].build(1.0, (factor,)).eval()
    assert isinstance(meta, MetaSR)
    offsets = torch.arange(1, factor) / factor
    fdm = filter_distance_matrix(offsets, torch.tensor(0.8), torch.tensor(4.0))[None]
    places = project_pixels(height, width, factor, torch.device("cpu"))
    planes = torch.rand(1, 3, height, width)
    costs = []
    for name, generate, run in (
        ("AMI", lambda: ami.filters(fdm), lambda: ami(planes, fdm)),
        ("Meta-SR", lambda: meta.filters(places), lambda: meta(planes, factor)),
    ):
        count = generate().numel()
        seconds, (_, memory_mb) = measure_least(generate, REPEATS), measure_work(generate)
        costs.append(FilterCost(name, count, seconds, memory_mb, measure_least(run, 1)))
    return costs[0], costs[1]


def format_filters(ami: FilterCost, meta: FilterCost, shape: tuple[int, int]) -> str:
    """Both beside each other, Markdown."""
    rows = [
        [c.name, f"{c.weights:,}", f"{1e3 * c.seconds:.1f}", f"{c.memory_mb:.1f}", f"{c.whole_seconds:.2f}"]
        for c in (ami, meta)
    ]
    rows.append(["Meta-SR / AMI", f"{meta.weights / ami.weights:,.0f} (H x W = {shape[0] * shape[1]:,})"])
    rows[-1] += [f"{meta.seconds / ami.seconds:,.0f}", "", f"{meta.whole_seconds / ami.whole_seconds:.2f}"]
    header = ["", "filter weights of a slice", "generated in ms", "MB", "whole network, s"]
    return format_table(header, rows)
