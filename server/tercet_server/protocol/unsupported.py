"""Fields that change what a client gets and that this server does not have.

Ignoring them would hand out something other than what was asked for, free text instead of JSON for
one, so they are refused by name. Values that ask for nothing are let through: many clients send
every field they know. Fields that no answer depends on are ignored without a word.
"""

from collections.abc import Mapping
from typing import Final

_UNSUPPORTED: Final[Mapping[str, tuple[str, tuple[object, ...]]]] = {
    # field: (what it asks for, values that ask for nothing; null is always one)
    "functions": ("the old form of tools; it takes tools", ([],)),
    "function_call": ("the old form of tool_choice; it takes tool_choice", ("none", "auto")),
    "suffix": ("insertion before a suffix", ("",)),
    "modalities": ("output other than text", (["text"], [])),
    "audio": ("audio", ()),
    "web_search_options": ("web search", ()),
    "use_beam_search": ("beam search", (False,)),
    "length_penalty": ("beam search", (1,)),
    "bad_words": ("forbidden words", ([],)),
    "allowed_token_ids": ("a restricted vocabulary", ()),
    "truncate_prompt_tokens": ("truncated prompts", ()),
    "continue_final_message": ("continuing a message", (False,)),
    "add_generation_prompt": ("leaving out the generation prompt", (True,)),
    "chat_template": ("a client's own chat template", ("",)),
    "prompt_embeds": ("prompts given as embeddings", ([],)),
    "normalize": ("embeddings of any length but 1", (True,)),
    "embd_normalize": ("embeddings of any norm but the Euclidean", (2,)),
}

HARMLESS_FIELDS: Final[frozenset[str]] = frozenset(
    {
        *_UNSUPPORTED,
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    }
)
"""Fields that need no line in the log: known here, or without any effect on the answer."""


def find_unsupported(fields: Mapping[str, object]) -> tuple[str, str] | None:
    """The first field that asks for something this server does not have, and words to refuse it."""
    for name, value in fields.items():
        feature, harmless = _UNSUPPORTED.get(name, ("", ()))
        if feature and value is not None and not _is_one_of(value, harmless):
            return name, f"is not supported: this server does not offer {feature}. Leave it out"
    return None


def _is_one_of(value: object, harmless: tuple[object, ...]) -> bool:
    """Equality that does not take True for 1."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in harmless
    )
