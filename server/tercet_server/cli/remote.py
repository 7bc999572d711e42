"""Answers from a server that speaks OpenAI's HTTP API."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from tercet_server.cli.conversation import ChatError, Message, Piece
from tercet_server.cli.failure import CommandError

EXAMPLE_URL: Final = "http://127.0.0.1:8000/v1"
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 600.0
"""A server may compute on a long prompt for so long before it says anything."""


class RemoteAnswerer:
    """A model behind a URL.

    Args:
        client: its base URL ends in /v1.
        model: the model's id.
        options: fields of the request beside model, messages and stream.
    """

    def __init__(self, client: httpx.Client, model: str, options: Mapping[str, Any]) -> None:
        self._client = client
        self._options = options
        self.name = model

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str | None,
        model: str | None,
        options: Mapping[str, Any],
        *,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> Self:
        """Look whether a server answers, and which model it has.

        Raises:
            NoServerError: nobody answers at the URL.
            CommandError: what answers refuses, or is no such server.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            client = httpx.Client(
                base_url=base_url(url),
                headers=headers,
                timeout=httpx.Timeout(READ_SECONDS, connect=connect_seconds),
                trust_env=not _is_loopback(url),  # a proxy cannot reach this host's own address
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            message = f"{url} is no URL that can be asked ({error}); give one like {EXAMPLE_URL}"
            raise CommandError(message) from error
        try:
            reply = client.get("models")
            if reply.is_error:
                message = _refusal(reply)
                raise CommandError(message)
            ids = [str(entry["id"]) for entry in reply.json()["data"]]
            if model is not None and model not in ids and _understands(client, model):
                ids.append(model)
        except httpx.HTTPError as error:
            raise NoServerError(url, error) from error
        except (ValueError, KeyError, TypeError) as error:
            message = (
                f"what answers at {url} does not speak OpenAI's API; give a URL that ends in /v1"
            )
            raise CommandError(message) from error
        if not ids or (model is not None and model not in ids):
            message = (
                f"the server at {url} has no model {model or ''}; it has {', '.join(ids) or 'none'}"
            )
            raise CommandError(message)
        return cls(client, model or ids[0], options)

    def answer(self, messages: Sequence[Message]) -> Iterator[Piece]:
        """Continue a conversation. See `Answerer`."""
        body = {
            **self._options,
            "model": self.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            with self._client.stream("POST", "chat/completions", json=body) as reply:
                if reply.is_error:
                    reply.read()
                    raise ChatError(_refusal(reply))
                num_tokens = 0
                for line in reply.iter_lines():
                    if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
                        for piece in _pieces(data, num_tokens):
                            num_tokens += piece.num_tokens
                            yield piece
        except httpx.HTTPError as error:
            message = f"the connection to the server broke ({_reason(error)})"
            raise ChatError(message) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _understands(client: httpx.Client, model: str) -> bool:
    """Whether a server knows a name that it does not list."""
    reply = client.get(f"models/{quote(model)}")
    return reply.is_success and reply.json().get("id") == model


class NoServerError(CommandError):
    """Nobody answers at a URL."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(
            f"no server answers at {url} ({_reason(error)}); start one with `tercet serve`, or "
            "give a model to talk to without a server"
        )


def base_url(url: str) -> str:
    """The URL with the path that OpenAI's clients add nothing to: /v1 where there is none."""
    parsed = httpx.URL(url)
    return str(parsed.copy_with(path="/v1")) if parsed.path in {"", "/"} else url


def _pieces(data: str, num_counted: int) -> Iterator[Piece]:
    """What one event brings.

    A chunk with text is counted as one token, until the usage at the end tells their number.
    """
    try:
        chunk = json.loads(data)
        if "error" in chunk:
            raise ChatError(_sentence(chunk["error"]))
        for choice in chunk["choices"]:
            text = choice["delta"].get("content") or ""
            yield Piece(text, 1 if text else 0, choice.get("finish_reason"))
        if usage := chunk.get("usage"):
            yield Piece("", max(0, usage["completion_tokens"] - num_counted))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = "the server sent what is no part of an answer"
        raise ChatError(message) from error


def _refusal(reply: httpx.Response) -> str:
    try:
        said = _sentence(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = f"status {reply.status_code}"
    advice = {
        401: "; give the key with --api-key or TERCET_API_KEY",
        404: "; the URL should end in /v1",
    }
    return f"the server refuses: {said}{advice.get(reply.status_code, '')}"


def _sentence(error: Any) -> str:
    return str(error["message"] if isinstance(error, dict) else error).rstrip(".")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
