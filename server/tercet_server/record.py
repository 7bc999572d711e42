"""What is noted of one request while it is served, to become its one line in the log.

Numbers and names only: nothing that a client wrote to the model, nothing that the model answered.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, fields
from typing import Any, Final

_NOT_LOGGED: Final = frozenset({"started_seconds", "min_priority", "charge", "until_started"})


@dataclass(slots=True)
class RequestRecord:
    """Filled in by whoever learns a value; None is not written.

    Attributes:
        request_id: as in the answer's x-request-id.
        started_seconds: on the monotonic clock.
        error_code: of the error that ended the request, also one in the midst of a stream.
        seed: the one that was used, drawn or given, so that the request can be repeated.
        key: the name of the client's key, where keys have names.
        client_left: whether the client hung up before the end.
        min_priority: the most urgent priority that the client may ask for; None: any.
        charge: is told how many tokens there were, when it is over; None: nobody counts them.
        until_started: waits until the request's turn has come; None: nobody need wait for that.
    """

    request_id: str
    started_seconds: float
    error_code: str | None = None
    key: str | None = None
    model: str | None = None
    stream: bool | None = None
    num_choices: int | None = None
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    num_generated_tokens: int | None = None
    queue_seconds: float | None = None
    seconds_to_first_token: float | None = None
    tokens_per_second: float | None = None
    finish_reasons: list[str] = field(default_factory=list)
    seed: int | None = None
    client_left: bool | None = None
    trace_id: str | None = None
    min_priority: int | None = None
    charge: Callable[[int], None] | None = None
    until_started: Callable[[], Coroutine[Any, Any, None]] | None = None

    def in_background(self) -> "RequestRecord":
        """A record of what goes on when this request is answered."""
        return RequestRecord(
            self.request_id,
            self.started_seconds,
            key=self.key,
            min_priority=self.min_priority,
            charge=self.charge,
        )

    def settle(self) -> None:
        """Tell who counts tokens how many there were."""
        if self.charge:
            self.charge((self.num_prompt_tokens or 0) + (self.num_generated_tokens or 0))

    def fields(self) -> dict[str, object]:
        """What the log line shows."""
        names = [field.name for field in fields(self) if field.name not in _NOT_LOGGED]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, [])}
