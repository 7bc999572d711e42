"""`tercet version`: which Tercet this is."""

from importlib import metadata

import typer

app = typer.Typer(add_completion=False)


def version_line() -> str:
    """The name and the version, "tercet 1.2.3"."""
    return f"tercet {package_version()}"


def package_version() -> str:
    """The installed version; "0" where Tercet runs from a tree that was never installed."""
    try:
        return metadata.version("tercet")
    except metadata.PackageNotFoundError:
        return "0"


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(version_line())
