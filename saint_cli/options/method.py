"""What a user may choose about the method itself: ``--noise``, ``--tta``, ``--directions`` and the like."""

import operator
from dataclasses import dataclass, replace
from enum import StrEnum

from saint_cli.errors import UsageError
from saint_cli.options.fields import InKey, Option, Panel, hide_on_page, list_option_values, word_option
from saint_cli.options.values import check_directions


class NoiseHandling(StrEnum):
    """What is done about synthesised slices, which networks leave less noisy than acquired ones.

    KEEP: nothing. MATCH: they get the noise that they lack (``method.noise_matching``). SMOOTH: acquired slices become
    as quiet (``method.noise_smoothing``), and are then not bit-exact.
    """

    KEEP = "keep"
    MATCH = "match"
    SMOOTH = "smooth"


NOISE_WORDS = tuple(str(handling) for handling in NoiseHandling)

MATCH_NOISE_WARNING = "`match_noise=True` is now `noise=match`; the old name goes with the next release"


@dataclass(frozen=True)
class MethodOptions:
    """What a user may choose about the method; what changes the meaning of a result most comes first.

    noise: see ``NoiseHandling``; CT only. match_noise: the old name of ``noise=match``, for one more release.
    tta: average AMI over four flips of every slice (self-ensemble).
    directions: 2 (sagittal and coronal) or 4 (both diagonals too).
    regenerate: send the acquired slices through the networks too, which are otherwise copied bit for bit. The residual
    there is zero by definition (Eq. 5), so that this only costs time; it is there for comparisons.
    skip_air: leave the air around the patient of a CT to linear interpolation, which needs no network.
    """

    noise: NoiseHandling = word_option(  # noqa: RUF009  (it declares a field)
        "--noise", "Noise of CT: keep; match (new slices as noisy as acquired), smooth (acquired as quiet as new).",
        Panel.METHOD, NOISE_WORDS, convert=NoiseHandling, in_key=InKey.IF_SET,
    ).as_field()  # fmt: skip
    match_noise: bool = Option(
        "--match-noise", "The old name of --noise match.", Panel.METHOD, page_text=hide_on_page,
        in_key=InKey.AS_DEFAULT,
    ).as_field()  # fmt: skip
    tta: bool = Option("--tta", "Average over flips: a little better, 4 times the time.", Panel.METHOD).as_field()
    directions: int = Option(
        "--directions", "Planes of AMI: 2 (sagittal, coronal), or 4 with both diagonals.", Panel.METHOD, int, 2, "2|4",
        parse=check_directions,
    ).as_field()  # fmt: skip
    regenerate: bool = Option("--regenerate", "Run acquired slices through the networks too.", Panel.METHOD).as_field()
    skip_air: bool = Option(
        "--no-skip-air", "Run the networks on the air around the patient too.", Panel.METHOD, parse=operator.not_,
        is_column=False,
    ).as_field()  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", NoiseHandling(self.noise))
        if self.match_noise:
            if self.noise is NoiseHandling.SMOOTH:
                raise UsageError("`match_noise=True` and `noise=smooth` exclude each other")
            object.__setattr__(self, "noise", NoiseHandling.MATCH)

    @property
    def with_noise_kept(self) -> "MethodOptions":
        """The same with ``noise=keep``: the options that describe a result whose noise stayed as it was."""
        return replace(self, noise=NoiseHandling.KEEP, match_noise=False)

    @property
    def keeps_acquired(self) -> bool:
        """Whether acquired slices are copied bit for bit."""
        return not self.regenerate and self.noise is not NoiseHandling.SMOOTH

    @property
    def uncalibrated_flags(self) -> tuple[str, ...]:
        """The flags of these options with which no model was calibrated, such as ``--directions 4``."""
        changes_noise = self.noise is not NoiseHandling.KEEP
        flags = {"--directions 4": self.directions != 2, "--tta": self.tta, f"--noise {self.noise}": changes_noise}
        return tuple(flag for flag, is_set in flags.items() if is_set)

    @property
    def is_calibrated(self) -> bool:
        """Whether models are calibrated for results that are made with these options."""
        return not self.uncalibrated_flags

    @property
    def non_default(self) -> tuple[str, ...]:
        """The options that are not at their defaults, for the provenance of a result, such as ``directions=4``."""
        changed = [one for one in list_option_values(self) if not one.is_default and one.name != "match_noise"]
        return tuple(one.option.flag[2:] + ("" if one.option.type is bool else f"={one.value}") for one in changed)
