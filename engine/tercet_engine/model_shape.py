"""The sizes of a model: what the arithmetic needs to know, whichever file told it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder with grouped-query attention and a gated feed-forward network."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_context: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 500_000.0

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
        """Size of each norm of a layer."""
        return {
            "attention": self.hidden_size,
            "attention_sub": self.num_heads * self.head_dim,
            "feed_forward": self.hidden_size,
            "feed_forward_sub": self.intermediate_size,
        }

    @property
    def num_ternary_weights(self) -> int:
        """Ternary weights of all layers."""
        return self.num_layers * sum(rows * cols for rows, cols in self.linear_shapes.values())
