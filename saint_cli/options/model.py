"""Which networks to run, and on what: ``--model``, ``--device``, ``--threads`` and the like."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli.models import shipped
from saint_cli.options.completion import complete_model, word_completer
from saint_cli.options.fields import InKey, Option, Panel, hide_on_page
from saint_cli.options.values import at_least, parse_batch_size, parse_memory
from saint_cli.runtime import device_options

if TYPE_CHECKING:
    from saint_cli.models import weights
    from saint_cli.runtime import device_selection

MachineOption = partial(Option, panel=Panel.MACHINE, page_text=hide_on_page, is_column=False, in_key=InKey.NEVER)
"""What changes only where and how fast a result is computed."""


@dataclass(frozen=True)
class ModelConfig:
    """Which networks to run and on what, in the words of the command line; ``max_memory`` in bytes.

    model: ``auto`` (``medium``; on MR ``mr-medium``, for slabs ``slab-medium``), the name of a shipped model, or a
    weights file.
    threads: of the CPU; None for one on each core that no other program uses.
    """

    model: str = Option(
        "-m --model",
        "auto (medium, mr-medium on MR, slab-medium with --slab), base, medium, fast, or a weights file.",
        Panel.METHOD, str, shipped.AUTO, "MODEL", complete_model, page_text=lambda model: Path(model).name,
        in_key=InKey.NEVER,  # the sha256 of the weights is
    ).as_field()  # fmt: skip
    device: str = MachineOption(
        "--device", "auto, cpu, gpu (every CUDA GPU, else Apple's), gpu:1; also cuda, cuda:0,cuda:1, mps.",
        type=str, default="auto", metavar="NAME",
        complete=word_completer("auto", "cpu", "gpu", "gpu:0", "cuda", "cuda:0", "mps"),
    ).as_field()  # fmt: skip
    precision: str = Option(
        "--precision", "auto (half where the hardware has it), fp32, bf16 or fp16.", Panel.MACHINE, str, "auto", "NAME",
        word_completer(*device_options.PRECISIONS),
        page_text=hide_on_page,  # which lists the precision that was used
    ).as_field()  # fmt: skip
    batch_size: int | None = MachineOption(
        "--batch-size", "Slices per batch; auto fits the device.", type=str, default="auto", metavar="N",
        parse=parse_batch_size,
    ).as_field()  # fmt: skip
    threads: int | None = MachineOption(
        "--threads", "CPU threads; default: free cores, shared by a batch's jobs.", type=int, default=None, metavar="N",
        parse=at_least("--threads", 1),
    ).as_field()  # fmt: skip
    max_memory: int | None = MachineOption(
        "--max-memory", "Memory limit, e.g. 4GB; larger volumes go to disk in TMPDIR.", type=str, default=None,
        metavar="SIZE", parse=parse_memory,
    ).as_field()  # fmt: skip

    def __post_init__(self) -> None:
        for name in ("device", "precision"):  # capitals count as small letters, as in ``match_word``
            object.__setattr__(self, name, getattr(self, name).lower())
        object.__setattr__(self, "model", shipped.parse_model(self.model))

    def check(self, *, slabs: bool | None = False) -> None:
        """Refuse what needs no torch to be refused; slabs: as in ``shipped.check_model``.

        Raises:
            UsageError: words that fit no machine.
            WeightsError: no such model or file.
        """
        device_options.check_device_options(self.device, self.precision, self.batch_size, self.threads)
        shipped.check_model(self.model, slabs=slabs)

    def load_for(self, modality: str, *, slabs: bool) -> "weights.SaintModel":
        """The networks of ``model`` for scans of a modality, or for slabs; loaded once per process.

        Raises:
            WeightsError: no such model, or a damaged one.
        """
        from saint_cli.models import weights

        return weights.load_model(shipped.resolve_name(self.model, modality, slabs=slabs))

    def start(
        self, loaded: "weights.SaintModel | None" = None, modality: str = shipped.CT_MODALITY, *, slabs: bool = False
    ) -> "tuple[weights.SaintModel, device_selection.Compute]":
        """The loaded networks (``load_for``, unless some are given) and the chosen device.

        Raises:
            UsageError: a device, precision or number of threads that cannot be had.
            WeightsError: no such model, or a damaged one.
        """
        from saint_cli.runtime import cores

        load = cores.CoreLoad()  # while torch is loaded
        from saint_cli.runtime import device_selection, memory

        memory.keep_freed_memory()
        compute = device_selection.select_compute(self.device, self.precision, self.batch_size)
        model = loaded or self.load_for(modality, slabs=slabs)
        threads = device_selection.select_threads(self.threads, load)
        return model, replace(compute, threads=threads.count, note=threads.note)
