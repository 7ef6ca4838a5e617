"""Muon: momentum whose steps are made orthogonal, for convolutions; Adam for all else.

Keller Jordan et al., *Muon: an optimizer for hidden layers in neural networks*, 2024; steps are scaled to the size of
Adam's as in Liu et al., *Muon is scalable for LLM training*, arXiv:2502.16982, so that one learning rate serves both.
torch.optim.Muon (torch 2.9) takes matrices only; here a convolution is the matrix (outputs, inputs * taps).
docs/training-log.md has what it gains over Adam.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
BETAS = (0.9, 0.999)
EPSILON = 1e-8
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration, which pulls all singular values near one."""
ITERATIONS = 5
ADAM_STEP = 0.2
"""Root mean square of Adam's steps in units of the learning rate, by experience."""


FEWEST_INPUTS = 8
"""Input channels from which on a convolution lies between features rather than at the network's entrance."""


class Muon(torch.optim.Optimizer):
    """Orthogonal momentum steps for ``matrices`` (any parameters of two or more axes), Adam for ``rest``."""

    def __init__(self, matrices: Iterable[nn.Parameter], rest: Iterable[nn.Parameter], learning_rate: float) -> None:
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(rest), "orthogonal": False}]
        super().__init__([g for g in groups if g["params"]], {"lr": learning_rate, "steps": 0, "times": 1.0})

    @classmethod
    def for_model(cls, model: nn.Module, learning_rate: float) -> "Muon":
        """The convolutions between a network's features are matrices; its first and last layers, biases, the filter
        generation network and whatever else it has are not.
        """
        return cls(*_divide(model), learning_rate)

    def add_model(self, model: nn.Module, times: float) -> None:
        """Also train another network, at ``times`` the learning rate."""
        for parameters, is_orthogonal in zip(_divide(model), (True, False), strict=True):
            self.add_param_group({"params": parameters, "orthogonal": is_orthogonal, "times": times})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state; earlier versions counted the steps of each parameter."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            counts = [int(self.state[p].pop("steps")) for p in group["params"] if "steps" in self.state[p]]
            group.setdefault("steps", max(counts, default=0))
            group.setdefault("times", 1.0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there."""
        assert closure is None
        for group in self.param_groups:
            pairs = [(p, p.grad) for p in group["params"] if p.grad is not None]
            group["steps"] += 1
            rate = group["lr"] * group["times"]
            if pairs:
                parameters, gradients = ([pair[i] for pair in pairs] for i in range(2))
                if group["orthogonal"]:
                    self._orthogonal(parameters, gradients, rate)
                else:
                    self._adam(parameters, gradients, rate, group["steps"])

    def _orthogonal(self, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)  # Nesterov
        alike: dict[torch.Size, list[int]] = {}
        for i, p in enumerate(parameters):
            alike.setdefault(p.shape, []).append(i)
        for shape, numbers in alike.items():
            steps = orthogonalise(torch.stack([ahead[i].flatten(1) for i in numbers]))  # (n, rows, columns)
            scale = ADAM_STEP * max(steps.shape[-2:]) ** 0.5
            moved = steps.view(-1, *shape).unbind()
            torch._foreach_add_([parameters[i] for i in numbers], moved, alpha=-rate * scale)

    def _adam(self, parameters: list[Tensor], gradients: list[Tensor], rate: float, count: int) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(mean=torch.zeros_like(p), square=torch.zeros_like(p))
        means, squares = ([self.state[p][name] for p in parameters] for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - BETAS[1])
        steps, sizes = (
            torch._foreach_div(moments, 1 - beta**count) for moments, beta in zip((means, squares), BETAS, strict=True)
        )
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, EPSILON)
        torch._foreach_div_(steps, sizes)
        torch._foreach_add_(parameters, steps, alpha=-rate)


def _divide(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The matrices of a network, and the rest of its parameters."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        hidden = name.startswith("features.") and parameter.ndim >= 4 and parameter.shape[1] >= FEWEST_INPUTS
        (matrices if hidden else rest).append(parameter)
    return matrices, rest


def orthogonalise(matrices: Tensor) -> Tensor:
    """(n, rows, columns) to matrices of the same singular vectors, whose singular values lie near one.

    In bfloat16 on a GPU, which is enough for the direction of a step; in the type of ``matrices`` elsewhere.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / (torch.linalg.matrix_norm(matrices)[:, None, None] + EPSILON).to(x.dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.add(a * x, (b * gram + c * gram @ gram) @ x)
    result: Tensor = x.mT if tall else x
    return result.to(matrices.dtype)
