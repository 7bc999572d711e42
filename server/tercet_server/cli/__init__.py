"""The command `tercet`: serve a model, measure a host, talk to a model.

The commands live in a module each and are imported when they are called, so that `tercet --help`
answers at once.
"""

from tercet_server.cli.app import main

__all__ = ["main"]
