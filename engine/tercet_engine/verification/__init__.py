"""Is this model, on this machine, what its authors published? And is it one with itself?

Published numbers exist for few models. What must hold for every model needs none: finite logits,
the same bits alone and in a batch, at once and in pieces, with every set of kernels.
"""

from tercet_engine.verification.checks import Check, verify
from tercet_engine.verification.references import Reference, find_reference, read_references

__all__ = ["Check", "Reference", "find_reference", "read_references", "verify"]
