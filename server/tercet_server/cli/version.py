"""`tercet version`: which Tercet this is."""

import typer

from tercet_server.version import package_version

app = typer.Typer(add_completion=False)


def version_line() -> str:
    """The name and the version, "tercet 1.2.3"."""
    return f"tercet {package_version()}"


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(version_line())
