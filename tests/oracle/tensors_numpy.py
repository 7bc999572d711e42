"""A safetensors file as float32 arrays, read in a few lines."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All tensors; bfloat16 and float16 widened to float32, bytes as they are."""
    content = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        tensors[name] = _widen(entry["dtype"], content[start:end]).reshape(entry["shape"])
    return tensors


def _widen(dtype: str, content: bytes) -> npt.NDArray[Any]:
    match dtype:
        case "BF16":
            return (np.frombuffer(content, np.uint16).astype(np.uint32) << 16).view(np.float32)
        case "F16":
            return np.frombuffer(content, np.float16).astype(np.float32)
        case "F32":
            return np.frombuffer(content, np.float32)
    assert dtype == "U8"
    return np.frombuffer(content, np.uint8)


def round_to_bfloat16(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To the nearest, ties to even; kept as float32."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
