"""The options of ``saint train``, and what follows from the architecture that they name."""

from dataclasses import dataclass, replace
from pathlib import Path

from saint_cli.cli.parsing import parse_factors, positive
from saint_cli.errors import UsageError
from saint_cli.options.fields import Option, Panel, count_option, word_option

TRAINING = Panel.TRAINING

BASELINES = ("mdsr", "rdn", "meta-sr", "mdsr-3d", "mdcsrn", "rdn-3d")
"""The names in ``nets.baselines.ARCHITECTURES``, which loads torch."""


def _parse_share(share: float) -> float:
    if not 0 < share <= 1:  # NaN is none either
        raise UsageError(f"--width {share:g} is no share; it must be above 0 and at most 1")
    return share


def _parse_whole_factors(text: str) -> tuple[int, ...]:
    factors = parse_factors(text, "--factors")
    for factor in factors:
        if not isinstance(factor, int):
            raise UsageError(f"--factors {text}: networks are trained for whole factors, not for {float(factor):g}")
    return tuple(sorted({int(factor) for factor in factors}))


@dataclass(frozen=True)
class TrainOptions:
    """What a run is made with, by the names of ``TrainingSettings`` and ``Schedule``; None: their own default."""

    stage: str = word_option(
        "--stage", "ami first, then rfn; joint: both together, from --init.", TRAINING, ("ami", "rfn", "joint")
    ).as_field()
    arch: str = word_option(
        "--arch",
        "saint; published: AMI and RFN as in the paper; or a network that the paper compares them with: mdsr, rdn, "
        "meta-sr, mdsr-3d, mdcsrn, rdn-3d.",
        TRAINING,
        ("saint", "published", *BASELINES),
    ).as_field()
    width: float = Option(
        "--width", "Share of the full width of all layers.", TRAINING, float, 1.0, "SHARE", parse=_parse_share
    ).as_field()
    factors: tuple[int, ...] | None = Option(
        "--factors", "What --arch other than saint learns: 4,6 (default; rdn, rdn-3d and mdcsrn learn one: 4).",
        TRAINING, str, None, "LIST", parse=_parse_whole_factors,
    ).as_field()  # fmt: skip
    modality: str = word_option(
        "--modality", "What weights are for, which decides how patches are varied: ct or mr.", TRAINING, ("ct", "mr")
    ).as_field()
    size: str = word_option("--size", "base, medium or fast.", TRAINING, ("base", "medium", "fast")).as_field()
    init: str | None = Option(
        "--init", "Weights to start from: base, medium, fast or a file.", TRAINING, str, None, "MODEL"
    ).as_field()
    teacher: str | None = Option(
        "--teacher", "Weights whose AMI to imitate as well.", TRAINING, str, None, "MODEL"
    ).as_field()
    steps: int | None = count_option(
        "--steps", "Optimiser steps of the whole schedule (default: 20,000).", TRAINING
    ).as_field()
    minutes: float | None = Option(
        "--minutes", "Train for so many minutes instead of --steps.", TRAINING, float, None, "MIN",
        parse=positive("--minutes"),
    ).as_field()  # fmt: skip
    clock: str | None = word_option(
        "--clock", "What --minutes counts: wall (default), or processor, which other programs do not shorten.",
        TRAINING, ("wall", "processor"), is_open=True,
    ).as_field()  # fmt: skip
    learning_rate: float | None = Option(
        "--lr", "Peak learning rate (default: 0.0008).", TRAINING, float, None, "RATE", parse=positive("--lr")
    ).as_field()
    optimiser: str | None = word_option(
        "--optimiser", "muon, or adam as in the paper (default: muon for saint, adam for any other --arch).",
        TRAINING, ("muon", "adam"), is_open=True,
    ).as_field()  # fmt: skip
    augment: bool = Option(
        "--augment/--no-augment", "Vary zoom, slice profile, kernel, contrast and noise.", TRAINING, default=True
    ).as_field()
    batch: int | None = count_option(
        "--batch", "Patches per step (default: 6; of 3-D networks and in the joint stage 2).", TRAINING
    ).as_field()
    slabs: bool = Option(
        "--slab", "Learn to make thin slices of slabs, which scanners' thick slices are.", TRAINING
    ).as_field()
    blocks: int = count_option(
        "--blocks", "Blocks of volumes that the rfn stage learns from.", TRAINING, default=120
    ).as_field()
    context: bool = Option(
        "--rfn-context/--no-rfn-context", "RFN sees the acquired neighbours too.", TRAINING, default=True
    ).as_field()
    dims: int = word_option(
        "--rfn-dims", "2, or 3 for the paper's 3-D variant.", TRAINING, ("2", "3"), convert=int
    ).as_field()
    fewest: int | None = count_option(
        "--rfn-fewest",
        "Use RFN only where at least this many slices are synthesised per gap (default: as in --init, else 1).",
        TRAINING,
    ).as_field()
    frozen: int = count_option(
        "--freeze",
        "Leave AMI's first so many residual dense blocks as they are (joint stage).",
        TRAINING,
        default=0,
        least=0,
    ).as_field()
    validate_every: int | None = count_option(
        "--validate-every", "Steps between validations (default: 1,000).", TRAINING
    ).as_field()
    seed: int = count_option("--seed", "Random seed.", TRAINING, least=0, default=0).as_field()
    bf16: bool | None = Option(
        "--bf16", "bfloat16 autocast, for processors that have it.", Panel.MACHINE, default=None
    ).as_field()
    cache: Path | None = Option(
        "--cache", "Memory-mapped volumes (default: OUT/volumes).", Panel.MACHINE, str, None, "PATH", parse=Path
    ).as_field()
    resume: bool = Option(
        "--resume", "Continue the run in --out, on its own schedule where none is given.", Panel.RUN
    ).as_field()


