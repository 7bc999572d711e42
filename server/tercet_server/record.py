"""What is noted of one request while it is served, to become its one line in the log.

Numbers and names only: nothing that a client wrote to the model, nothing that the model answered.
"""

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class RequestRecord:
    """Filled in by whoever learns a value; None is not written.

    Attributes:
        request_id: as in the answer's x-request-id.
        started_seconds: on the monotonic clock.
        error_code: of the error that ended the request, also one in the midst of a stream.
        seed: the one that was used, drawn or given, so that the request can be repeated.
    """

    request_id: str
    started_seconds: float
    error_code: str | None = None
    model: str | None = None
    stream: bool | None = None
    num_choices: int | None = None
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    num_generated_tokens: int | None = None
    seconds_to_first_token: float | None = None
    tokens_per_second: float | None = None
    finish_reasons: list[str] = field(default_factory=list)
    seed: int | None = None

    def fields(self) -> dict[str, object]:
        """What the log line shows."""
        hidden = {"started_seconds"}
        values = asdict(self).items()
        return {
            name: value for name, value in values if name not in hidden and value not in (None, [])
        }
