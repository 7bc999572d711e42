"""What translators of requests share."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tercet_server.errors import invalid_request
from tercet_server.protocol.translated import TranslatedRequest


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Say as a fault of the request what the protocol of chat does not take of its translation.

    Raises:
        InvalidRequest: there is such a fault.
    """
    try:
        yield
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False)) from None


def translated(fields: Mapping[str, Any]) -> TranslatedRequest:
    """A request of these fields. Those that are None count as left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return TranslatedRequest(**given)
