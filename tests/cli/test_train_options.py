from dataclasses import replace

import pytest

from saint_cli.cli.train_options import BASELINES, TrainOptions, complete_options
from saint_cli.errors import UsageError
from saint_cli.nets.baselines import ARCHITECTURES
from saint_cli.options.fields import from_typed


def test_the_command_names_every_baseline() -> None:
    assert set(BASELINES) == set(ARCHITECTURES)


def test_saints_own_networks_are_trained_as_before() -> None:
    options = complete_options(TrainOptions())
    assert (options.stage, options.optimiser, options.batch, options.factors) == ("ami", "muon", 6, ())
    assert options.augment
    assert options.context


@pytest.mark.parametrize(
    ("arch", "factors", "batch"), [("mdsr", (4, 6), 6), ("rdn", (4,), 6), ("rdn-3d", (4,), 2), ("meta-sr", (4, 6), 6)]
)
def test_baselines_are_trained_as_the_paper_does(arch: str, factors: tuple[int, ...], batch: int) -> None:
    options = complete_options(TrainOptions(arch=arch))
    assert (options.stage, options.factors, options.batch) == (arch, factors, batch)
    assert (options.optimiser, options.augment) == ("adam", False)


@pytest.mark.parametrize("stage", ["ami", "rfn"])
def test_published_networks_are_trained_as_the_paper_does(stage: str) -> None:
    options = complete_options(TrainOptions(arch="published", stage=stage))
    assert (options.stage, options.factors, options.optimiser) == (stage, (4, 6), "adam")
    assert not options.augment
    assert not options.context


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arch": "rdn", "factors": (4, 6)}, "`arch=rdn` learns one factor; train it once for each of 4,6"),
        ({"arch": "rdn", "stage": "rfn"}, "--arch rdn has no --stage rfn; leave it out"),
        ({"arch": "mdsr", "init": "fast"}, "has no --init"),
        ({"arch": "published", "teacher": "fast"}, "has no --teacher"),
        ({"arch": "published", "slabs": True}, "--arch published has no --slab; leave it out"),
        ({"arch": "rdn-3d", "slabs": True}, "--arch rdn-3d has no --slab; leave it out"),
        ({"stage": "rfn", "slabs": True}, "--slab has no stage rfn"),
        ({"arch": "mdsr", "size": "fast"}, "has no --size; its full size is the paper's"),
        ({"arch": "rdn", "context": False}, "--arch rdn has no --no-rfn-context; leave it out"),
        ({"arch": "rdn", "dims": 3}, "--arch rdn has no --rfn-dims; leave it out"),
        ({"arch": "mdsr", "fewest": 2}, "--arch mdsr has no --rfn-fewest; leave it out"),
        ({"arch": "meta-sr", "modality": "mr"}, "--arch meta-sr has no --modality; leave it out"),
        ({"arch": "mdcsrn", "blocks": 5}, "--arch mdcsrn has no --blocks; leave it out"),
        ({"factors": (4,)}, "--arch saint has no --factors"),
        ({"frozen": 4}, "--freeze is of the joint stage"),
        ({"stage": "joint"}, "name them with --init"),
        ({"stage": "joint", "init": "fast", "arch": "rdn"}, "not --arch rdn"),
        ({"stage": "joint", "init": "fast", "size": "fast"}, "--stage joint has no --size, which is that of --init"),
        ({"stage": "joint", "init": "fast", "width": 0.5}, "--stage joint has no --width; leave it out"),
        ({"stage": "joint", "init": "fast", "teacher": "base"}, "--stage joint has no --teacher"),
        ({"stage": "joint", "init": "fast", "blocks": 5}, "--stage joint has no --blocks"),
        ({"stage": "joint", "init": "fast", "context": False}, "--stage joint has no --no-rfn-context"),
        ({"stage": "joint", "init": "fast", "dims": 3}, "--stage joint has no --rfn-dims"),
        ({"size": "medium", "width": 0.5}, "--arch saint has no --width with --size medium"),
    ],
)
def test_options_that_an_architecture_does_not_have_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        complete_options(replace(TrainOptions(), **changes))  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": "rfn", "teacher": "base"}, "--teacher is imitated by the ami stage alone"),
        ({"blocks": 5}, "--blocks are what the rfn stage learns from"),
        ({"arch": "published", "blocks": 5}, "--blocks are what the rfn stage learns from"),
    ],
)
def test_options_that_the_stage_ignores_are_refused_when_a_run_begins(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        complete_options(replace(TrainOptions(), **changes))  # type: ignore[arg-type]
    assert complete_options(replace(TrainOptions(), resume=True, **changes)).resume  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"arch": "edsr"}, "--arch must be one of saint, published, mdsr"),
        ({"width": 0.0}, "--width 0"),
        ({"width": 1.5}, "--width 1.5"),
        ({"width": float("nan")}, "--width nan"),
        ({"factors": "2.5"}, "whole factors, not for 2.5"),
        ({"factors": "1"}, "--factors 1 is not a list"),
        ({"optimiser": "sgd"}, "--optimiser must be one of muon, adam"),
    ],
)
def test_impossible_values_are_refused(typed: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_typed(TrainOptions, typed)
    assert said in str(caught.value)


def test_factors_are_sorted_and_named_once() -> None:
    assert from_typed(TrainOptions, {"factors": "6,4,6"}).factors == (4, 6)
