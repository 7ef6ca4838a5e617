"""What a user may choose about the method itself: ``--directions``, ``--tta``, ``--match-noise`` and the like."""

import operator
from dataclasses import dataclass

from saint_cli.options.fields import Option, Panel, list_option_values
from saint_cli.options.values import check_directions


@dataclass(frozen=True)
class MethodOptions:
    """What a user may choose about the method; what changes the meaning of a result most comes first.

    match_noise: give synthesised CT slices the noise of their neighbours, at the cost of some PSNR
    (``method.noise_matching``). tta: average AMI over four flips of every slice (self-ensemble).
    directions: 2 (sagittal and coronal) or 4 (both diagonals too).
    regenerate: send the acquired slices through the networks too, which are otherwise copied bit for bit. The residual
    there is zero by definition (Eq. 5), so that this only costs time; it is there for comparisons.
    skip_air: leave the air around the patient of a CT to linear interpolation, which needs no network.
    """

    match_noise: bool = Option(
        "--match-noise", "Make synthesised CT slices as noisy as acquired ones.", Panel.METHOD
    ).as_field()
    tta: bool = Option("--tta", "Average over flips: a little better, 4 times the time.", Panel.METHOD).as_field()
    directions: int = Option(
        "--directions", "2, or 4 with both diagonals.", Panel.METHOD, int, 2, "2|4", parse=check_directions
    ).as_field()
    regenerate: bool = Option("--regenerate", "Run acquired slices through the networks too.", Panel.METHOD).as_field()
    skip_air: bool = Option(
        "--no-skip-air", "Run the networks on the air around the patient too.", Panel.METHOD, parse=operator.not_,
        is_column=False,
    ).as_field()  # fmt: skip

    @property
    def uncalibrated_flags(self) -> tuple[str, ...]:
        """The flags of these options with which no model was calibrated, such as ``--directions 4``."""
        flags = {"--directions 4": self.directions != 2, "--tta": self.tta, "--match-noise": self.match_noise}
        return tuple(flag for flag, is_set in flags.items() if is_set)

    @property
    def is_calibrated(self) -> bool:
        """Whether models are calibrated for results that are made with these options."""
        return not self.uncalibrated_flags

    @property
    def non_default(self) -> tuple[str, ...]:
        """The options that are not at their defaults, for the provenance of a result, such as ``directions=4``."""
        changed = [one for one in list_option_values(self) if not one.is_default]
        return tuple(one.option.flag[2:] + ("" if one.option.type is bool else f"={one.value}") for one in changed)
