"""How ``--help`` groups the options of a command, and what it leaves out."""

from typing import Any

from typer.core import TyperCommand

PANELS = {
    "Grid": ("factor", "spacing", "isotropic", "axis", "extrapolate"),
    "Input": ("series", "volume", "split_runs", "merge", "modality", "outside_data", "allow_labels", "include"),
    "Model and method": ("model", "directions", "tta", "match_noise", "regenerate", "no_skip_air"),
    "Comparison": ("against", "protocol", "degrade", "slices", "calibration"),
    "Training": (
        *("stage", "size", "init", "teacher", "steps", "learning_rate", "optimiser", "augment", "batch", "blocks"),
        *("rfn_context", "rfn_dims", "rfn_fewest", "validate_every", "seed"),
    ),
    "Machine": ("device", "precision", "batch_size", "threads", "max_memory", "workers", "scheduler", "bf16", "cache"),
    "Output": (
        *("target", "out", "state_dir", "to", "name_template", "uncertainty", "page", "preview", "figure", "json_file"),
        *("pages", "overwrite", "slice_thickness", "keep_slice_thickness"),
    ),
    "Run": ("dry_run", "retry_failed", "resume", "quiet", "as_json", "json", "help"),
}
"""Panels by the parameters of commands; other options stand under *Options*."""

PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


class SaintCommand(TyperCommand):
    """A command whose help groups its options, and shows no type where the name or the text says what to give."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, as the help wants them."""
        params = without_types(super().get_params(ctx))
        for param in params:
            if param.param_type_name == "option" and getattr(param, "rich_help_panel", None) is None:
                param.rich_help_panel = PANEL_OF.get(param.name)
        return params


def without_types(params: list[Any]) -> list[Any]:
    """The parameters; ``<bool>`` beside an option that takes no value, or ``<str>`` beside INPUT, would say nothing."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: None
    return params