def complete_options(options: TrainOptions) -> TrainOptions:
    """The options with everything filled in that their architecture decides.

    Raises:
        UsageError: options that this architecture does not have.
    """
    from saint_cli.training import settings

    options = replace(options, batch=options.batch or settings.choose_batch(options.arch, options.stage))
    if options.stage == "joint":
        _require_joint(options)
    elif options.frozen:
        raise UsageError("--freeze is of the joint stage; leave it out, or add --stage joint")
    if options.slabs and options.stage == "rfn":
        raise UsageError(
            "--slab has no stage rfn: the RFN of --init fuses thin slices of slabs too. Leave out --stage rfn, or "
            "train both networks with --stage joint"
        )
    if not options.resume:  # one that was begun with them goes on
        _refuse_ignored(options)
    if options.arch == settings.OWN:
        _refuse(options, "--factors", is_given=options.factors is not None)
        is_folded = options.size == "medium" and options.width != 1
        _refuse(options, "--width", "with --size medium, whose layers are folded", is_given=is_folded)
        return replace(options, optimiser=options.optimiser or "muon", factors=())
    _refuse(options, "--slab", is_given=options.slabs)
    _refuse(options, "--teacher", is_given=options.teacher is not None)
    _refuse(options, "--size", "; its full size is the paper's, see --width", is_given=options.size != "base")
    if options.arch != settings.PUBLISHED:
        _refuse(options, "--stage rfn", is_given=options.stage != "ami")
        _refuse(options, "--init", is_given=options.init is not None)
        options = replace(options, stage=options.arch)
    factors = settings.choose_factors(options.arch, options.factors)
    optimiser = options.optimiser or "adam"
    return replace(options, factors=factors, optimiser=optimiser, augment=False, context=False)


def _refuse_ignored(options: TrainOptions) -> None:
    """Refuse options on which nothing of the run would depend."""
    if options.arch in BASELINES:
        _refuse(options, "--no-rfn-context", is_given=not options.context)
        _refuse(options, "--rfn-dims", is_given=options.dims != TrainOptions.dims)
        _refuse(options, "--rfn-fewest", is_given=options.fewest is not None)
        _refuse(options, "--blocks", is_given=options.blocks != TrainOptions.blocks)
        _refuse(options, "--modality", is_given=options.modality != TrainOptions.modality)
    elif options.stage == "rfn" and options.teacher is not None:
        raise UsageError("--teacher is imitated by the ami stage alone; leave it out with --stage rfn")
    elif options.stage == "ami" and options.blocks != TrainOptions.blocks:
        raise UsageError("--blocks are what the rfn stage learns from; leave them out with --stage ami")


def _require_joint(options: TrainOptions) -> None:
    """Refuse what the joint stage has not.

    Raises:
        UsageError: no weights to start from, or an option on which nothing would depend.
    """
    if options.arch != TrainOptions.arch:
        raise UsageError(f"--stage joint trains the networks of saint, not --arch {options.arch}")
    if options.init is None:
        raise UsageError("--stage joint goes on from networks that were trained before; name them with --init")
    without = {
        "--size, which is that of --init": options.size != TrainOptions.size,
        "--width": options.width != TrainOptions.width,
        "--teacher": options.teacher is not None,
        "--blocks": options.blocks != TrainOptions.blocks,
        "--no-rfn-context": not options.context,
        "--rfn-dims": options.dims != TrainOptions.dims,
    }
    if given := [flag for flag, is_given in without.items() if is_given]:
        raise UsageError(f"--stage joint has no {given[0]}; leave it out")


def _refuse(options: TrainOptions, flag: str, more: str = "", *, is_given: bool) -> None:
    if is_given:
        raise UsageError(f"--arch {options.arch} has no {flag}{' ' * more[:1].isalpha()}{more}; leave it out")
