"""Muon for the ternary matrices: momentum whose every update is made orthogonal.

Measured with four layers against AdamW after 2.2 M tokens of plain stories: validation loss 3.47
instead of 3.70.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from training.quantise import BitLinear

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix, roughly, by a Newton-Schulz iteration in bf16."""
    x = matrix.to(torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.t()
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    out: Tensor = (x.t() if tall else x).float()
    return out


class Muon:
    """One momentum per fused projection, one orthogonal update per single projection."""

    def __init__(self, modules: list[BitLinear]) -> None:
        self._modules = modules
        self.momentum = [torch.zeros_like(m.weight) for m in modules]

    @torch.no_grad()
    def step(self, rate: float, decay: float) -> None:
        """Move the weights and drop their gradients."""
        for module, momentum in zip(self._modules, self.momentum, strict=True):
            grad = module.weight.grad
            assert grad is not None
            momentum.lerp_(grad, 1 - MOMENTUM)
            ahead = grad.lerp(momentum, MOMENTUM)
            for weight, update in zip(
                module.parts(), torch.split(ahead, module.outputs), strict=True
            ):
                stretch = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - rate * decay)
                weight.add_(orthogonalise(update), alpha=-rate * stretch)
            module.weight.grad = None
