"""How a config says that its linear layers are stored.

`quantization_config` of the method "bitnet" decides for whichever architecture carries it, and with
it come int8 activations per token. Its `linear_class` says what `weight_scale` means: with
"autobitlinear" one multiplies by it, with "bitlinear", which is meant where nothing is said, one
divides. Guessing wrong gives fluent nonsense, so the value itself is never looked at.

A checkpoint without it holds plain numbers. They are taken for ternary ones times a scale, which
the tensors must prove, and such models leave activations in floating point.
"""

from dataclasses import dataclass
from typing import Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.families.family import WeightForm
from tercet_engine.model_config_file import ConfigFile

DENSE_ACTIVATION_GROUP: Final = 128
"""Columns that share an int8 scale where a model defines no quantised activations."""

_KNOWN: Final = {
    "quant_method",
    "linear_class",
    "quantization_mode",
    "modules_to_not_convert",
    "use_rms_norm",
    "rms_norm_eps",
}


@dataclass(frozen=True, slots=True)
class Quantization:
    """Form of the weights, and what comes with it; the fields are those of `ModelShape`."""

    form: WeightForm
    activation_group: int = 0
    linear_norm_eps: float | None = None


def read_quantization(config: ConfigFile, *, has_biases: bool) -> Quantization:
    """Read `quantization_config`; without one the weights are plain numbers."""
    section = config.section("quantization_config")
    if not section.values:
        return Quantization(WeightForm.DENSE, DENSE_ACTIVATION_GROUP)
    if section.text("quant_method") != "bitnet":
        raise _unsupported(section, "quant_method", '"bitnet"')
    for key in sorted(set(section.values) - _KNOWN):
        if section.values[key] is not None:
            raise _unsupported(section, key, "no such thing")
    if section.values.get("modules_to_not_convert") not in (None, [], ["lm_head"]):
        raise _unsupported(section, "modules_to_not_convert", 'null and ["lm_head"]')
    form = _form(section)
    if form is WeightForm.PACKED and has_biases:
        raise _unsupported(section, "linear_class", '"bitlinear" where linear layers add a bias')
    has_norms = section.flag("use_rms_norm", default=False)
    eps = section.number("rms_norm_eps", 0, 1, default=1e-6)
    return Quantization(form, linear_norm_eps=eps if has_norms else None)


def _form(section: ConfigFile) -> WeightForm:
    linear_class = section.text("linear_class", default="bitlinear")
    mode = section.text("quantization_mode", default="offline")
    match linear_class, mode:
        case "bitlinear", "offline":
            return WeightForm.PACKED_INVERSE
        case "autobitlinear", "offline":
            return WeightForm.PACKED
        case "autobitlinear", "online":
            return WeightForm.MASTERS
    if linear_class not in ("bitlinear", "autobitlinear"):
        raise _unsupported(section, "linear_class", '"bitlinear" and "autobitlinear"')
    modes = '"offline"' if linear_class == "bitlinear" else '"offline" and "online"'
    raise _unsupported(section, "quantization_mode", f"{modes} with {linear_class!r}")


def _unsupported(config: ConfigFile, key: str, supported: str) -> UnsupportedModel:
    found = config.values.get(key, "missing")
    return UnsupportedModel(f"{config.name}: {key} is {found!r}; supported: {supported}")
