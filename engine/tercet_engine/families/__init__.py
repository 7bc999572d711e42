"""The families of checkpoints that can be read, one file each.

A family says how to read its `config.json`, how its tensors are called and packed, and what it
takes for granted. Anything a family does not know it refuses in words.
"""

from tercet_engine.errors import UnsupportedModel
from tercet_engine.families import bitnet, bitnet_legacy, llama, minicpm, qwen3
from tercet_engine.families.family import Family
from tercet_engine.families.others import reason
from tercet_engine.model_config_file import ConfigFile

__all__ = ["Family", "find_family"]

_FAMILIES = (
    bitnet.FAMILY,
    bitnet_legacy.FAMILY,
    llama.FAMILY,
    qwen3.FAMILY,
    minicpm.FAMILY,
)


def find_family(config: ConfigFile) -> Family:
    """Find the family of a checkpoint by the architecture that its config names.

    Raises:
        UnsupportedModel: no family is made for it.
    """
    found = config.values.get("architectures")
    for family in _FAMILIES:
        if isinstance(found, list) and len(found) == 1 and found[0] in family.architectures:
            return family
    supported = ", ".join(name for family in _FAMILIES for name in family.architectures)
    why = reason(found[0]) if isinstance(found, list) and found else ""
    message = f"{config.name}: architectures is {found}{why}; supported: {supported}"
    raise UnsupportedModel(message)
