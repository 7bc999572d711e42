"""What is this model, and can it be served here? Told from headers, without loading weights."""

from tercet_engine.inspection.inspect import inspect_model
from tercet_engine.inspection.report import (
    MemoryFacts,
    ModelReport,
    TokenizerFacts,
    Verdict,
    WeightFile,
)

__all__ = [
    "MemoryFacts",
    "ModelReport",
    "TokenizerFacts",
    "Verdict",
    "WeightFile",
    "inspect_model",
]
