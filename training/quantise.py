"""Ternary weights and int8 activations with straight-through gradients, as in BitNet b1.58."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def absmean_scale(weight: Tensor) -> Tensor:
    """Scale of one ternary tensor, rounded to bf16 because that is how it is stored."""
    return weight.detach().float().abs().mean().clamp(min=1e-5).to(torch.bfloat16).float()


def ternarise(weight: Tensor, scale: Tensor) -> Tensor:
    """The nearest of -1, 0 and 1, in units of the scale."""
    return (weight.detach() / scale).round().clamp(-1, 1)


def quantise_activations(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values, held in floats, and the step of every token."""
    largest = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
    return (x * (127.0 / largest)).round().clamp(-128, 127), largest / 127.0


class TernaryProduct(torch.autograd.Function):
    """y = Q8(x) Q1.58(w)ᵀ; the gradients pass both roundings as if they were not there.

    The operands are small integers, which bf16 holds exactly.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, ternary: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG004
        """`weight` is here only to receive the gradient."""
        values, step = quantise_activations(x)
        values = values.to(ternary.dtype)
        ctx.save_for_backward(values, step, ternary, scale)
        return (values @ ternary.t()).float() * step * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Gradients of x and of the master weight."""
        (grad,) = grads
        values, step, ternary, scale = ctx.saved_tensors
        grad_x = ((grad * scale).to(ternary.dtype) @ ternary).float()
        grad_weight = (grad * step).to(ternary.dtype).t() @ values
        return grad_x, grad_weight.float(), None, None


class BitLinear(nn.Module):
    """Ternary projections of one input, run as one product (q with k and v, gate with up)."""

    def __init__(self, inputs: int, outputs: list[int], std: float, compute: torch.dtype) -> None:
        super().__init__()
        self.outputs, self.compute = outputs, compute
        self.weight = nn.Parameter(torch.empty(sum(outputs), inputs).normal_(0.0, std))

    def parts(self) -> list[Tensor]:
        """The master weights of each projection: each has a scale of its own."""
        return list(torch.split(self.weight, self.outputs))

    def quantised(self) -> tuple[Tensor, Tensor]:
        """All ternary rows and the scale of each."""
        rows, scales = [], []
        for part in self.parts():
            scale = absmean_scale(part)
            rows.append(ternarise(part, scale).to(self.compute))
            scales.append(scale.expand(part.shape[0]))
        return torch.cat(rows), torch.cat(scales)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., sum(outputs)]."""
        ternary, scale = self.quantised()
        flat = x.reshape(-1, x.shape[-1])
        y: Tensor = TernaryProduct.apply(flat, self.weight, ternary, scale)  # type: ignore[no-untyped-call]
        return y.view(*x.shape[:-1], -1)
