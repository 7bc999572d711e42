"""Which models are to be served, and under which names: from the words of the settings to a table.

A model goes by the name before the "=" in NAME=MODEL, else by its own id: a folder's name, or the
name on the Hub. That name and further aliases are listed. A model that was given a name answers to
its own id too, though that is not listed, unless it would be unclear who is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tercet_server.model_choice import Choice
from tercet_server.settings import InvalidSettings, Settings


@dataclass(frozen=True, slots=True)
class Names:
    """Under what one model may be asked for.

    Attributes:
        listed: the first is the one that it goes by.
        unlisted: are understood too.
    """

    listed: tuple[str, ...]
    unlisted: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        """Whether the model answers to a name."""
        return name in self.listed or name in self.unlisted


def choices_of(settings: Settings) -> list[Choice]:
    """What the settings ask for; the first is the one that requests without a model get."""
    return list(map(Choice.of, settings.model)) or [Choice()]


def names_of(settings: Settings, model_ids: Sequence[str]) -> list[Names]:
    """The names of each model.

    Args:
        settings: say how models are to be called.
        model_ids: their own ids, in the order of `choices_of`.

    Raises:
        InvalidSettings: two models have one name, or an alias is of no model.
    """
    choices = choices_of(settings)
    own: dict[str, int] = {}
    if settings.served_model_name:
        listed = _only_names(settings, choices)
    else:
        listed = _main_names(choices, model_ids)
        own = {
            model_id: index
            for index, model_id in enumerate(model_ids)
            if model_id not in listed and model_ids.count(model_id) == 1
        }
    for pair in settings.alias:
        name, _, meant = pair.partition("=")
        index = listed.get(meant, own.get(meant))
        if index is None:
            message = f"alias {pair}: no model is called {meant}; there are {', '.join(listed)}"
            raise InvalidSettings(message)
        if listed.setdefault(name, index) != index:
            message = f"alias {pair}: another model is called {name} already"
            raise InvalidSettings(message)
    return [
        Names(
            tuple(name for name, owner in listed.items() if owner == index),
            tuple(name for name, owner in own.items() if owner == index and name not in listed),
        )
        for index in range(len(model_ids))
    ]


def _only_names(settings: Settings, choices: Sequence[Choice]) -> dict[str, int]:
    """Names that replace those of the one model there is."""
    if len(choices) > 1 or choices[0].name:
        message = (
            "--served-model-name names the one model that is served by its id; write NAME=MODEL "
            "and --alias NAME=NAME instead"
        )
        raise InvalidSettings(message)
    return dict.fromkeys(settings.served_model_name, 0)


def _main_names(choices: Sequence[Choice], model_ids: Sequence[str]) -> dict[str, int]:
    """The name that each model goes by."""
    listed: dict[str, int] = {}
    for index, (choice, model_id) in enumerate(zip(choices, model_ids, strict=True)):
        name = choice.name or model_id
        if listed.setdefault(name, index) != index:
            message = (
                f"two models are called {name}; give one of them another name, as in OTHER=MODEL"
            )
            raise InvalidSettings(message)
    return listed
