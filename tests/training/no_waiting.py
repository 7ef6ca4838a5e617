"""A guard against waiting for a GPU, on machines without one."""

from torch.utils._python_dispatch import TorchDispatchMode


class NoWaiting(TorchDispatchMode):
    """Refuses operations whose result the host needs, for which it would wait for a GPU."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert not any(word in func.name() for word in self.WAITING), func.name()
        return func(*args, **(kwargs or {}))
