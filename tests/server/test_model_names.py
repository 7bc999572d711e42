"""From the words of the settings to the names of each model."""

import pytest

from tercet_server.model_choice import Choice
from tercet_server.model_names import Names, choices_of, names_of
from tercet_server.settings import InvalidSettings, load_settings


def names(*model: str, ids: list[str], **fields: object) -> list[Names]:
    return names_of(load_settings(model=model, **fields), ids)


@pytest.mark.parametrize(
    ("word", "choice"),
    [
        ("org/name@main", Choice("org/name@main")),
        ("chat=org/name", Choice("org/name", "chat")),
        ("gpt-4o:mini=/models/x", Choice("/models/x", "gpt-4o:mini")),
        ("org/name=./x=y", Choice("./x=y", "org/name")),
        ("/models/a=b", Choice("/models/a=b")),
        ("./a=b", Choice("./a=b")),
        ("~/a=b", Choice("~/a=b")),
        ("=a", Choice("=a")),
        ("a=", Choice("a=")),
    ],
)
def test_a_name_stands_before_the_model(word: str, choice: Choice) -> None:
    assert choices_of(load_settings(model=[word])) == [choice]


def test_no_model_is_the_one_in_the_package() -> None:
    assert choices_of(load_settings()) == [Choice()]


def test_the_variable_separates_models_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCET_MODEL", "chat=org/name, ./small")
    assert choices_of(load_settings()) == [Choice("org/name", "chat"), Choice("./small")]


def test_a_model_goes_by_its_own_id_unless_it_is_given_a_name() -> None:
    assert names("./x", "chat=./y", ids=["x", "y"]) == [Names(("x",)), Names(("chat",), ("y",))]


def test_an_id_that_two_models_share_means_neither() -> None:
    assert names("a=./x", "b=./x", ids=["x", "x"]) == [Names(("a",)), Names(("b",))]


def test_an_id_that_another_model_goes_by_is_that_models() -> None:
    assert names("a=./x", "x=./y", ids=["x", "y"]) == [Names(("a",)), Names(("x",), ("y",))]


def test_aliases_are_listed_behind_the_name() -> None:
    found = names("chat=./x", "./y", ids=["x", "y"], alias=["gpt=chat", "claude=x", "small=y"])
    assert found == [Names(("chat", "gpt", "claude"), ("x",)), Names(("y", "small"))]


def test_an_own_id_that_is_an_alias_too_is_listed_once() -> None:
    assert names("chat=./x", ids=["x"], alias=["x=chat"]) == [Names(("chat", "x"))]


def test_names_that_replace_the_models_own_take_aliases_too() -> None:
    found = names("./x", ids=["x"], served_model_name=["a", "b"], alias=["c=b"])
    assert found == [Names(("a", "b", "c"))]


@pytest.mark.parametrize(
    ("model", "ids", "fields", "words"),
    [
        (["./x", "/y/x"], ["x", "x"], {}, "two models are called x"),
        (["a=./x", "a=./y"], ["x", "y"], {}, "two models are called a; give one of them another"),
        (["./x"], ["x"], {"alias": ["a=y"]}, "no model is called y; there are x"),
        (["./x", "./y"], ["x", "y"], {"alias": ["x=y"]}, "another model is called x already"),
        (
            ["./x", "./y"],
            ["x", "y"],
            {"alias": ["a=x", "a=y"]},
            "alias a=y: another model is called a already",
        ),
        (["./x", "./y"], ["x", "y"], {"served_model_name": ["a"]}, "names the one model"),
        (["a=./x"], ["x"], {"served_model_name": ["b"]}, "names the one model"),
    ],
)
def test_what_would_not_be_clear_is_refused(
    model: list[str], ids: list[str], fields: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidSettings, match=words):
        names(*model, ids=ids, **fields)


@pytest.mark.parametrize("pair", ["a", "a=", "=a"])
def test_an_alias_has_a_name_and_a_model(pair: str) -> None:
    with pytest.raises(InvalidSettings, match="must be NAME=MODEL"):
        load_settings(alias=[pair])
