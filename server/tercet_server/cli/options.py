"""The flags of `tercet serve`, made of the settings' fields.

`Settings` is the one owner of names, defaults and rules: a field becomes a flag, and the flag's
help names its variable of the environment and its default. Values pass through as text, so that a
wrong one is refused by the same rule, in the same words, wherever it came from. What is kept here
is only how a flag reads in `--help`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from tercet_server.settings import Settings

_MODELS: Final = (
    "A folder, a GGUF file, or a name on the Hugging Face Hub; NAME=MODEL gives it another name. "
    "Several are served at once: requests say which."
)
ARGUMENTS: Final = frozenset({"model"})
"""Fields that are given by place and not by a flag."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How a field reads in `--help`.

    Attributes:
        panel: the heading under which it stands.
        text: what it does; says what an absent value means where the default is None.
        metavar: what to write for its value; "": by its type.
    """

    panel: str
    text: str
    metavar: str = ""


WORDINGS: Final[Mapping[str, Wording]] = {
    "alias": Wording("Model", "A further name of a model; may be repeated.", "NAME=MODEL"),
    "config": Wording(
        "Model", "TOML file of settings, by the names of these flags. Flags and env win.", "FILE"
    ),
    "served_model_name": Wording(
        "Model", "Name under which clients ask for the one model; may be repeated.", "NAME"
    ),
    "context": Wording(
        "Model", "Tokens of prompt and answer together; unset: what the model was made for.", "N"
    ),
    "kv_type": Wording(
        "Model", "How keys and values are kept: f32 is exact, at twice the memory; int8 at half."
    ),
    "head": Wording("Model", "How the output head is stored; bf16 is exact and twice as large."),
    "activations": Wording(
        "Model",
        "How activations are rounded where a model leaves them open: int8 reads prompts twice as "
        "fast, int16 is as good as floats.",
    ),
    "threads": Wording(
        "Engine", "Worker threads; unset: what CPU affinity and the container's quota allow.", "N"
    ),
    "kernels": Wording(
        "Engine", "Kernel set to force, e.g. avx2; unset: the best that this CPU runs.", "NAME"
    ),
    "packing": Wording(
        "Engine",
        "How ternary weights are kept, e.g. 2bit; auto: as measured fastest; mapped: where a "
        "converted model's file is. Answers are equal.",
        "NAME",
    ),
    "kv_cache_bytes": Wording(
        "Engine", "Memory for keys and values, e.g. 512MiB; unset: by what is free.", "SIZE"
    ),
    "batch_tokens": Wording("Engine", "Tokens computed in one step at most.", "N"),
    "max_sequences": Wording("Engine", "Completions that are computed at the same time.", "N"),
    "prefix_cache": Wording("Engine", "Reuse the keys and values of earlier prompts."),
    "max_step_ms": Wording(
        "Engine", "Prompts are cut so that streams get a token this often; 0: never mind.", "MS"
    ),
    "speculation": Wording("Engine", "Guess tokens where that is faster; changes no answer."),
    "host": Wording("Network", "Address to listen on; 0.0.0.0 for all networks.", "ADDRESS"),
    "port": Wording("Network", "Port to listen on; 0 takes any free one.", "PORT"),
    "api_key": Wording(
        "Network", "Key that clients must send; may be repeated; unset: open to all.", "KEY"
    ),
    "api_key_file": Wording("Network", "File of further keys, one a line.", "FILE"),
    "api_keys_file": Wording(
        "Network", "TOML file of keys with names and limits; read again at SIGHUP.", "FILE"
    ),
    "tls_cert": Wording("Network", "Certificate, as PEM: the server speaks HTTPS.", "FILE"),
    "tls_key": Wording("Network", "Its private key; unset: in the certificate's file.", "FILE"),
    "cors_origin": Wording(
        "Network", 'Origin whose web pages may call; may be repeated; "*": all.', "ORIGIN"
    ),
    "allowed_host": Wording(
        "Network",
        'Name by which the server may be called, e.g. by a proxy; may be repeated; "*": all.',
        "NAME",
    ),
    "page": Wording("Network", "Show browsers a chat page at /."),
    "keep_alive_seconds": Wording("Network", "How long an idle connection is kept.", "SECONDS"),
    "ping_seconds": Wording(
        "Network", "A quiet stream gets a comment after so long, so that proxies keep it."
    ),
    "stalled_client_seconds": Wording(
        "Network", "A stream whose client takes nothing in for so long is given up."
    ),
    "drain_seconds": Wording("Network", "How long streams may go on after SIGTERM."),
    "max_waiting_requests": Wording("Limits", "Completions that may wait; more: 429.", "N"),
    "max_waiting_tokens": Wording("Limits", "Prompt tokens that may wait; more: 429.", "N"),
    "max_concurrent_requests": Wording("Limits", "Requests in progress; more: 429.", "N"),
    "max_body_bytes": Wording("Limits", "Size of a request's body, e.g. 4MiB.", "SIZE"),
    "max_prompt_chars": Wording(
        "Limits", "Characters in one prompt. Unset: 32 for each token of the context.", "N"
    ),
    "max_output_tokens": Wording(
        "Limits", "Tokens of one answer; unset: as many as the context has room for.", "N"
    ),
    "queue_timeout": Wording(
        "Limits", "Wait for a request's first step; longer: 429. Unset: no limit.", "SECONDS"
    ),
    "request_timeout_seconds": Wording("Limits", "A request that takes longer is ended."),
    "store": Wording(
        "Responses", "Keep what /v1/responses answers, to be retrieved and continued."
    ),
    "store_path": Wording("Responses", "File they are kept in; unset: in memory.", "FILE"),
    "store_responses": Wording("Responses", "Responses kept; the least used goes first.", "N"),
    "store_bytes": Wording("Responses", "Size of all that are kept, e.g. 1GiB.", "SIZE"),
    "store_days": Wording("Responses", "How long an unused one is kept.", "DAYS"),
    "background_responses": Wording(
        "Responses", "Responses in progress for which no client waits; more: 429.", "N"
    ),
    "log_level": Wording("Log", "The least that is logged."),
    "log_format": Wording("Log", "Lines to read, or JSON for machines."),
    "gateway_metrics": Wording(
        "Log", "Show /metrics also by the names that Kubernetes' inference gateways look for."
    ),
    "otlp_endpoint": Wording(
        "Log", "Send spans there, as OTLP over HTTP; needs the extra: tercet[otel].", "URL"
    ),
}


def flag_of(name: str) -> str:
    """The flag of a field, "--max-body-bytes"."""
    return f"--{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    """The variable of the environment that a field is read from, "TERCET_MAX_BODY_BYTES"."""
    return f"{Settings.model_config.get('env_prefix', '')}{name}".upper()


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one parameter for each field of the settings: flags, and None where not given.

    `function` takes them as keyword arguments.
    """
    parameters = [_argument("model", _MODELS)]
    for name, field in _in_panels():
        parameters.append(_flag(name, field))

    def command(**given: Any) -> Any:
        return function(**given)

    signature = inspect.Signature(parameters)
    command.__signature__ = signature  # type: ignore[attr-defined] # typer reads both of these
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    return command


