"""Names of files by the BIDS schema: of raw anatomical images, and of what is derived from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from saint_cli.errors import UsageError

try:
    from bidsschematools.rules import regexify_filename_rules
    from bidsschematools.schema import load_schema  # caches what it loads
except ImportError:
    raise UsageError("saint bids needs bidsschematools, the names of BIDS: pip install 'saint-cli[bids]'") from None

BIDS_VERSION = "1.11.1"
"""The version of BIDS that results are described by."""

DESCRIPTION = "saint"
"""The label of ``desc-`` that all results have."""

DERIVED = ("space", "res", "den", "desc", "label", "seg")
"""Entities that only names of derivatives have (BIDS, "File naming conventions" of derivatives)."""

DATATYPE = "anat"
IMAGE_ENDINGS = (".nii.gz", ".nii")
MASK = "defacemask"
WEIGHTED_MAP = "UNIT1"
"""Listed with quantitative maps, but a T1-weighted image without unit."""


@cache
def _compile_rules() -> tuple[re.Pattern[str], ...]:
    """What paths of anatomical images match, below the root of a raw data set."""
    schema = load_schema()
    rules = regexify_filename_rules(schema.rules.files.raw[DATATYPE], schema, level=1)
    return tuple(re.compile(rule["regex"]) for rule in rules)


@cache
def list_suffixes() -> tuple[str, ...]:
    """The suffixes of anatomical images, in the order of the schema."""
    rules = load_schema().rules.files.raw[DATATYPE]
    return tuple(dict.fromkeys(suffix for rule in rules.values() for suffix in rule.suffixes if suffix != MASK))


@cache
def _list_maps() -> frozenset[str]:
    return frozenset(load_schema().rules.files.raw[DATATYPE].parametric.suffixes) - {WEIGHTED_MAP}


@dataclass(frozen=True)
class ImageName:
    """The name of an anatomical image: its entities, as in ``{"sub": "01", "run": "1"}``, in order, and its suffix."""

    entities: Mapping[str, str]
    suffix: str

    @classmethod
    def parse(cls, path: str) -> "ImageName | None":
        """The name in a path below the root of a raw data set; None if BIDS has no such image there."""
        for rule in _compile_rules():
            match = rule.match(path)
            if match is not None and match["extension"] in IMAGE_ENDINGS and path.endswith(match["extension"]):
                objects = load_schema().objects.entities
                values = match.groupdict()
                order = [name for name in load_schema().rules.entities if values.get(name) is not None]
                return cls({objects[name].name: values[name] for name in order}, match["suffix"])
        return None

    @property
    def is_map(self) -> bool:
        """Whether its voxels are measured quantities, such as T1 in seconds."""
        return self.suffix in _list_maps()

    def derive_path(self, resolution: str) -> str:
        """Path of the result below the folder of the participant, without ending: ``anat/sub-01_res-iso_..._T2w``."""
        names = load_schema().objects.entities
        order = [names[name].name for name in load_schema().rules.entities]
        entities = {**self.entities, "res": resolution, "desc": DESCRIPTION}
        parts = [f"{name}-{entities[name]}" for name in order if name in entities]
        folder = PurePosixPath(f"ses-{self.entities['ses']}" if "ses" in self.entities else "", DATATYPE)
        return str(folder / "_".join([*parts, self.suffix]))


def split_name(name: str) -> tuple[dict[str, str], str]:
    """Entities and suffix of any file name, whether BIDS knows it or not."""
    *parts, suffix = name.partition(".")[0].split("_")
    pairs = (part.partition("-") for part in parts)
    return {entity: label for entity, _, label in pairs}, suffix


def find_reason_to_skip(path: str, suffixes: frozenset[str]) -> str:
    """Why an image below a folder ``anat`` is not taken; "" if it is. ``suffixes``: those asked for, none for all."""
    entities, suffix = split_name(PurePosixPath(path).name)
    if derived := [name for name in DERIVED if name in entities]:
        return f"derived already ({derived[0]}-{entities[derived[0]]})"
    if suffix == MASK:
        return "a mask"
    name = ImageName.parse(path)
    if name is None:
        return f"not a name of an anatomical image in BIDS {BIDS_VERSION}"
    if name.entities.get("part", "mag") != "mag":
        return "a phase, real or imaginary part, whose values are no intensities"
    if name.is_map and suffix not in suffixes:
        return f"a quantitative map (--suffix {suffix} takes it)"
    return ""
