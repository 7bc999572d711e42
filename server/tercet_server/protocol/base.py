"""What every model of the protocol is made from."""

from typing import Final, NoReturn

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

MAX_NAME_CHARS: Final = 256


def refuse(param: str, words: str, **context: int) -> NoReturn:
    """Refuse a request from a validator of the whole. `words` follow the name of `param`."""
    raise PydanticCustomError("refused", words, {"param": param, **context})


class RequestModel(BaseModel):
    """The base of everything a client sends."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class ResponseModel(BaseModel):
    """The base of everything the server answers. Only what was set is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line of JSON; a field that was set to None is null, one never set is left out."""
        return self.model_dump_json(exclude_unset=True)