def _in_panels() -> list[tuple[str, FieldInfo]]:
    """The fields in the order of `WORDINGS`, then those it does not know."""
    fields = {n: f for n, f in Settings.model_fields.items() if n not in ARGUMENTS}
    known = [name for name in WORDINGS if name in fields]
    return [(name, fields[name]) for name in [*known, *(n for n in fields if n not in WORDINGS)]]


def _argument(name: str, text: str) -> inspect.Parameter:
    text += f" Unset: the small model inside this package. \\[env: {variable_of(name)}]"
    annotation = Annotated[list[str] | None, typer.Argument(help=text, metavar="MODEL")]
    return _parameter(name, annotation)


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    wording = WORDINGS.get(name, Wording("Further", field.description or ""))
    flag, kind = flag_of(name), _kind(field.annotation)
    value: Any = str | None
    metavar: str | None = wording.metavar or _metavar(kind)
    if kind is bool:
        flag, value, metavar = f"{flag}/--no-{flag[2:]}", bool | None, None
    elif get_origin(kind) is tuple:
        value = list[str] | None
    option = typer.Option(
        flag,
        help=f"{wording.text} {_origin(name, field)}".strip(),
        metavar=metavar,
        rich_help_panel=wording.panel,
        show_default=False,
    )
    return _parameter(name, Annotated[value, option])


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _origin(name: str, field: FieldInfo) -> str:
    """Where else the value may come from, and what it is otherwise."""
    default = field.default
    is_unset = default is None or default in {(), ""}
    shown = "" if is_unset else f"; default: {_shown(default)}"
    return f"\\[env: {variable_of(name)}{shown}]"  # the backslash: a bracket, not markup


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value.human_readable().replace(".0", "") if isinstance(value, ByteSize) else f"{value}"


def _kind(annotation: Any) -> Any:
    """A field's type without what pydantic says about it and without None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return _kind(next(kind for kind in get_args(annotation) if kind is not type(None)))
    return annotation


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    names = {int: "N", float: "SECONDS", ByteSize: "SIZE", SecretStr: "KEY", bool: ""}
    return names.get(kind, "TEXT")
