"""What a config says of positions, in either of its two spellings.

Older configs hold `rope_theta` beside `rope_scaling`, newer ones put both into `rope_parameters`.
Every key is known or refused: one that is passed over would turn every head by a wrong angle, and
the model would still speak.
"""

from typing import Any, Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.rope import Rope, RopeScaling, yarn_attention_factor

_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": (
        "factor",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
    "longrope": ("factor", "attention_factor", "short_factor", "long_factor"),
}
"""Each type, and the keys that it has beside those of all."""

_KEYS_OF_ALL: Final = ("rope_type", "type", "rope_theta", "original_max_position_embeddings")
_OLD_NAMES: Final = {"su": "longrope"}
_SECTIONS: Final = ("rope_parameters", "rope_scaling")


def read_rope(config: ConfigFile, *, theta: float, head_dim: int, max_context: int) -> Rope:
    """Read the frequencies' rule.

    Args:
        config: a decoder's.
        theta: the base if the config tells none.
        head_dim: how many dimensions turn.
        max_context: positions of the model; the original ones too where a rule tells no other.
    """
    parameters = _parameters(config)
    theta = config.number("rope_theta", 1, 1e12, default=theta)
    theta = parameters.number("rope_theta", 1, 1e12, default=theta)
    scaling = _scaling(parameters)
    if scaling == "default":
        return Rope(theta=theta)
    if scaling == "linear":
        return Rope(theta, RopeScaling.LINEAR, factor=_factor(parameters))
    original = parameters.integer(
        "original_max_position_embeddings", 2, 1 << 20, default=max_context
    )
    original = config.integer("original_max_position_embeddings", 2, 1 << 20, default=original)
    if scaling == "llama3":
        return _llama3(parameters, theta, original)
    stretch = max_context / original
    if scaling == "yarn":
        return _yarn(parameters, theta, _factor(parameters, default=stretch), original)
    return Rope(
        theta,
        RopeScaling.LONGROPE,
        factor=_factor(parameters, default=max(stretch, 1.0)),
        original_context=original,
        attention_factor=_optional(parameters, "attention_factor"),
        short_factors=_factors(parameters, "short_factor", head_dim // 2),
        long_factors=_factors(parameters, "long_factor", head_dim // 2),
    )


def _parameters(config: ConfigFile) -> ConfigFile:
    """The section that is there; both may be, if they say the same."""
    told = [key for key in _SECTIONS if config.section(key).values]
    if len(told) == 2 and config.values[told[0]] != config.values[told[1]]:
        raise config.error("rope_scaling", "the same as rope_parameters where both are given")
    return config.section(told[0]) if told else config.section(_SECTIONS[0])


def _scaling(parameters: ConfigFile) -> str:
    told = parameters.text("rope_type", default=parameters.text("type", default="default"))
    scaling = _OLD_NAMES.get(told, told)
    if scaling not in _KEYS:
        why = " (its angles change as a text grows)" if scaling == "dynamic" else ""
        message = (
            f"{parameters.name}: rope_type is {told!r}{why}; supported: "
            f"{', '.join([*_KEYS, *_OLD_NAMES])}"
        )
        raise UnsupportedModel(message)
    part = parameters.values.get("partial_rotary_factor")
    if part not in (None, 1):
        message = f"{parameters.name}: partial_rotary_factor is {part!r}: heads that turn in part"
        raise UnsupportedModel(message)
    known = {*_KEYS[scaling], *_KEYS_OF_ALL, "partial_rotary_factor"}
    for key in sorted(set(parameters.values) - known):
        if parameters.values[key] is not None:
            message = (
                f"{parameters.name}: {key} is {parameters.values[key]!r}; known for {scaling!r} "
                f"are {', '.join(sorted(known))}"
            )
            raise UnsupportedModel(message)
    return scaling


def _llama3(parameters: ConfigFile, theta: float, original: int) -> Rope:
    low = parameters.number("low_freq_factor", 1e-6, 1e6)
    high = parameters.number("high_freq_factor", 1e-6, 1e6)
    if low >= high:
        raise parameters.error("low_freq_factor", f"less than high_freq_factor, {high:g}")
    return Rope(
        theta,
        RopeScaling.LLAMA3,
        factor=_factor(parameters),
        original_context=original,
        low_freq_factor=low,
        high_freq_factor=high,
    )


def _yarn(parameters: ConfigFile, theta: float, factor: float, original: int) -> Rope:
    fast = parameters.number("beta_fast", 0, 1e6, default=32.0) or 32.0
    slow = parameters.number("beta_slow", 0, 1e6, default=1.0) or 1.0
    if fast < slow:
        raise parameters.error("beta_fast", f"at least beta_slow, {slow:g}")
    if theta <= 1:
        raise parameters.error("rope_theta", "over 1")
    mscales = (_optional(parameters, "mscale"), _optional(parameters, "mscale_all_dim"))
    attention_factor = _optional(parameters, "attention_factor")
    if attention_factor is None:
        attention_factor = yarn_attention_factor(factor, *mscales)
    return Rope(
        theta,
        RopeScaling.YARN,
        factor=factor,
        original_context=original,
        beta_fast=fast,
        beta_slow=slow,
        attention_factor=attention_factor,
        truncate=parameters.flag("truncate", default=True),
    )


def _factor(parameters: ConfigFile, **default: float) -> float:
    return parameters.number("factor", 1, 1e6, **default)


def _optional(parameters: ConfigFile, key: str) -> float | None:
    return None if parameters.values.get(key) is None else parameters.number(key, 0, 1e6)


def _factors(parameters: ConfigFile, key: str, count: int) -> tuple[float, ...]:
    found: Any = parameters.values.get(key)
    are_numbers = isinstance(found, list) and all(
        type(value) in {int, float} and 1e-6 <= value <= 1e6 for value in found
    )
    if not are_numbers or len(found) != count:
        raise parameters.error(key, f"a list of {count} numbers from 1e-06 to 1e+06")
    return tuple(map(float, found))
