"""Every door that is fuzzed, by its name."""

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import config, requests, safetensors, text, tokenizer

TARGETS: Final[dict[str, Target]] = {
    module.TARGET.name: module.TARGET for module in (safetensors, config, tokenizer, text, requests)
}
