"""What a user may choose about the method; known before torch is loaded."""

from dataclasses import dataclass

from saint_cli.progress import ProgressCallback as Report
from saint_cli.progress import silent

__all__ = ["Choices", "Report", "silent"]


@dataclass(frozen=True)
class Choices:
    """What a user may choose about the method itself.

    directions: 2 (sagittal and coronal) or 4 (both diagonals too).
    tta: average AMI over four flips of every slice (self-ensemble): a little better, four times the time.
    match_noise: give synthesised CT slices the noise of their neighbours, at the cost of some PSNR (``texture``).
    regenerate: send the acquired slices through the networks as well, which are otherwise copied bit for bit. The
    residual there is zero by definition (Eq. 5), so that this only costs time; it is there for comparisons.
    skip_air: leave the air around the patient of a CT to linear interpolation, which it needs no network for.
    """

    directions: int = 2
    regenerate: bool = False
    tta: bool = False
    match_noise: bool = False
    skip_air: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """The options that were chosen, for the provenance of a result; what changes its meaning most comes first."""
        chosen = {
            "match-noise": self.match_noise,
            "tta": self.tta,
            f"directions={self.directions}": self.directions != Choices.directions,
            "regenerate": self.regenerate,
            "no-skip-air": not self.skip_air,
        }
        return tuple(word for word, is_chosen in chosen.items() if is_chosen)
