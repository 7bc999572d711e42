import inspect

from tercet_engine import EngineError, errors


def is_error(member: object) -> bool:
    return inspect.isclass(member) and issubclass(member, Exception)


def test_the_tree_in_the_modules_docstring_is_the_tree() -> None:
    """Every error is drawn there, below its parent."""
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        head = line.lstrip("│├└─ ")
        name = head.split(" ")[0]
        if not name.endswith(":") and inspect.isclass(getattr(errors, name, None)):
            depth = (len(line) - len(head)) // 4
            path[depth:] = [name]
            drawn[name] = path[depth - 1] if depth else None
    classes = dict(inspect.getmembers(errors, is_error))

    assert drawn == {
        name: None if cls is EngineError else cls.__base__.__name__ for name, cls in classes.items()
    }


def test_every_error_is_part_of_the_public_face() -> None:
    import tercet_engine

    for name, _ in inspect.getmembers(errors, is_error):
        assert name in tercet_engine.__all__


def test_what_a_file_says_is_quoted_in_part_and_does_nothing_to_a_terminal() -> None:
    told = str(errors.CheckpointError(f"a.json: \x1b[2J \ud800 \u202e é is {'x' * 5000}."))

    assert told.startswith(r"a.json: \x1b[2J \ud800 \u202e é is xxx")
    assert "characters are left out" in told
    assert told.endswith("x.")
    assert len(told) < 2000
