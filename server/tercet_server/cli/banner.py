"""What `tercet serve` says once it serves: the models, what they use, and how to ask them.

Plain lines without a frame, so that the example can be copied and pasted.
"""

import ipaddress
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import huggingface_hub

from tercet_engine import EngineError
from tercet_engine.hub import find_model
from tercet_server.cli.units import size
from tercet_server.cli.version import version_line
from tercet_server.model_choice import Choice
from tercet_server.model_names import choices_of
from tercet_server.served_models import ServedModel, ServedModels
from tercet_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Banner:
    """A server that has just begun to serve.

    Attributes:
        settings: of the server.
        url: how a client on this host calls it, without a path.
        models: what it serves.
    """

    settings: Settings
    url: str
    models: ServedModels

    def text(self) -> str:
        """The banner, some lines with an empty one before and after."""
        return "\n".join(["", *self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        served = ", ".join(model.name for model in self.models)
        yield f"{version_line()} serves {served} at {self.url}/v1"
        for choice, model in zip(choices_of(self.settings), self.models, strict=True):
            yield ""
            yield from self._about(choice, model)
        if not self.settings.needs_key and not _is_loopback(self.settings.host):
            yield "  open          to all who reach this address; --api-key asks for a key"
        yield ""
        yield "Try it:"
        yield ""
        yield f"  {self._curl()}"

    def _about(self, choice: Choice, model: ServedModel) -> Iterator[str]:
        info = model.engine.info
        if len(self.models.models) > 1:
            yield f"  {', '.join(model.names.listed)}"
        if architecture := _architecture(choice.model):
            yield f"  architecture  {architecture}"
        yield f"  context       {info.max_context_tokens} tokens"
        threads = _threads(info.num_threads)
        yield f"  kernels       {info.kernels}, packing {info.packing}, {threads}"
        yield (
            f"  memory        {size(info.weight_bytes + info.kv_cache_bytes)}: weights "
            f"{size(info.weight_bytes)}, keys and values up to {size(info.kv_cache_bytes)}"
        )

    def _curl(self) -> str:
        """A command for a shell. A key is named, never shown."""
        question = "Tell me a story about a dog named Max."
        first = self.models.pick(None)
        body: dict[str, Any] = {"model": first.name}
        if first.engine.chat_template is None:
            path = "completions"
            body |= {"prompt": question, "max_tokens": 64}
        else:
            path = "chat/completions"
            body |= {"messages": [{"role": "user", "content": question}]}
        key = '-H "Authorization: Bearer $TERCET_API_KEY" ' if self.settings.needs_key else ""
        return (
            f"curl {self.url}/v1/{path} {key}-H 'Content-Type: application/json' "
            f"-d {shlex.quote(json.dumps(body))}"
        )


def _architecture(model: str | None) -> str | None:
    """The name in the model's own config, from the files that have just been loaded."""
    try:
        config = find_model(model, _in_cache).path / "config.json"
        names = json.loads(config.read_text(encoding="utf-8")).get("architectures")
        return str(names[0])
    except (EngineError, OSError, ValueError, TypeError, LookupError):
        return None


def _in_cache(name: str, **options: Any) -> str:
    """What was fetched a moment ago, without asking the network again."""
    return str(huggingface_hub.snapshot_download(name, local_files_only=True, **options))


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
