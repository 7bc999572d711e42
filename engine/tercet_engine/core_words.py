"""A model in the words of C++: its sizes, its matrices, how its head is kept."""

import dataclasses
from dataclasses import replace
from typing import Final

from tercet_engine import _core
from tercet_engine.config import EngineConfig
from tercet_engine.errors import UnsupportedModel
from tercet_engine.model_shape import ModelShape
from tercet_engine.tensor_source import TensorSource

_AS_THEY_ARE: Final = (
    "num_layers",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "max_context",
    "rms_norm_eps",
    "activation",
    "has_sub_norms",
    "has_head_norms",
    "linear_norm_eps",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "weight_group",
    "activation_group",
    "has_two_terms",
)


def core_config(shape: ModelShape) -> _core.ModelConfig:
    """Tell C++ of a shape. Raises `UnsupportedModel` if it cannot be computed."""
    try:
        return _core.ModelConfig(
            **{name: getattr(shape, name) for name in _AS_THEY_ARE},
            rope_frequencies=shape.rope.frequencies(shape.head_dim, shape.max_context).tolist(),
            rope_scale=shape.rope.scale,
        )
    except ValueError as error:
        message = f"the model's sizes are not supported: {error}"
        raise UnsupportedModel(message) from error


def core_source(source: TensorSource) -> _core.TensorSource:
    """Tell C++ of a matrix. Raises `ValueError` if there are too few bytes."""
    fields = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
    return _core.TensorSource(**fields)


def head_kind(shape: ModelShape, config: EngineConfig) -> str:
    """How the output head is kept: as asked for, but a ternary one stays ternary unless in bf16."""
    return "ternary" if shape.has_ternary_head and config.head == "int8" else config.head


def rounded_as_asked(shape: ModelShape, config: EngineConfig) -> ModelShape:
    """The shape with activations rounded as the config asks, where the model leaves it open."""
    is_open = shape.activation_group != 0
    return replace(shape, has_two_terms=is_open and config.activations == "int16")
