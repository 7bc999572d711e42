"""Every door that is fuzzed, by its name."""

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    batches,
    config,
    gguf,
    gguf_models,
    grammars,
    requests,
    safetensors,
    sources,
    template,
    text,
    tokenizer,
)

TARGETS: Final[dict[str, Target]] = {
    module.TARGET.name: module.TARGET
    for module in (
        *(safetensors, gguf, gguf_models, config, tokenizer, text),
        *(template, requests, grammars, sources, batches),
    )
}
