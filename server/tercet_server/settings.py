"""Everything that whoever starts the server may choose: one frozen record, checked once.

A field is a flag of `tercet serve`, a variable of the environment and a key of a configuration file
under the same name: `max_body_bytes`, `--max-body-bytes`, `TERCET_MAX_BODY_BYTES`. Flags win over
the environment, and both over the file. Lists are separated by commas in the environment. Sizes in
bytes take units, "512MiB".
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tercet_engine import AUTO_PACKING, Activations, EngineConfig, Head, KvType, Speculation
from tercet_server.config_file import InvalidConfigFile, read_config_file
from tercet_server.words import path_of, sentence_of

_PREFIX: Final = "TERCET_"
_KEY_FILE: Final = "--api-key-file (TERCET_API_KEY_FILE)"
_YEAR: Final = 365 * 86_400
"""As good as never, in seconds; infinity is no number that a log of JSON could hold."""


class InvalidSettings(ValueError):
    """A setting is wrong. Each line of the message names one, with its rule and the value given."""


def _split(value: object) -> object:
    """A list from the environment: parts between commas, blanks around them dropped."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _split_keys(value: object) -> object:
    """The same of keys. Whoever sets the variable wants keys: blanks must not open the server."""
    keys = _split(value)
    if isinstance(value, str) and not keys:
        message = "must hold at least one key; leave it unset to serve without keys"
        raise ValueError(message)
    return keys


def _check_pairs(pairs: tuple[str, ...]) -> tuple[str, ...]:
    for pair in pairs:
        name, _, meant = pair.partition("=")
        if not (name and meant):
            message = f"must be NAME=MODEL; got {pair!r}"
            raise ValueError(message)
    return pairs


def _log_format(value: object) -> object:
    """The older name of text is still understood."""
    return "text" if value == "console" else value


def _check_path(path: Path) -> Path:
    """A name with NUL is no file's, and Python raises no OSError for it."""
    if "\0" in str(path):
        message = "must be a path, which holds no NUL"
        raise ValueError(message)
    return path


FilePath = Annotated[Path, AfterValidator(_check_path)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split), Field(max_length=64)]
Aliases = Annotated[Names, AfterValidator(_check_pairs)]
Seconds = Annotated[float, Field(gt=0, le=_YEAR)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_keys)]


