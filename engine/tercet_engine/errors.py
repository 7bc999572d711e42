"""Every way in which the engine refuses or fails, as types.

EngineError
├── RequestError              the request cannot be served as it is; `param` names its field
│   ├── GrammarFailed         in the midst of an answer its grammar knew no further
│   ├── InvalidGrammar
│   ├── InvalidSamplingParams
│   ├── InvalidToken
│   ├── PromptEmpty
│   ├── PromptTooLong
│   ├── TemplateError
│   └── TooManyChoices
├── EngineOverloaded          the waiting line is full; `retry_after_seconds` says when to come back
│   └── WaitedTooLong         or would be, or was, too long a wait
├── EngineDraining            the engine is shutting down
├── EngineDead                the engine's thread has ended
└── LoadError                 the engine cannot be started
    ├── CheckpointError       a file is damaged or does not hold what it should
    ├── FetchFailed           a model that is elsewhere could not be brought here
    ├── InvalidConfig
    ├── KernelUnavailable
    ├── ModelNotFound
    ├── OutOfMemory
    ├── SelfTestFailed
    └── UnsupportedModel      a sound file of a kind this engine does not know

Each message states the limit, the value given, and where there is one the way out. No message
holds any of a prompt's text.
"""

from dataclasses import dataclass
from typing import Final

_MAX_CHARS: Final = 1500
_MAX_END_CHARS: Final = 500


class EngineError(Exception):
    """The root of everything the engine raises on purpose."""

    @property
    def message(self) -> str:
        """The sentence to show to whoever asked."""
        return str(self)


class RequestError(EngineError):
    """The request is at fault. `param` names the field, in the words of the request."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class GrammarFailed(RequestError):
    """In the midst of an answer its grammar became too complex, or came to a dead end."""

    def __init__(self) -> None:
        super().__init__(
            "the grammar of this request became too complex while the answer was generated, or "
            "allowed nothing more, so the answer was ended; simplify the schema or grammar"
        )


@dataclass(slots=True)
class Refusal:
    """Why a grammar is refused.

    Attributes:
        reason: in words, without the field's name.
        is_lasting: whether it is the grammar's fault alone, and so will be refused again.
        place: where in a schema it is to blame, once somebody has looked: a path, maybe empty.
    """

    reason: str
    is_lasting: bool = True
    place: str | None = None


class InvalidGrammar(RequestError):
    """A schema or grammar that is wrong, or that cannot be enforced. Nothing was generated.

    Attributes:
        refusal: what there is to know of it, shared by all that are refused for it.
    """

    def __init__(self, param: str, why: str | Refusal) -> None:
        self.refusal = Refusal(why) if isinstance(why, str) else why
        super().__init__(f"{param} {self.refusal.reason}", param)


class InvalidSamplingParams(RequestError):
    """A sampling parameter lies outside its range."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param} {message}", param)


class InvalidToken(RequestError):
    """A token id that the model does not have."""

    def __init__(self, token: int, vocab_size: int) -> None:
        super().__init__(
            f"token id {token} is not in this model's vocabulary; ids are 0 to {vocab_size - 1}",
            "prompt",
        )


class PromptEmpty(RequestError):
    """A prompt of no tokens."""

    def __init__(self) -> None:
        super().__init__("the prompt has no tokens; give at least one", "prompt")


class PromptTooLong(RequestError):
    """The prompt, or the prompt and the answer asked for, exceed the context."""

    def __init__(self, num_prompt_tokens: int, max_tokens: int | None, max_context: int) -> None:
        if max_tokens == 0:
            message = (
                f"the prompt has {num_prompt_tokens} tokens; this model's context is {max_context} "
                "tokens. Shorten the prompt"
            )
            param = "prompt"
        elif max_tokens is None or num_prompt_tokens >= max_context:
            message = (
                f"the prompt has {num_prompt_tokens} tokens and at least one must be generated; "
                f"this model's context is {max_context} tokens. Shorten the prompt"
            )
            param = "prompt"
        else:
            message = (
                f"the prompt has {num_prompt_tokens} tokens and max_tokens is {max_tokens}, "
                f"{num_prompt_tokens + max_tokens} together; this model's context is {max_context} "
                f"tokens. Shorten the prompt or ask for at most {max_context - num_prompt_tokens}"
            )
            param = "max_tokens"
        super().__init__(message, param)
        self.num_prompt_tokens = num_prompt_tokens
        self.max_context = max_context


class TemplateError(RequestError):
    """The model's chat template refuses these messages, or fails on them."""

    def __init__(self, message: str, param: str = "messages") -> None:
        super().__init__(message, param)


class TooManyChoices(RequestError):
    """More completions in one request than the engine could ever hold."""

    def __init__(self, num_choices: int, max_choices: int) -> None:
        super().__init__(
            f"the request asks for {num_choices} completions; at most {max_choices} fit at once",
            "n",
        )


class EngineOverloaded(EngineError):
    """The waiting line is full."""

    def __init__(self, what: str, limit: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"the server is busy: at most {limit} {what} may wait. "
            f"Try again in {retry_after_seconds:.0f} s"
        )
        self.retry_after_seconds = retry_after_seconds


class WaitedTooLong(EngineOverloaded):
    """A request has waited as long as it may, or would have to. Nothing of it was computed."""

    def __init__(self, max_seconds: float, retry_after_seconds: float) -> None:
        EngineError.__init__(
            self,
            f"the server is busy: a request may wait {max_seconds:g} s for its turn, and this one "
            f"would have to wait longer. Try again in {retry_after_seconds:.0f} s",
        )
        self.retry_after_seconds = retry_after_seconds


class EngineDraining(EngineError):
    """The engine is shutting down."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; send the request to another, or later")


class EngineDead(EngineError):
    """The engine's thread has ended; nothing more will be computed."""

    def __init__(self) -> None:
        super().__init__("the engine has stopped and cannot serve requests; restart the server")


class LoadError(EngineError):
    """The engine cannot be started.

    The message may quote a file, which may hold anything: it is shortened, and what a terminal
    would obey, or could not show, is spelled out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_readable(message))


class CheckpointError(LoadError):
    """A file of the checkpoint is damaged, or does not hold what it should."""


class FetchFailed(LoadError):
    """A model that is elsewhere could not be brought here: the network, the disk, or its files."""


class InvalidConfig(LoadError):
    """A setting of the engine lies outside its range, or two contradict each other."""


class KernelUnavailable(LoadError):
    """A kernel set was asked for that this CPU cannot run, or that this build lacks."""


class ModelNotFound(LoadError):
    """No model is found under the given name or folder."""


class OutOfMemory(LoadError):
    """The model and its caches do not fit the memory that this process may use."""


class SelfTestFailed(LoadError):
    """The chosen kernels do not agree with the reference on this machine."""


class UnsupportedModel(LoadError):
    """A model of a kind that this engine does not know, and will not guess at."""


def _readable(message: str) -> str:
    """A message that fits a screen and does nothing to it."""
    if len(message) > _MAX_CHARS:
        num_left_out = len(message) - _MAX_CHARS
        begin, end = message[: _MAX_CHARS - _MAX_END_CHARS], message[-_MAX_END_CHARS:]
        message = f"{begin} [{num_left_out} characters are left out] {end}"
    if message.isprintable():
        return message
    return "".join(
        char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in message
    )
