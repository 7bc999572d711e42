"""What was said before: the responses that a request continues, the items that it refers to."""

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tercet_server.errors import InvalidRequest, UnknownPrevious
from tercet_server.protocol.responses.items import (
    STORED_ITEMS,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    ItemReference,
    MessageItem,
)
from tercet_server.services.responses.writer import ITEM_ID_DIGITS, item_id
from tercet_server.services.store import MAX_CHAIN_BYTES, ResponseStore, StoredResponse
from tercet_server.words import shown

_ITEM_ID: Final = re.compile(rf"[a-z]+_([0-9a-f]{{32}})[0-9a-f]{{{ITEM_ID_DIGITS},8}}")
NO_STORE: Final = "this server keeps no responses (--no-store)"
NOT_STORED: Final = "it was not stored, has been deleted, or has made room for others"
MAX_REFERRED: Final = 256
"""Responses whose items one request may refer to."""

Fields = dict[str, Any]


class History:
    """What one client has said and heard.

    Args:
        store: where it is kept; None: nowhere.
        owner: whose it is.
    """

    def __init__(self, store: ResponseStore | None, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def before(self, response_id: str) -> list[Item]:
        """All items up to a response's last.

        Raises:
            UnknownPrevious: it, or what it continues, is not there.
            InvalidRequest: it is too long.
            StoreUnavailable: it cannot be read.
        """
        if self._store is None:
            raise UnknownPrevious(response_id, NO_STORE)
        chain, missing = await self._store.chain(self._owner, response_id)
        if missing is not None:
            raise UnknownPrevious(missing, NOT_STORED)
        return await asyncio.to_thread(_items_of, chain)

    async def resolve(self, items: Iterable[Item]) -> list[Item]:
        """The items, and those that some of them stand for.

        Raises:
            InvalidRequest: one is not stored.
            StoreUnavailable: it cannot be read.
        """
        known: dict[str, Item] = {}
        looked_up: dict[str, int] = {}
        resolved: list[Item] = []
        for index, item in enumerate(items):
            if isinstance(item, ItemReference):
                if item.id not in known:
                    known |= await self._around(item.id, looked_up)
                if item.id not in known:
                    words = f"input[{index}] refers to the item {shown(item.id)}: {NOT_STORED}"
                    raise InvalidRequest(words, f"input[{index}]")
                item = known[item.id]  # noqa: PLW2901 -- which the reference stands for
            resolved.append(item)
        return resolved

    async def _around(self, wanted: str, looked_up: dict[str, int]) -> dict[str, Item]:
        """All items of the response that an item's id belongs to, by their ids."""
        match = _ITEM_ID.fullmatch(wanted)
        if self._store is None or match is None or match[1] in looked_up:
            return {}
        found = await self._store.get(self._owner, f"resp_{match[1]}")
        looked_up[match[1]] = found.size if found else 0
        if len(looked_up) > MAX_REFERRED or sum(looked_up.values()) > MAX_CHAIN_BYTES:
            words = f"refers to items of too many responses; at most {MAX_REFERRED} are looked up"
            raise InvalidRequest(f"input {words}", "input")
        items = await asyncio.to_thread(_items_of, [found]) if found else []
        return {item.id: item for item in items if item.id}


def stored_form(items: Sequence[Item], response_id: str) -> str:
    """A request's items as they are kept and listed: each with an id, texts as parts."""
    return json.dumps(
        [_listed(item, response_id, number) for number, item in enumerate(items)],
        ensure_ascii=True,
    )


def _listed(item: Item, response_id: str, number: int) -> Fields:
    fields: Fields = item.model_dump(mode="json", exclude_none=True)
    match item:
        case MessageItem(role=role):
            prefix = "msg"
            fields |= {"type": "message", "content": _parts(role, item)}
        case FunctionCallItem():
            prefix = "fc"
        case FunctionCallOutputItem():
            prefix = "fco"
        case _:
            prefix = "rs"
            fields.setdefault("summary", [])
    own = item_id(prefix, response_id, number)
    return {**fields, "id": item.id or own, "status": item_status(item)}


def item_status(item: Item) -> str:
    """What a client sends is whole, unless it says otherwise."""
    return "completed" if isinstance(item, ItemReference) else item.status or "completed"


def _parts(role: str, item: MessageItem) -> list[Fields]:
    kind = "output_text" if role == "assistant" else "input_text"
    extras: Fields = {"annotations": []} if role == "assistant" else {}
    content = item.content
    texts = [content] if isinstance(content, str) else [part.text for part in content]
    return [{"type": kind, "text": text, **extras} for text in texts]


def _items_of(chain: Sequence[StoredResponse]) -> list[Item]:
    found: list[Item] = []
    for stored in chain:
        response = json.loads(stored.response)
        if response["status"] in {"queued", "in_progress"}:
            raise UnknownPrevious(stored.id, "it is still in progress")
        found += STORED_ITEMS.validate_json(stored.input)
        found += STORED_ITEMS.validate_json(json.dumps(response["output"]))
    return found
