"""A response before there is any answer: what was asked for, told back."""

import time
from typing import Any

from tercet_engine import GenerationDefaults
from tercet_server.protocol.responses.objects import ResponseObject
from tercet_server.protocol.responses.request import CreateResponse


def response_head(
    request: CreateResponse,
    response_id: str,
    model: str,
    defaults: GenerationDefaults,
    *,
    is_stored: bool,
) -> ResponseObject:
    """The response as it begins.

    Args:
        request: whose fields are told back.
        response_id: under which it may be found.
        model: that answers.
        defaults: of the model, where the request leaves sampling open.
        is_stored: whether it may be found at all.
    """
    reasoning = request.reasoning
    return ResponseObject(
        id=response_id,
        object="response",
        created_at=int(time.time()),
        status="queued" if request.background else "in_progress",
        completed_at=None,
        background=bool(request.background),
        error=None,
        incomplete_details=None,
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        metadata=request.metadata or {},
        model=model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        reasoning={"effort": reasoning.effort if reasoning else None, "summary": None},
        safety_identifier=request.safety_identifier,
        service_tier="default",
        store=is_stored,
        temperature=_first(request.temperature, defaults.temperature, 1.0),
        text=_text(request),
        tool_choice=_tool_choice(request),
        tools=[_tool(tool.model_dump()) for tool in request.tools or ()],
        top_logprobs=request.top_logprobs or 0,
        top_p=_first(request.top_p, defaults.top_p, 1.0),
        truncation=request.truncation or "disabled",
        usage=None,
        user=request.user,
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _text(request: CreateResponse) -> dict[str, Any]:
    config = request.text
    form = config.format if config else None
    return {
        "format": form.model_dump(by_alias=True, exclude_unset=True) if form else {"type": "text"},
        "verbosity": (config.verbosity if config else None) or "medium",
    }


def _tool_choice(request: CreateResponse) -> Any:
    choice = request.tool_choice
    if choice is None:
        return "auto"
    return choice if isinstance(choice, str) else choice.model_dump()


def _tool(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "strict": fields["strict"] is not False}
