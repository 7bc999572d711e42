"""Which Tercet this is."""

from importlib import metadata


def package_version() -> str:
    """The installed version; "0" where Tercet runs from a tree that was never installed."""
    try:
        return metadata.version("tercet")
    except metadata.PackageNotFoundError:
        return "0"
