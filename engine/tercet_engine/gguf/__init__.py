"""GGUF files: weights, settings and tokenizer of a model in one file.

Public: `GgufFile` (`file.py`), `GgufTokenizer` (`tokenizer.py`). Nothing here knows what the
tensors mean to a model.
"""

from tercet_engine.gguf.file import GgufFile, is_gguf
from tercet_engine.gguf.metadata import Metadata
from tercet_engine.gguf.tensors import GgufTensor
from tercet_engine.gguf.tokenizer import GgufTokenizer

__all__ = ["GgufFile", "GgufTensor", "GgufTokenizer", "Metadata", "is_gguf"]
