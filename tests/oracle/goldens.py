"""The small checkpoints under `data`, and what transformers made of them.

Weights are kept compressed: ternary numbers in 16 bits take a tenth of their size that way.
"""

import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DATA = Path(__file__).parent / "data"
BITNETS = ("tiny/bitnet_offline", "tiny/bitnet_online", "tiny256/bitnet_offline")
FAMILIES = (
    "families/bitnet_legacy",
    "families/llama_bitlinear",
    "families/llama_bitlinear_rms",
    "families/llama_dense",
    "families/llama_masters",
    "families/llama_online",
    "families/minicpm_dense",
    "families/qwen3_dense",
)


def unpack(name: str, folder: Path) -> Path:
    """Make a checkpoint's folder out of what is kept of it; return the folder."""
    source, target = DATA / name, folder / name
    if not target.exists():
        shutil.copytree(source, target)
        for packed in target.glob("*.xz"):
            packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    return target


def keep(folder: Path, name: str) -> None:
    """Put a checkpoint where `unpack` finds it."""
    target = DATA / name
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "config.json", target)
    weights = (folder / "model.safetensors").read_bytes()
    (target / "model.safetensors.xz").write_bytes(lzma.compress(weights, preset=9))


def golden(name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `prove.py` wrote beside a checkpoint."""
    return dict(np.load(DATA / name / "golden.npz"))
