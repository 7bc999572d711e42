"""Causal grouped-query attention inside each document of a packed batch.

Plain matrix products over one document at a time: nothing is computed across documents, so packing
costs no attention, and on a CPU this is faster than the flash kernel's backward pass.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

Spans = list[tuple[int, int]]
_MASKS: dict[tuple[int, torch.dtype], Tensor] = {}


def document_spans(tokens: Tensor, bos: int) -> Spans:
    """Where the documents of [rows, length] begin and end when flattened; each begins with BOS."""
    rows, length = tokens.shape
    starts = set((tokens.reshape(-1) == bos).nonzero().flatten().tolist())
    starts |= {row * length for row in range(rows)}
    edges = [*sorted(starts), rows * length]
    return list(itertools.pairwise(edges))


def causal_mask(size: int, dtype: torch.dtype) -> Tensor:
    """-inf above the diagonal."""
    key = (512, dtype)
    if size > 512:
        return torch.full((size, size), float("-inf"), dtype=dtype).triu_(1)
    if key not in _MASKS:
        _MASKS[key] = torch.full((512, 512), float("-inf"), dtype=dtype).triu_(1)
    return _MASKS[key][:size, :size]


class _DocumentAttention(torch.autograd.Function):
    """q: [tokens, kv heads, group, head], k and v: [tokens, kv heads, head]."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, spans: Spans) -> Tensor:
        _, kv, group, head = q.shape
        out = torch.empty_like(q)
        probabilities = []
        for start, end in spans:
            n = end - start
            queries = q[start:end].permute(1, 2, 0, 3).reshape(kv, group * n, head) * head**-0.5
            scores = torch.bmm(queries, k[start:end].permute(1, 2, 0))
            scores.view(kv, group, n, n).add_(causal_mask(n, q.dtype))
            p = torch.softmax(scores, -1)
            probabilities.append(p)
            mixed = torch.bmm(p, v[start:end].transpose(0, 1))
            out[start:end] = mixed.view(kv, group, n, head).permute(2, 0, 1, 3)
        ctx.spans = spans
        ctx.save_for_backward(q, k, v, *probabilities)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *probabilities = ctx.saved_tensors
        _, kv, group, head = q.shape
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for (start, end), p in zip(ctx.spans, probabilities, strict=True):
            n = end - start
            grad = grads[0][start:end].permute(1, 2, 0, 3).reshape(kv, group * n, head)
            queries = q[start:end].permute(1, 2, 0, 3).reshape(kv, group * n, head) * head**-0.5
            ds = torch.bmm(grad, v[start:end].permute(1, 2, 0))
            ds = torch._softmax_backward_data(ds, p, -1, p.dtype)
            dqs = torch.bmm(ds, k[start:end].transpose(0, 1)) * head**-0.5
            dq[start:end] = dqs.view(kv, group, n, head).permute(2, 0, 1, 3)
            dk[start:end] = torch.bmm(ds.transpose(1, 2), queries).transpose(0, 1)
            dv[start:end] = torch.bmm(p.transpose(1, 2), grad).transpose(0, 1)
        return dq, dk, dv, None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attention(q: Tensor, k: Tensor, v: Tensor, spans: Spans) -> Tensor:
    """Attention of every token to those before it in its own document; result shaped like q."""
    out: Tensor = _DocumentAttention.apply(q, k, v, spans)  # type: ignore[no-untyped-call]
    return out
