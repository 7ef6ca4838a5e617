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
        super().__init__([g for g in groups if g["params"]], {"lr": learning_rate})

    @classmethod
    def for_model(cls, model: nn.Module, learning_rate: float) -> "Muon":
        """The convolutions between a network's features are matrices; its first and last layers, biases, the filter
        generation network and whatever else it has are not.
        """
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            hidden = name.startswith("features.") and parameter.ndim >= 4 and parameter.shape[1] >= FEWEST_INPUTS
            (matrices if hidden else rest).append(parameter)
        return cls(matrices, rest, learning_rate)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there."""
        assert closure is None
        for group in self.param_groups:
            pairs = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._orthogonal(pairs, group["lr"])
            else:
                self._adam(pairs, group["lr"])

    def _orthogonal(self, pairs: list[tuple[Tensor, Tensor]], rate: float) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for p, gradient in pairs:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(gradient, 1 - MOMENTUM)
            ahead = gradient.lerp(state["momentum"], MOMENTUM)  # Nesterov
            alike.setdefault(p.shape, []).append((p, ahead.flatten(1)))
        for shape, group in alike.items():
            steps = orthogonalise(torch.stack([ahead for _, ahead in group]))  # (n, rows, columns)
            scale = ADAM_STEP * max(steps.shape[-2:]) ** 0.5
            for (p, _), step in zip(group, steps, strict=True):
                p.sub_(step.view(shape), alpha=rate * scale)

    def _adam(self, pairs: list[tuple[Tensor, Tensor]], rate: float) -> None:
        for p, gradient in pairs:
            state = self.state[p]
            if not state:
                state.update(mean=torch.zeros_like(p), square=torch.zeros_like(p), steps=torch.zeros(()))
            state["steps"] += 1
            state["mean"].lerp_(gradient, 1 - BETAS[0])
            state["square"].lerp_(gradient.square(), 1 - BETAS[1])
            mean, square = (
                state[k] / (1 - b ** state["steps"]) for k, b in zip(("mean", "square"), BETAS, strict=True)
            )
            p.sub_(mean / (square.sqrt() + EPSILON), alpha=rate)


def orthogonalise(matrices: Tensor) -> Tensor:
    """(n, rows, columns) to matrices of the same singular vectors, whose singular values lie near one."""
    x = matrices / (torch.linalg.matrix_norm(matrices)[:, None, None] + EPSILON)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.add(a * x, (b * gram + c * gram @ gram) @ x)
    result: Tensor = x.mT if tall else x
    return result
