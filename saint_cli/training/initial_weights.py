"""The weights that a training run starts from."""

from torch import nn

from saint_cli.errors import UsageError
from saint_cli.nets import AMI
from saint_cli.nets.folding import fold_network
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training.settings import TrainingSettings, require_kind


def copy_weights(start: nn.Module, model: nn.Module, settings: TrainingSettings) -> None:
    """Take over the weights that a run starts from; those of a plain AMI are folded for a folded one."""
    fold = model.features.size.fold if isinstance(model, AMI) else 1
    if isinstance(start, AMI):
        require_kind(start, str(settings.init), slabs=settings.slabs)
    try:
        if isinstance(start, AMI) and start.features.size.fold == 1 < fold:
            start = fold_network(start, fold)
        if isinstance(start, AMI) and isinstance(model, AMI) and model.slabs and not start.slabs:
            start = make_slab_network(start)
        model.load_state_dict(start.state_dict())
    except RuntimeError:
        what = f"{settings.stage.upper()} weights of another size than --size {settings.size}"
        raise UsageError(f"{settings.init} holds {what}; name their size") from None
