"""Write a folder with random weights of a real model's shape, which loads like a real one.

    python -m benchmarks.checkpoint --shape 2b4t build/benchmarks/2b4t      # 1.2 GB

`tercet bench --synthetic` makes its weights as it packs them; this folder is for what must go
through files: the time to load, the memory of a server, and requests over HTTP. The weights are
those of `--synthetic` with the same shape. The tokenizer is the embedded model's, with as many
made-up words behind it as the shape's vocabulary has room for, so that every token has a text.
"""

import argparse
import itertools
import json
import math
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.common.host import ROOT
from benchmarks.common.script import progress
from tercet_engine.checkpoint import EMBEDDING, FINAL_NORM
from tercet_engine.families import bitnet
from tercet_engine.hub import EMBEDDED_MODEL
from tercet_engine.model_shape import ModelShape
from tercet_engine.synthetic import SHAPES, SyntheticWeights
from tercet_engine.tensor_source import TensorSource

DEFAULT_FOLDER: Final = ROOT / "build" / "benchmarks"
_ROWS_AT_ONCE: Final = 4096


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    bitnets = [name for name, shape in SHAPES.items() if shape.has_sub_norms]
    parser.add_argument("--shape", choices=bitnets, default="2b4t")
    parser.add_argument("folder", type=Path, nargs="?", help="default: build/benchmarks/SHAPE")
    options = parser.parse_args()
    print(synthetic_folder(options.shape, options.folder))


def synthetic_folder(shape: str, folder: Path | None = None) -> Path:
    """Write the folder unless it is there already."""
    folder = folder or DEFAULT_FOLDER / shape
    config = json.dumps(config_of(SHAPES[shape]), indent=1)
    marker = folder / "config.json"  # written last: a folder that has it is whole
    if not marker.is_file() or marker.read_text(encoding="utf-8") != config:
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        write_weights(SyntheticWeights(SHAPES[shape]), folder / "model.safetensors")
        write_tokenizer(SHAPES[shape].vocab_size, folder)
        marker.write_text(config, encoding="utf-8")
    return folder


def config_of(shape: ModelShape) -> dict[str, Any]:
    """The config of a checkpoint in the layout of bitnet-b1.58-2B-4T."""
    return {
        "architectures": list(bitnet.FAMILY.architectures),
        "model_type": "bitnet",
        "hidden_act": "relu2",
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.max_context,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope.theta,
        "tie_word_embeddings": True,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def write_weights(weights: SyntheticWeights, path: Path) -> None:
    """One safetensors file: a header of names and places, then the tensors one after the other."""
    header, offset = {}, 0
    for name, dtype, dims in _tensors(weights.shape):
        end = offset + math.prod(dims) * {"U8": 1, "BF16": 2, "F32": 4}[dtype]
        header[name] = {"dtype": dtype, "shape": dims, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in progress(_contents(weights), lambda _: f"writing {path}", len(header)):
            file.writelines(
                part[row : row + _ROWS_AT_ONCE].tobytes()
                for row in range(0, len(part), _ROWS_AT_ONCE)
            )


def _tensors(shape: ModelShape) -> Iterator[tuple[str, str, list[int]]]:
    """Names, types and sizes in the order of `_contents`."""
    yield EMBEDDING, "BF16", [shape.vocab_size, shape.hidden_size]
    yield FINAL_NORM, "F32", [shape.hidden_size]
    for layer in range(shape.num_layers):
        for name, size in shape.norm_sizes.items():
            yield f"model.layers.{layer}.{bitnet.FAMILY.norms[name]}.weight", "F32", [size]
        for name, (rows, cols) in shape.linear_shapes.items():
            tensor = f"model.layers.{layer}.{bitnet.FAMILY.linears[name]}.weight"
            yield tensor, "U8", [rows // 4, cols]
            yield f"{tensor}_scale", "F32", [1]


def _contents(weights: SyntheticWeights) -> Iterator[npt.NDArray[Any]]:
    yield rows_of(weights.table(EMBEDDING))
    yield weights.norm(-1, "final")
    for layer in range(weights.shape.num_layers):
        for name in weights.shape.norm_sizes:
            yield weights.norm(layer, name)
        for name in weights.shape.linear_shapes:
            linear = weights.linear(layer, name)
            yield linear.data.reshape(linear.rows // 4, linear.cols)
            yield np.array([linear.scale], np.float32)


def rows_of(table: TensorSource) -> npt.NDArray[Any]:
    """View a table of bfloat16 as rows, which may overlap in memory."""
    stride = table.row_stride or 2 * table.cols
    shape, strides = (table.rows, table.cols), (stride, 2)
    bits = table.data.view(np.uint16)
    return np.lib.stride_tricks.as_strided(bits, shape, strides, writeable=False)


def write_tokenizer(vocab_size: int, folder: Path) -> None:
    """The embedded model's tokenizer with further words, " aaa", " aab" and so on, up to a size."""
    tokenizer = json.loads((EMBEDDED_MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    taken = {*vocabulary.values(), *(token["id"] for token in tokenizer["added_tokens"])}
    words = (
        "Ġ" + "".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=5)
    )
    unused = (word for word in words if word not in vocabulary)
    vocabulary |= {next(unused): token for token in range(vocab_size) if token not in taken}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        (folder / name).write_bytes((EMBEDDED_MODEL / name).read_bytes())


if __name__ == "__main__":
    main()
