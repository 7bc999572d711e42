"""The decoder of bitnet-b1.58-2B-4T, small: ternary, squared ReLU, sub-norms, tied embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - everybody calls it so
from torch import Tensor, nn

from training.attention import Spans, attention
from training.quantise import BitLinear

IGNORED = -100  # a target that is not learned


@dataclass(frozen=True, slots=True)
class Config:
    """Shape of the model; the names are those of config.json."""

    vocab_size: int = 4096
    hidden_size: int = 384
    intermediate_size: int = 1024
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 500000.0

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_attention_heads


class RMSNorm(nn.Module):
    """Root-mean-square norm in full precision."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        """Scale every token to unit mean square."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rope_tables(config: Config) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, both halves of the head alike."""
    frequencies = config.rope_theta ** (
        -torch.arange(0, config.head_dim, 2).float() / config.head_dim
    )
    angles = torch.outer(torch.arange(config.max_position_embeddings).float(), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn [tokens, heads, head] by the angles of [tokens, head]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat((-second, first), dim=-1) * sin[:, None]


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: Config, compute: torch.dtype) -> None:
        super().__init__()
        d, f, eps = config.hidden_size, config.intermediate_size, config.rms_norm_eps
        kv = config.num_key_value_heads * config.head_dim
        self.config, self.compute = config, compute
        std, residual = d**-0.5, 1.0 / math.sqrt(2 * config.num_hidden_layers)
        self.input_layernorm = RMSNorm(d, eps)
        self.qkv = BitLinear(d, [d, kv, kv], std, compute)
        self.attn_sub_norm = RMSNorm(d, eps)
        self.o_proj = BitLinear(d, [d], std * residual, compute)
        self.post_attention_layernorm = RMSNorm(d, eps)
        self.gate_up = BitLinear(d, [f, f], std, compute)
        self.ffn_sub_norm = RMSNorm(f, eps)
        self.down_proj = BitLinear(f, [d], f**-0.5 * residual, compute)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, spans: Spans) -> Tensor:
        """[tokens, hidden] to the same; before and after attention the shapes are fixed."""
        q, k, v = self.project(x, cos, sin)
        return self.finish(x, attention(q, k, v, spans))

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values with their positions."""
        c = self.config
        heads, kv, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        q, k, v = self.qkv(self.input_layernorm(x)).split(
            (heads * size, kv * size, kv * size), dim=-1
        )
        q = (
            rotate(q.view(-1, heads, size), cos, sin)
            .to(self.compute)
            .view(-1, kv, heads // kv, size)
        )
        k = rotate(k.view(-1, kv, size), cos, sin).to(self.compute)
        return q, k, v.view(-1, kv, size).to(self.compute)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Both residual additions."""
        x = x + self.o_proj(self.attn_sub_norm(mixed.reshape(x.shape).float()))
        gate, up = self.gate_up(self.post_attention_layernorm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.down_proj(self.ffn_sub_norm(F.relu(gate).square() * up))
        return out


class BitNet(nn.Module):
    """The whole model over a batch of packed documents, flattened to [tokens]."""

    def __init__(self, config: Config, compute: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.config, self.compute = config, compute
        embedding = torch.empty(config.vocab_size, config.hidden_size).normal_(
            0.0, config.hidden_size**-0.5
        )
        self.embed = nn.Parameter(embedding)
        self.layers = nn.ModuleList(Block(config, compute) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        cos, sin = rope_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids: Tensor, spans: Spans, embedding: Tensor) -> Tensor:
        """Normalised states of [tokens]; positions count from the start of each document."""
        positions = torch.cat([torch.arange(end - start) for start, end in spans])
        cos, sin = self.get_buffer("cos")[positions], self.get_buffer("sin")[positions]
        x = F.embedding(ids, embedding).float()
        for layer in self.layers:
            x = layer(x, cos, sin, spans)
        out: Tensor = self.norm(x)
        return out

    def head(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Logits by the tied embedding."""
        return F.linear(hidden.to(self.compute), embedding.to(self.compute)).float()

    def logits(self, ids: Tensor) -> Tensor:
        """Logits of one document [tokens]."""
        embedding = self.embed.to(torch.bfloat16)  # as it is stored
        return self.head(self.hidden(ids, [(0, len(ids))], embedding), embedding)

    def forward(self, ids: Tensor, targets: Tensor, spans: Spans) -> Tensor:
        """Mean loss over the learned targets."""
        embedding = self.embed.to(torch.bfloat16)
        return self.loss(self.hidden(ids, spans, embedding), embedding, targets)

    def loss(self, hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy, apart from `forward` so that it can be compiled alone."""
        return F.cross_entropy(self.head(hidden, embedding), targets, ignore_index=IGNORED)
