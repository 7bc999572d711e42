"""What every model of the protocol is made from."""

from itertools import islice
from typing import Final, NoReturn, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from tercet_server.protocol.unsupported import HARMLESS_FIELDS, find_unsupported

MAX_NAME_CHARS: Final = 256
MAX_IGNORED_FIELDS: Final = 32


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

    @property
    def ignored_fields(self) -> list[str]:
        """Names that the client sent and this server does not know, where they are kept."""
        names = (name for name in self.model_extra or {} if name not in HARMLESS_FIELDS)
        return list(islice(names, MAX_IGNORED_FIELDS))


class OpenRequest(RequestModel):
    """A body whose unknown fields are kept by name, to be logged; impossible ones are refused."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _refuse_what_is_not_there(self) -> Self:
        if found := find_unsupported(self.model_extra or {}):
            refuse(*found)
        return self


class ResponseModel(BaseModel):
    """The base of everything the server answers. Only what was set is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line of JSON; a field that was set to None is null, one never set is left out."""
        return self.model_dump_json(exclude_unset=True)
