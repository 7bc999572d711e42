"""Which kernels compute here, and how they keep weights.

A set serves only if it agrees with the reference on this machine.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from tercet_engine import _core
from tercet_engine.config import AUTO_PACKING, MAPPED_PACKING, EngineConfig
from tercet_engine.errors import KernelUnavailable, SelfTestFailed
from tercet_engine.kernel_trial import try_kernels
from tercet_engine.model_shape import ModelShape

_logger = logging.getLogger(__name__)

# Kernel sets that are tested by emulation, as machines that run them are rare. If one of them fails
# its self-test and nobody asked for it by name, the next best set serves instead.
_REPLACEABLE: Final = frozenset({"amx"})


def choose_kernels(name: str) -> str:
    """Check that a kernel set ("": the best) runs here and agrees with the reference.

    Raises:
        KernelUnavailable: this build, or this CPU, does not have it.
        SelfTestFailed: it computes something else than the reference does.
    """
    supported = _core.supported_kernels()
    if name and name not in supported:
        known = _core.all_kernels()
        fault = "this CPU cannot run it" if name in known else "this build does not have it"
        message = f"kernels {name}: {fault}; choose one of {', '.join(supported)}"
        raise KernelUnavailable(message)
    chosen = name or supported[0]
    is_replaceable = not name and chosen in _REPLACEABLE
    problem = try_kernels(chosen, Path(_core.__file__)) if is_replaceable else None
    problem = problem or _core.self_test(chosen)
    if problem and is_replaceable:
        _logger.warning(
            "kernels %s do not agree with the reference on this machine (%s); %s serve instead",
            chosen,
            problem,
            supported[1],
        )
        chosen = supported[1]
        problem = _core.self_test(chosen)
    if problem:
        message = (
            f"kernels {chosen} do not agree with the reference on this machine ({problem}); "
            f"choose others, of {', '.join(supported)}"
        )
        raise SelfTestFailed(message)
    return chosen


def kernel_verdicts() -> dict[str, str | None]:
    """Each kernel set that this CPU can run, best first, and how it differs from the reference.

    None: it does not. Those that may not run at all are tried in a process of their own.
    """
    verdicts: dict[str, str | None] = {}
    for name in _core.supported_kernels():
        is_rare = name in _REPLACEABLE
        problem = try_kernels(name, Path(_core.__file__)) if is_rare else None
        verdicts[name] = problem or _core.self_test(name)
    return verdicts


def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU can run, best first."""
    return _core.supported_kernels()


def self_test(kernels: str) -> str | None:
    """Compare a kernel set with the reference; None when every bit agrees."""
    return _core.self_test(kernels)


def cpu_features() -> list[str]:
    """The instruction sets found that some kernel set asks for."""
    return _core.cpu_features()


def check_packing(name: str, kernels: str, shape: ModelShape) -> None:
    """Check that a kernel set can keep a model's weights so.

    Raises:
        KernelUnavailable: it cannot; the message says what it can.
    """
    is_grouped = bool(shape.weight_group or shape.activation_group)
    known = _core.packings(kernels, grouped=is_grouped)
    if name not in (AUTO_PACKING, *known):
        kind = " for weights in groups" if is_grouped else ""
        message = (
            f"packing {name}: kernels {kernels} do not have it{kind}; choose {AUTO_PACKING} or one "
            f"of {', '.join(known)}"
        )
        raise KernelUnavailable(message)


def packing_of_tiles(shape: ModelShape, config: EngineConfig, kernels: str) -> EngineConfig:
    """The config with the packing of a converted model's files, unless another is asked for.

    Raises:
        KernelUnavailable: the weights are to be used where they are mapped, and cannot be.
    """
    if config.packing not in (AUTO_PACKING, MAPPED_PACKING):
        return config
    is_grouped = bool(shape.weight_group or shape.activation_group)
    own = _core.tiles_packing(kernels, grouped=is_grouped)
    if own is None and config.packing == MAPPED_PACKING:
        message = f"packing {MAPPED_PACKING}: kernels {kernels} do not use weights where they lie"
        raise KernelUnavailable(message)
    return replace(config, packing=own or AUTO_PACKING)
