"""What limits a result because of the scan's modality: it was judged by the values, or is not that of the weights."""

from saint_cli.errors.parameter_names import adapt_message
from saint_cli.method.intensity import find_modality
from saint_cli.models import shipped
from saint_cli.volume import Volume


def add_modality_warning(volume: Volume, model: str, *, slabs: bool) -> Volume:
    """The volume with a warning where its modality was judged by its values, or is not that of the weights.

    model: the name of the shipped model that is used, as ``shipped.resolve_name`` gives it; anything else for other
    weights, of which nobody knows what they were trained on. slabs: whether slices are slabs.
    """
    sentence = _describe_modality(volume, model, slabs=slabs)
    return volume.with_warning(sentence) if sentence else volume


def _describe_modality(volume: Volume, model: str, *, slabs: bool) -> str:
    modality, trained_on = find_modality(volume), shipped.find_trained_modality(model)
    is_other = trained_on not in (None, modality)
    if modality == shipped.CT_MODALITY:
        return f"the scan is CT; {model} was trained on {trained_on} only" if is_other else ""
    training = ""
    if is_other:
        training = f"; {model} was trained on {trained_on} only"
        installed = [] if slabs else shipped.list_models_for(modality)
        if installed:
            training += f", and its size is not installed for {modality}: use `model={installed[0]}`"
    if volume.header.modality is None:
        return adapt_message(f"read as {modality} by its values; `modality=ct` if it is HU{training}")
    if trained_on == modality:
        return ""
    return adapt_message(f"not CT: intensities are normalised by percentiles{training}")
