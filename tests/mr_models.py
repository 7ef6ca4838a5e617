"""Tiny models in place of the shipped ones for CT, all but ``base`` for MR too."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from nets import tiny

from saint_cli.models import shipped
from saint_cli.models.calibration import Calibration
from saint_cli.models.weights import save_model, write_calibration

CT_NAMES = ("base", shipped.DEFAULT_MODEL, "fast")
MR_NAMES = tuple(f"mr-{name}" for name in CT_NAMES if name != "base")
MR_CALIBRATION = Calibration((0.0, 5.0), (0.5, 3.0), unit="%")


def ship_models(folder: Path, monkeypatch: pytest.MonkeyPatch, of_mr: Sequence[str] = MR_NAMES) -> dict[str, str]:
    """Make ``folder`` the one of the shipped weights; the sha256 of each by name."""
    entries, hashes = {}, {}
    for seed, name in enumerate((*CT_NAMES, *of_mr)):
        model, file = tiny.model(seed), folder / f"saint-{name}.safetensors"
        calibration = MR_CALIBRATION if name.startswith("mr-") else Calibration((0.0, 9.0), (1.0, 4.0))
        save_model(model.ami, model.rfn, file)
        hashes[name] = write_calibration(file, calibration)
        parameters = dict(zip(("ami", "rfn"), model.parameters, strict=True))
        entries[name] = {"file": file.name, "sha256": hashes[name], "parameters": parameters, "trained_on": "nothing"}
        entries[name] |= {"validation": {"x4": {"over cubic dB": 1.5}}}
        if name in of_mr:
            entries[name]["modality"] = "MR"
    (folder / shipped.MANIFEST).write_text(json.dumps({"models": entries}))
    monkeypatch.setattr(shipped, "PACKAGED_FOLDER", folder)
    return hashes
