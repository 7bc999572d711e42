"""The file of API keys: a name and limits for each, and the key itself or only its SHA-256.

    [[key]]
    name = "web"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    requests_per_minute = 60
    tokens_per_minute = 20000
    concurrency = 4
    priority = -10

A list of keys or digests in place of one lets an old key and a new one stand side by side. What is
left out is not limited, but for the priority: it is 0, so nobody overtakes others unasked.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tercet_server.config_file import InvalidConfigFile, read_toml
from tercet_server.words import path_of, sentence_of

MAX_KEYS: Final = 1000
_MAX_A_MINUTE: Final = 10**12
_ON_NUMBERS: Final = frozenset({"greater_than_equal", "less_than_equal"})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who a client is, and what it may ask for.

    Attributes:
        name: as logs name it; None: of a key without one.
        digests: SHA-256 of each key that it is known by.
        requests_per_minute: None: any number; so with the next two.
        tokens_per_minute: of prompts and answers together.
        concurrency: requests in progress.
        priority: the most urgent one that requests may have, that is the lowest; None: any.
    """

    name: str | None
    digests: tuple[bytes, ...]
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    priority: int | None = None


def digest_of(key: bytes) -> bytes:
    """What a key is compared by."""
    return hashlib.sha256(key).digest()


def read_key_file(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file.

    Raises:
        InvalidConfigFile: it cannot be read, or a key is wrong; one line for each mistake. No line
            holds a key.
    """
    try:
        file = _File.model_validate(read_toml(path))
    except ValidationError as error:
        lines = [f"{path}: {path_of(one)} {_sentence(one)}" for one in error.errors()]
        raise InvalidConfigFile("\n".join(lines)) from None
    keys = tuple(entry.as_key() for entry in file.key)
    if problems := list(_problems(keys)):
        raise InvalidConfigFile("\n".join(f"{path}: {problem}" for problem in problems))
    return keys


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...],
    BeforeValidator(_one_or_more),
    Field(max_length=16),
]
Digests = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")], ...],
    BeforeValidator(_one_or_more),
    Field(max_length=16),
]
Rate = Annotated[int, Field(ge=1, le=_MAX_A_MINUTE)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@:-]{1,64}$")]
    key: Annotated[Texts, Field(strict=False)] = ()
    sha256: Annotated[Digests, Field(strict=False)] = ()
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrency: Annotated[int, Field(ge=1, le=65_536)] | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0

    def as_key(self) -> ApiKey:
        digests = (
            *(digest_of(key.encode()) for key in self.key),
            *(bytes.fromhex(digest) for digest in self.sha256),
        )
        return ApiKey(
            self.name,
            digests,
            self.requests_per_minute,
            self.tokens_per_minute,
            self.concurrency,
            self.priority,
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: Annotated[list[_Entry], Field(min_length=1, max_length=MAX_KEYS)]


def _sentence(error: Any) -> str:
    """The error in words. What is no number may be a key in a wrong place, and is not shown."""
    if error["type"] == "string_pattern_mismatch":
        return f"must match {error['ctx']['pattern']}"
    if error["type"] == "extra_forbidden":
        return "is no field of a key"
    sentence = sentence_of(error)
    return sentence if error["type"] in _ON_NUMBERS else sentence.partition("; got")[0]


def _problems(keys: Sequence[ApiKey]) -> Iterator[str]:
    for key in keys:
        if not key.digests:
            yield f"the key {key.name} has neither key nor sha256; give one"
    for name, count in Counter(key.name for key in keys).items():
        if count > 1:
            yield f"{count} keys have the name {name}; names must differ"
    owners = Counter(digest for key in keys for digest in set(key.digests))
    for key in keys:
        if any(owners[digest] > 1 for digest in key.digests):
            yield f"the key {key.name} is another's too; keys must differ"