class Settings(BaseSettings):
    """The settings of one server. Make it with `load_settings`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    config: FilePath | None = None
    """A TOML file of further settings."""
    model: Names = ()
    """Checkpoints' folders or names on the Hugging Face Hub, each alone or as NAME=MODEL; requests
    that name no model get the first. None: the model in the package."""
    alias: Aliases = ()
    """Further names of models, as NAME=MODEL'S NAME."""
    served_model_name: Names = ()
    """Names under which clients may ask for the one model; none: its id."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes any free one."""
    cors_origin: Names = ()
    """Origins whose web pages may call the server; "*" allows all."""
    allowed_host: Names = ()
    """Names by which the server may be called; none: by any where it takes keys or listens on a
    network, else by addresses and by names that public DNS cannot have."""
    api_key: Secrets = ()
    """Keys that clients must send; none: the server is open to all who reach it."""
    api_key_file: FilePath | None = None
    """A file of further keys, one a line; empty lines and lines that begin with # do not count."""
    api_keys_file: FilePath | None = None
    """A TOML file of keys with names and limits, read again at SIGHUP; see `key_file`."""
    tls_cert: FilePath | None = None
    """The certificate and what leads to its root, as PEM; with it the server speaks HTTPS."""
    tls_key: FilePath | None = None
    """Its private key; None: it is in the certificate's file."""

    page: bool = True
    """Whether browsers find a chat page at /."""

    max_body_bytes: Annotated[ByteSize, Field(ge=1024, le=2**30)] = ByteSize(4 * 2**20)
    max_prompt_chars: Annotated[int, Field(ge=1, le=2**30)] | None = None
    """Characters in one prompt, beyond which its tokens are not even counted; None: 32 for each
    token of the context, several times what text needs."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=65536)] = 512
    """Requests in progress at the same time; more are answered with 429."""
    max_output_tokens: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """Tokens of one answer; None: as many as the context has room for."""
    queue_timeout: Annotated[float, Field(ge=0.01, le=86_400)] | None = None
    """Seconds that a request may wait for its first step; who would wait longer gets 429 at once.
    None: as long as `request_timeout_seconds`."""
    request_timeout_seconds: Seconds = 1800
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 75
    """How long an idle connection is kept; longer than proxies keep theirs."""
    ping_seconds: Seconds = 15
    """A stream in which nothing happens for so long gets a comment, so that proxies keep it."""
    stalled_client_seconds: Seconds = 60
    """A stream whose client takes nothing in for so long is given up."""
    drain_seconds: Annotated[float, Field(ge=0, le=_YEAR)] = 25
    """How long streams may go on after SIGTERM."""

    store: bool = True
    """Whether responses are kept, so that they can be retrieved and continued."""
    store_path: FilePath | None = None
    """The file they are kept in; None: memory, until the server ends."""
    store_responses: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    store_bytes: Annotated[ByteSize, Field(ge=1024, le=2**40)] = ByteSize(128 * 2**20)
    store_days: Annotated[float, Field(gt=0, le=36_500)] = 30
    """How long a response is kept that nobody continues."""
    background_responses: Annotated[int, Field(ge=0, le=65536)] = 32
    """Responses in progress for which no client waits; more are answered with 429."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_log_format)] = "text"
    gateway_metrics: bool = False
    """Whether /metrics also has the names that Kubernetes' inference gateways look for."""
    otlp_endpoint: Name | None = None
    """Where spans are sent, as OTLP over HTTP; None: nowhere."""

    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """None: as many as the CPU affinity and the container's quota allow."""
    kernels: str = ""
    """Name of a kernel set; empty: the best that this CPU runs."""
    packing: str = AUTO_PACKING
    """How ternary weights are kept; auto: as a short measurement at load finds fastest."""
    head: Head = "int8"
    activations: Activations = "int16"
    kv_type: KvType = "bf16"
    context: Annotated[int, Field(ge=2, le=2**20)] | None = None
    """Tokens of prompt and answer together; None: what the model was made for."""
    batch_tokens: Annotated[int, Field(ge=1, le=65536)] = 512
    max_sequences: Annotated[int, Field(ge=1, le=4096)] = 64
    max_waiting_requests: Annotated[int, Field(ge=0, le=2**20)] = 256
    max_waiting_tokens: Annotated[int, Field(ge=0, le=2**30)] = 262_144
    kv_cache_bytes: Annotated[ByteSize, Field(ge=1, le=2**50)] | None = None
    """Memory for keys and values; None: chosen by what is free."""
    prefix_cache: bool = True
    max_step_ms: Annotated[int, Field(ge=0, le=600_000)] = 200
    """How long a step that carries streams should take at most; 0: any time."""
    speculation: Speculation = "auto"

    def engine_config(self) -> EngineConfig:
        """The engine's part of the settings.

        Raises:
            InvalidConfig: two of them contradict each other.
        """
        return EngineConfig(
            max_context=self.context,
            max_batch_tokens=self.batch_tokens,
            max_sequences=self.max_sequences,
            max_waiting_requests=self.max_waiting_requests,
            max_waiting_tokens=self.max_waiting_tokens,
            max_queue_seconds=self.queue_timeout,
            kv_cache_bytes=None if self.kv_cache_bytes is None else int(self.kv_cache_bytes),
            num_threads=self.threads,
            kernels=self.kernels,
            packing=self.packing,
            head=self.head,
            activations=self.activations,
            kv_type=self.kv_type,
            prefix_cache=self.prefix_cache,
            max_step_ms=self.max_step_ms,
            speculation=self.speculation,
        )

    @property
    def needs_key(self) -> bool:
        """Whether clients must send a key."""
        return bool(self.api_key or self.api_keys_file)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls_key and not self.tls_cert:
            message = "--tls-key is of no use without --tls-cert; give both"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _read_keys_from_the_file(self) -> Self:
        if self.api_key_file is not None:
            keys = (*self.api_key, *map(SecretStr, _read_keys(self.api_key_file)))
            object.__setattr__(self, "api_key", keys)  # frozen only once it is made
        if any(not key.get_secret_value() for key in self.api_key):
            message = "--api-key (TERCET_API_KEY) must not be empty"
            raise ValueError(message)
        return self


def load_settings(**flags: Any) -> Settings:
    """Make settings of flags; where one is absent or None, of the environment; else of the file.

    Raises:
        InvalidSettings: in words, one line for each setting that is wrong.
    """
    given = {name: value for name, value in flags.items() if value not in (None, [])}
    from_file = _from_file(given)
    try:
        return Settings(**{**from_file, **given})
    except ValidationError as error:
        found = error.errors(include_url=False)
        lines = [_line(one, from_file.keys() - given.keys()) for one in found]
        raise InvalidSettings("\n".join(lines)) from None


def _from_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration file sets, where there is one, and the environment does not."""
    in_environment = {
        name.lower().removeprefix(_PREFIX.lower()): value
        for name, value in os.environ.items()  # in which case does not count
        if name.upper().startswith(_PREFIX) and value
    }
    path = given.get("config", in_environment.get("config"))
    if path is None:
        return {}
    try:
        values = read_config_file(Path(path), Settings.model_fields.keys() - {"config"})
    except InvalidConfigFile as error:
        message = f"--config (TERCET_CONFIG): {error}"
        raise InvalidSettings(message) from None
    return {name: value for name, value in values.items() if name not in in_environment}


def _line(error: ErrorDetails, from_file: Collection[str]) -> str:
    sentence = sentence_of(error)
    if (path := path_of(error)) is None:
        return sentence
    name = re.split(r"[.\[]", path.removeprefix(_PREFIX).lower())[0]
    if name == "api_key":
        sentence = sentence.partition("; got")[0]  # it may be one, without its quotes
    if name in from_file:
        return f"{name.replace('_', '-')} in the file of --config {sentence}"
    return f"--{name.replace('_', '-')} (TERCET_{name.upper()}) {sentence}"


def _read_keys(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        message = f"{_KEY_FILE} {path} cannot be read: {error.strerror or error}"
        raise ValueError(message) from error
    except UnicodeDecodeError as error:
        message = f"{_KEY_FILE} {path} cannot be read: it is no text in UTF-8"
        raise ValueError(message) from error
    keys = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not keys:
        message = f"{_KEY_FILE} {path} holds no key; write one a line"
        raise ValueError(message)
    return keys
