"""Options that several commands share, each declared once; defaults stand in the commands, for they differ.

typer reads them from the annotations of a command: ``axis: options.Axis = None``.
"""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from saint_cli.cli import complete


def local(text: str) -> Path:
    """A path on this machine, where nothing can be put at a URL."""
    from saint_cli.errors import UsageError
    from saint_cli.io import urls

    if urls.is_url(text):
        raise UsageError(f"{urls.shown(text)}: name a file on this machine; only the result itself goes to a URL")
    return Path(text)


LOCAL: dict[str, Any] = {"parser": local, "metavar": "PATH"}

Source = Annotated[
    str, Argument(metavar="INPUT", help="NIfTI, NRRD or MHA file, or DICOM: folder, zip, DICOMDIR; or a URL.")
]
Target = Annotated[
    str, Option("-o", "--output", metavar="PATH", help="File (.nii, .nii.gz, .nrrd, .mha), its URL, or DICOM folder.")
]

# which slices to make
Factor = Annotated[int | None, Option("-f", "--factor", metavar="N", help="How many times as many slices: 2 to 16.")]
Spacing = Annotated[float | None, Option("--spacing", metavar="MM", help="Distance between slices to produce, in mm.")]
Isotropic = Annotated[bool, Option("--isotropic", help="Slice spacing = pixel spacing (default).")]
Axis = Annotated[
    str | None,
    Option("--axis", metavar="AXIS", autocompletion=complete.words("x", "y", "z"), help="Through-plane axis: x, y, z."),
]
Extrapolate = Annotated[bool, Option("--extrapolate", help="Repeat the last slice to get exactly N * factor slices.")]

# what to read
Series = Annotated[str | None, Option("--series", metavar="SERIES", help="Which DICOM series: number or UID.")]
ChosenVolume = Annotated[int | None, Option("--volume", metavar="N", help="Which volume of a 4-D scan, from 1.")]
SplitRuns = Annotated[bool, Option("--split-runs", help="If slices are missing, use the longest evenly spaced part.")]
Merge = Annotated[bool, Option("--merge", help="One scan of even DICOM slices whose UIDs or headers differ.")]
OutsideData = Annotated[
    bool, Option("--outside-data", help="Let a .mhd or .nhdr header read voxels from outside its folder.")
]
AllowLabels = Annotated[bool, Option("--allow-labels", help="Interpolate a label map as if it were an image.")]
Modality = Annotated[
    str,
    Option(
        "--modality",
        metavar="NAME",
        autocompletion=complete.words("auto", "ct", "mr"),
        help="How to read intensities: auto, ct, mr.",
    ),
]

# how to compute
Model = Annotated[
    str,
    Option(
        "-m",
        "--model",
        metavar="MODEL",
        autocompletion=complete.model,
        help="auto (base on a GPU, fast on a CPU), base, fast, or a weights file.",
    ),
]
Directions = Annotated[int, Option("--directions", metavar="2|4", help="2, or 4 with both diagonals.")]
Tta = Annotated[bool, Option("--tta", help="Average over flips: a little better, 4 times the time.")]
MatchNoise = Annotated[bool, Option("--match-noise", help="Make synthesised CT slices as noisy as acquired ones.")]
Regenerate = Annotated[bool, Option("--regenerate", help="Run acquired slices through the networks too.")]
Device = Annotated[
    str,
    Option(
        "--device",
        metavar="NAME",
        autocompletion=complete.words("auto", "cpu", "cuda", "cuda:0", "mps"),
        help="auto, cpu, cuda (all GPUs), cuda:0,cuda:1 or mps.",
    ),
]
Precision = Annotated[
    str,
    Option(
        "--precision",
        metavar="NAME",
        autocompletion=complete.words("auto", "fp32", "bf16", "fp16"),
        help="auto (half where the hardware has it), fp32, bf16 or fp16.",
    ),
]
BatchSize = Annotated[str, Option("--batch-size", metavar="N", help="Slices at once; auto fits the device.")]
MaxMemory = Annotated[
    str | None,
    Option("--max-memory", metavar="SIZE", help="Memory limit, e.g. 4GB; larger volumes go to disk in TMPDIR."),
]
NoSkipAir = Annotated[bool, Option("--no-skip-air", help="Run the networks on the air around the patient too.")]
Threads = Annotated[int | None, Option("--threads", metavar="N", help="CPU threads; default: cores that are free.")]

# what to write and print
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an existing output.")]
Uncertainty = Annotated[
    Path | None, Option("--uncertainty", **LOCAL, help="Also write every voxel's expected error, HU, to this file.")
]
Page = Annotated[
    Path | None, Option("--report", **LOCAL, help="Also write a quality-control page (.html) of the scan.")
]
Preview = Annotated[
    Path | None, Option("--preview", **LOCAL, help="Also write a picture (.png, .jpg), before beside after.")
]
SliceThickness = Annotated[
    str | None,
    Option(
        "--slice-thickness",
        metavar="NAME",
        autocompletion=complete.words("acquired", "spacing"),
        help="SliceThickness of DICOM output: acquired (default), or spacing.",
    ),
]
KeepSliceThickness = Annotated[bool | None, Option("--keep-slice-thickness", hidden=True)]  # before it was the default
Quiet = Annotated[bool, Option("-q", "--quiet", help="Print nothing but errors.")]
SummaryAsJson = Annotated[bool, Option("--json", help="Print the summary as JSON.")]
