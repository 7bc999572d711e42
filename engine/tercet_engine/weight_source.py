"""What a loader asks of a model's weights, whatever they lie in."""

from typing import Protocol

from tercet_engine.checkpoint import Float32Array
from tercet_engine.model_shape import ModelShape
from tercet_engine.tensor_source import TensorSource


class WeightSource(Protocol):
    """Gives a model's tensors by our names: a `Checkpoint`, or random ones."""

    @property
    def shape(self) -> ModelShape:
        """The model's sizes."""

    @property
    def needs_grid(self) -> bool:
        """Whether the weights are plain numbers, whose grid is yet to be found."""

    def with_shape(self, shape: ModelShape) -> "WeightSource":
        """The same source with a shape that tells more."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, for the progress."""

    @property
    def embedding_name(self) -> str:
        """Name of the embedding."""

    @property
    def head_name(self) -> str:
        """Name of the tensor that is the output head."""

    def norm_name(self, layer: int, name: str) -> str:
        """Name of a norm."""

    def linear_name(self, layer: int, name: str) -> str:
        """Name of a linear layer."""

    def bias_name(self, layer: int, name: str) -> str:
        """Name of what a linear layer adds."""

    def norm(self, layer: int, name: str) -> Float32Array:
        """A norm's gains; layer -1: the final one's."""

    def linear(self, layer: int, name: str) -> TensorSource:
        """A ternary matrix."""

    def bias(self, layer: int, name: str) -> Float32Array:
        """What a linear layer of `shape.biases` adds."""

    def table(self, name: str) -> TensorSource:
        """The embedding or the head."""

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor."""

    def crc32(self, name: str) -> int:
        """Checksum of one tensor."""

    def forget(self, name: str) -> None:
        """One tensor is packed; its source may be given back."""
