"""The models that are served, and which of them a request means. Made once, when all are loaded."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tercet_engine import AsyncEngine, EngineDraining
from tercet_server.errors import UnknownModel
from tercet_server.model_names import Names, names_of
from tercet_server.settings import Settings


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: what computes, and what it may be called."""

    engine: AsyncEngine
    names: Names

    @property
    def name(self) -> str:
        """The one that it goes by."""
        return self.names.listed[0]


@dataclass(frozen=True, slots=True)
class ServedModels:
    """All of them, at least one. Requests that name no model get the first."""

    models: tuple[ServedModel, ...]

    @classmethod
    def of(cls, settings: Settings, engines: Sequence[AsyncEngine]) -> Self:
        """Name engines, in the order of the settings' models.

        Raises:
            InvalidSettings: it would not be clear which model a name means.
        """
        names = names_of(settings, [engine.info.model_id for engine in engines])
        return cls(tuple(map(ServedModel, engines, names)))

    @property
    def listed(self) -> dict[str, ServedModel]:
        """By every name that clients are told of."""
        return {name: model for model in self for name in model.names.listed}

    def pick(self, name: str | None) -> ServedModel:
        """The model that a request means.

        Raises:
            UnknownModel: it is not served here.
        """
        if name is None:
            return self.models[0]
        for model in self:
            if name in model.names:
                return model
        raise UnknownModel(name, tuple(self.listed))

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self.models)

    def __contains__(self, name: str) -> bool:
        """Whether a model answers to a name."""
        return any(name in model.names for model in self)

    def check_accepting(self) -> None:
        """Raise `EngineDead` if one of the models is, `EngineDraining` if one takes no more."""
        draining = None
        for model in self:
            try:
                model.engine.check_accepting()
            except EngineDraining as error:
                draining = error
        if draining is not None:
            raise draining

    async def wait_until_one_is_dead(self) -> None:
        """Return once an engine has ended by an error."""
        waiting = [asyncio.ensure_future(model.engine.wait_until_dead()) for model in self]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def drain(self, deadline_seconds: float) -> None:
        """Drain all engines at the same time."""
        await asyncio.gather(*(model.engine.drain(deadline_seconds) for model in self))

    def close(self) -> None:
        """End all engines."""
        for model in self:
            model.engine.close()
