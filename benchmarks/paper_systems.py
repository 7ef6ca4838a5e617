"""The networks and the rows of the paper's Tables 1 and 2, and what this comparison adds to them."""

from dataclasses import dataclass
from enum import StrEnum


class Regime(StrEnum):
    """What is equal among the networks of a table: the time on one core, or the number of optimiser steps."""

    TIME = "time"
    STEPS = "steps"


@dataclass(frozen=True)
class Stage:
    """One call of ``saint train``: words without paths and length, folder in the run, share of the budget."""

    words: tuple[str, ...]
    folder: str
    share: float = 1.0


@dataclass(frozen=True)
class Network:
    """One training: the stages that follow each other in one run folder.

    starts_from: a network whose weights, after its first stage, this one takes over in place of training them.
    """

    name: str
    stages: tuple[Stage, ...]
    starts_from: str | None = None


@dataclass(frozen=True)
class System:
    """One row of the tables.

    networks: by factor, the one that is run; none for interpolators and shipped weights. stage: of the result, for AMI
    and RFN; others than "fused" need the first stage of training alone. directions: of AMI. shipped: the model of saint
    in place of a network. published: the row of the paper that it corresponds to. tables: 1, 2 or both.
    """

    name: str
    label: str
    tables: tuple[int, ...]
    networks: dict[int, str] | None = None
    stage: str | None = None
    directions: int = 2
    shipped: str | None = None
    published: str | None = None


RFN_SHARE = 0.25
"""Of the budget of a system of AMI and RFN: RFN is small, and learns on what AMI has learnt."""

FACTORS = (2, 4, 6)
"""2 is not trained on: it shows what a system does at a factor that it has not seen (paper Section 4.1)."""

AMI, RFN = "ami", "rfn"
"""Run folders of the two stages of SAINT."""


def _arch(name: str, *more: str) -> tuple[Stage, ...]:
    return (Stage(("--arch", name, *more), name),)


def _saint(*more: str) -> tuple[Stage, ...]:
    """AMI and RFN that share a budget; more: words for both."""
    return Stage(("--stage", AMI, *more), AMI, 1 - RFN_SHARE), Stage(("--stage", RFN, *more), RFN, RFN_SHARE)


PUBLISHED = ("--arch", "published")

NETWORKS = {
    network.name: network
    for network in (
        Network("mdsr", _arch("mdsr")),
        Network("rdn-x4", _arch("rdn", "--factors", "4")),
        Network("rdn-x6", _arch("rdn", "--factors", "6")),
        Network("meta-sr", _arch("meta-sr")),
        Network("mdsr-3d", _arch("mdsr-3d")),
        Network("mdcsrn-x4", _arch("mdcsrn", "--factors", "4")),
        Network("mdcsrn-x6", _arch("mdcsrn", "--factors", "6")),
        Network("rdn-3d-x4", _arch("rdn-3d", "--factors", "4")),
        Network("rdn-3d-x6", _arch("rdn-3d", "--factors", "6")),
        Network("ami-published", (Stage(("--stage", AMI, *PUBLISHED), AMI),)),
        Network("saint-published", _saint(*PUBLISHED)),
        Network("saint", _saint()),
        Network("saint-rfn3d", (Stage(("--stage", RFN, "--rfn-dims", "3"), RFN, RFN_SHARE),), starts_from="saint"),
    )
}
"""In the order in which they are trained."""


def _one(name: str) -> dict[int, str]:
    return dict.fromkeys(FACTORS, name)


def _by_factor(name: str) -> dict[int, str]:
    return {2: f"{name}-x4", 4: f"{name}-x4", 6: f"{name}-x6"}


INTERPOLATORS = ("bicubic-misaligned", "cubic", "linear", "bspline")

SYSTEMS = (
    System("bicubic-misaligned", "bicubic, misaligned (the paper's)", (1, 2), published="bicubic-misaligned"),
    System("cubic", "bicubic, aligned", (1, 2)),
    System("linear", "linear", (1, 2)),
    System("bspline", "B-spline", (1, 2)),
    System("mdsr", "2D MDSR", (1,), _one("mdsr"), published="mdsr"),
    System("rdn", "2D RDN", (1,), _by_factor("rdn"), published="rdn"),
    System("meta-sr", "Meta-SR", (1,), _one("meta-sr"), published="meta-sr"),
    System("mdsr-3d", "3D MDSR", (2,), _one("mdsr-3d"), published="mdsr-3d"),
    System("mdcsrn", "mDCSRN", (2,), _by_factor("mdcsrn"), published="mdcsrn"),
    System("rdn-3d", "3D RDN", (2,), _by_factor("rdn-3d"), published="rdn-3d"),
    System("ami-published", "AMI, as published", (1,), _one("ami-published"), "sagittal", published="ami"),
    System("saint-published", "AMI+RFN, as published", (1, 2), _one("saint-published"), "fused", published="saint"),
    System("ami", "AMI of saint", (1,), _one("saint"), "sagittal"),
    System("ami-mean", "AMI of saint, mean of both directions", (1, 2), _one("saint"), "mean"),
    System("ami-4", "AMI of saint, mean of four directions", (2,), _one("saint"), "mean", 4),
    System("saint", "AMI+RFN of saint", (1, 2), _one("saint"), "fused"),
    System("saint-4", "AMI+RFN of saint, four directions", (2,), _one("saint"), "fused", 4),
    System("saint-rfn3d", "AMI+3-D RFN of saint", (2,), _one("saint-rfn3d"), "fused"),
    System("shipped-fast", "`fast` as shipped", (1, 2), stage="fused", shipped="fast"),
    System("shipped-medium", "`medium` as shipped", (1, 2), stage="fused", shipped="medium"),
)
"""In the order of the rows; the shipped ones were trained longer on other data, and stand apart."""


def find_system(name: str) -> System:
    """The row of that name."""
    return next(system for system in SYSTEMS if system.name == name)


def list_systems(table: int) -> list[System]:
    """The rows of a table."""
    return [system for system in SYSTEMS if table in system.tables]
