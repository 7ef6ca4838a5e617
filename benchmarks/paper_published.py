"""The figures of Tables 1 and 2 of the paper (Peng et al., CVPR 2020), as printed there."""

from dataclasses import dataclass
from statistics import mean

TITLES = {
    "bicubic-misaligned": "Bicubic",
    "mdsr": "2D MDSR",
    "rdn": "2D RDN",
    "meta-sr": "Meta-SR",
    "mdsr-3d": "3D MDSR",
    "mdcsrn": "mDCSRN",
    "rdn-3d": "3D RDN",
    "ami": "AMI",
    "saint": "AMI+RFN (SAINT)",
}
"""What the paper calls each row."""

DATASETS = ("Liver", "Colon", "Hepatic Vessels", "Kidney")


@dataclass(frozen=True)
class PublishedRow:
    """One row: parameters in millions (None: an interpolator), PSNR in dB and SSIM on each of ``DATASETS``."""

    parameters_m: float | None
    psnr_db: tuple[float, ...]
    ssim: tuple[float, ...]

    @property
    def mean_db(self) -> float:
        """PSNR, mean of the datasets."""
        return mean(self.psnr_db)

    @property
    def texts(self) -> list[str]:
        """PSNR/SSIM of each dataset, as the paper writes them."""
        return [f"{p:.2f}/{s:.4f}" for p, s in zip(self.psnr_db, self.ssim, strict=True)]


def _row(parameters_m: float | None, text: str) -> PublishedRow:
    pairs = [tuple(map(float, pair.split("/"))) for pair in text.split()]
    return PublishedRow(parameters_m, tuple(p for p, _ in pairs), tuple(s for _, s in pairs))


ABLATION: dict[int, dict[str, PublishedRow]] = {
    2: {
        "mdsr": _row(2.92, "37.17/0.9728 36.74/0.9741 36.80/0.9767 38.81/0.9752"),
        "rdn": _row(2.77, "38.50/0.9800 38.11/0.9805 38.36/0.9837 40.09/0.9800"),
        "meta-sr": _row(2.81, "38.03/0.9770 37.69/0.9785 38.03/0.9818 39.69/0.9776"),
        "ami": _row(2.81, "38.64/0.9808 38.34/0.9815 38.48/0.9840 40.33/0.9807"),
        "saint": _row(2.93, "39.16/0.9826 38.91/0.9835 39.13/0.9858 40.82/0.9821"),
    },
    4: {
        "mdsr": _row(2.92, "33.43/0.9471 32.76/0.9436 32.91/0.9490 34.57/0.9508"),
        "rdn": _row(2.77, "34.22/0.9546 33.39/0.9511 33.74/0.9571 35.17/0.9550"),
        "meta-sr": _row(2.81, "34.20/0.9541 33.51/0.9516 33.74/0.9570 35.08/0.9544"),
        "ami": _row(2.81, "34.40/0.9561 33.65/0.9529 33.93/0.9586 35.28/0.9560"),
        "saint": _row(2.93, "34.91/0.9603 34.19/0.9579 34.48/0.9630 35.79/0.9597"),
    },
    6: {
        "mdsr": _row(2.92, "31.15/0.9237 30.16/0.9133 30.22/0.9216 32.30/0.9297"),
        "rdn": _row(2.77, "31.78/0.9315 30.82/0.9232 31.13/0.9319 32.47/0.9314"),
        "meta-sr": _row(2.81, "31.88/0.9322 30.86/0.9234 31.09/0.9318 32.60/0.9329"),
        "ami": _row(2.81, "32.05/0.9333 30.99/0.9249 31.22/0.9333 32.72/0.9343"),
        "saint": _row(2.93, "32.50/0.9392 31.50/0.9320 31.89/0.9401 33.22/0.9393"),
    },
}
"""Table 1 by factor: all but the last row are scored on I_sag."""

QUANTITATIVE: dict[int, dict[str, PublishedRow]] = {
    4: {
        "bicubic-misaligned": _row(None, "28.36/0.8733 28.01/0.8622 27.83/0.8720 30.33/0.8946"),
        "mdsr-3d": _row(2.88, "33.70/0.9487 32.79/0.9442 32.80/0.9480 35.36/0.9563"),
        "mdcsrn": _row(2.98, "33.70/0.9494 32.83/0.9455 32.76/0.9487 35.44/0.9572"),
        "rdn-3d": _row(2.88, "34.12/0.9535 33.21/0.9497 33.26/0.9538 35.60/0.9582"),
        "saint": _row(2.93, "34.91/0.9603 34.19/0.9579 34.48/0.9630 35.79/0.9597"),
    },
    6: {
        "bicubic-misaligned": _row(None, "26.57/0.8405 26.28/0.8265 26.00/0.8382 28.59/0.8635"),
        "mdsr-3d": _row(2.88, "31.18/0.9237 29.99/0.9122 29.95/0.9192 32.82/0.9348"),
        "mdcsrn": _row(2.98, "30.90/0.9210 29.93/0.9113 29.74/0.9170 32.64/0.9330"),
        "rdn-3d": _row(2.88, "31.52/0.9286 30.54/0.9204 30.49/0.9263 32.71/0.9339"),
        "saint": _row(2.93, "32.49/0.9395 31.48/0.9321 31.87/0.9404 33.22/0.9393"),
    },
}
"""Table 2 by factor."""
