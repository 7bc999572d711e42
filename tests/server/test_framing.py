"""What a stream tells is what its clients read, whatever text is in it and however it is cut."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from tercet_server.dialects import dialect_of
from tercet_server.errors import InvalidRequest, reply_to
from tercet_server.protocol.common import ResponseModel

# Everything that some reader takes for the end of a line, and what is longer than a byte.
TEXTS = st.lists(st.text('ab:\n\r\x0b\x0c\x1c\x1e\x85\u2028\u2029"\\\0é🐕 '), max_size=5)
CUTS = st.lists(st.integers(0, 2000), max_size=12)
EVENT_PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]


class Told(ResponseModel):
    type: str
    text: str


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[a:b] for a, b in itertools.pairwise(places))


def events_of(data: bytes) -> list[tuple[str, str]]:
    """The names and data of a stream's events, as the HTML standard reads them."""
    events = []
    name, lines = "", []
    for line in re.split("\r\n|\n|\r", data.decode()):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if lines:
                events.append((name, "\n".join(lines)))
            name, lines = "", []
        elif field == "event":
            name = value
        elif field == "data":
            lines.append(value)
        else:
            assert not field, f"{field} is no field of an event"
    assert not lines, "the last event is not complete"
    return events


def stream_of(path: str, texts: list[str], error: str | None) -> bytes:
    dialect = dialect_of(path)
    data = b"".join(dialect.event(Told(type=f"told.{i}", text=t)) for i, t in enumerate(texts))
    if error is None:
        return data + dialect.end
    return data + dialect.error_event(reply_to(InvalidRequest(error)), len(texts))


@pytest.mark.parametrize("path", EVENT_PATHS)
@given(texts=TEXTS, error=st.none() | TEXTS.map("".join))
def test_events_are_told_apart_whatever_is_in_them(
    path: str, texts: list[str], error: str | None
) -> None:
    events = events_of(stream_of(path, texts, error))

    told = [json.loads(data) for _, data in events if data != "[DONE]"]
    assert [one["text"] for one in told[: len(texts)]] == texts
    is_named = path != "/v1/chat/completions"
    names = [f"told.{index}" if is_named else "" for index in range(len(texts))]
    assert [name for name, _ in events[: len(texts)]] == names
    if error is not None:
        assert _message_of(told[-1]) == error
    assert (events[-1:] == [("", "[DONE]")]) == (error is None and not is_named)


@given(texts=TEXTS, cuts=CUTS)
def test_openais_client_reads_a_stream_however_it_arrives(
    texts: list[str], cuts: list[int]
) -> None:
    data = stream_of("/v1/chat/completions", texts, None)

    read = [event.data for event in SSEDecoder().iter_bytes(pieces(data, cuts))]
    assert [json.loads(one)["text"] for one in read[:-1]] == texts
    assert read[-1] == "[DONE]"


@given(texts=TEXTS, error=st.none() | st.text(max_size=9))
def test_ollamas_clients_read_a_line_for_each_piece(texts: list[str], error: str | None) -> None:
    lines = stream_of("/api/chat", texts, error).split(b"\n")

    assert lines.pop() == b""
    told = [json.loads(line) for line in lines]
    assert [one["text"] for one in told[: len(texts)]] == texts
    assert told[len(texts) :] == ([] if error is None else [{"error": error}])


def _message_of(event: dict[str, Any]) -> str:
    message = event.get("message") or event.get("error", {}).get("message", "")
    assert isinstance(message, str)
    return message
