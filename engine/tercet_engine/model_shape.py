"""What a model computes, whichever file told it: sizes, and the choices that families differ by.

One forward pass serves every family; what it does is written here. A family's file turns a config
into this description, and adding a family adds nothing else.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tercet_engine.rope import Rope

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
"""The ternary matrices of a layer."""

MAX_SIZES: Final = {
    "num_layers": 1 << 10,
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 19,
    "num_heads": 1 << 10,
    "num_kv_heads": 1 << 10,
    "head_dim": 1 << 10,
    "vocab_size": 1 << 21,
    "max_context": 1 << 20,
}
"""What a file may say, far beyond any model: no work grows with a number that is only a claim."""


class Activation(StrEnum):
    """What becomes of the gate before it is multiplied with `up`."""

    RELU2 = "relu2"
    SILU = "silu"


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder with grouped-query attention and a gated feed-forward network.

    Attributes:
        has_sub_norms: a norm before `o` and one before `down` (BitNet b1.58).
        has_head_norms: a norm over each head's query and key, before they turn (Qwen3).
        linear_norm_eps: eps of a norm of its own before each linear layer; None: there is none.
        biases: the linear layers that add one.
        embedding_scale: what embeddings are multiplied by.
        residual_scale: what a branch is multiplied by before it is added.
        logit_scale: what logits are multiplied by.
        weight_group: columns that share a scale: 64, 128 or 256; 0: a whole row does.
        activation_group: columns of activations that share an int8 scale; 0: all of a token's do,
            as models that define int8 activations (W1.58A8) want it.
        has_two_terms: activations of groups are the sum of two int8 terms, about 16 bits.
        has_ternary_head: the output head is ternary like the other matrices.
    """

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_context: int
    rms_norm_eps: float = 1e-5
    rope: Rope = field(default_factory=Rope)
    activation: Activation = Activation.RELU2
    has_sub_norms: bool = True
    has_head_norms: bool = False
    linear_norm_eps: float | None = None
    biases: tuple[str, ...] = ()
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    weight_group: int = 0
    activation_group: int = 0
    has_two_terms: bool = False
    has_ternary_head: bool = False

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """[rows, cols] of each ternary matrix of a layer."""
        attention = self.num_heads * self.head_dim
        keys = self.num_kv_heads * self.head_dim
        hidden, intermediate = self.hidden_size, self.intermediate_size
        return {
            "q": (attention, hidden),
            "k": (keys, hidden),
            "v": (keys, hidden),
            "o": (hidden, attention),
            "gate": (intermediate, hidden),
            "up": (intermediate, hidden),
            "down": (hidden, intermediate),
        }

    @property
    def norm_sizes(self) -> dict[str, int]:
        """Size of each norm of a layer; `input_q` is the norm of q's own (`linear_norm_eps`)."""
        sizes = {"attention": self.hidden_size, "feed_forward": self.hidden_size}
        if self.has_sub_norms:
            sizes["attention_sub"] = self.num_heads * self.head_dim
            sizes["feed_forward_sub"] = self.intermediate_size
        if self.has_head_norms:
            sizes["query"] = sizes["key"] = self.head_dim
        if self.linear_norm_eps is not None:
            shapes = self.linear_shapes
            sizes |= {f"input_{name}": cols for name, (_, cols) in shapes.items()}
        return sizes

    @property
    def num_ternary_weights(self) -> int:
        """Ternary weights of all layers."""
        return self.num_layers * sum(rows * cols for rows, cols in self.linear_shapes.values())
