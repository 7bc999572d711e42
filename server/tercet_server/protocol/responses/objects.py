"""A response as clients get it, and the items of its output."""

from typing import Any, Literal

from tercet_server.protocol.base import ResponseModel

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class TopTokenLogprob(ResponseModel):
    """A token and how likely the model found it."""

    token: str
    logprob: float
    bytes: list[int]


class OutputLogprob(TopTokenLogprob):
    """A token of the text, and what was likeliest in its place."""

    top_logprobs: list[TopTokenLogprob]


class OutputText(ResponseModel):
    """Text of a message."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[OutputLogprob]


class ReasoningText(ResponseModel):
    """Text of thoughts."""

    type: Literal["reasoning_text"]
    text: str


class OutputMessage(ResponseModel):
    """What the assistant says."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class OutputFunctionCall(ResponseModel):
    """A function that is to be called."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class OutputReasoning(ResponseModel):
    """What the model has thought."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[Any]
    content: list[ReasoningText]


OutputItem = OutputMessage | OutputFunctionCall | OutputReasoning
ContentPart = OutputText | ReasoningText


class InputTokensDetails(ResponseModel):
    """Where the input's tokens came from. Nothing is charged for what is kept for later."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(ResponseModel):
    """What the output's tokens were for."""

    reasoning_tokens: int


class ResponseUsage(ResponseModel):
    """Tokens read and written."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseFailure(ResponseModel):
    """Why there is no answer."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(ResponseModel):
    """Why the answer is cut."""

    reason: Literal["max_output_tokens"]


class ResponseObject(ResponseModel):
    """A response. What the client asked for is told back."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Status
    completed_at: int | None
    background: bool
    error: ResponseFailure | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None


class DeletedResponse(ResponseModel):
    """A response that is no more."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ItemList(ResponseModel):
    """A page of items."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
