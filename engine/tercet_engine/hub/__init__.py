"""Where is the model? A folder, a file, a name on the Hub, or the one inside this package.

What a name stands for is fetched once, file by file, into the Hub's own cache, where other tools
find it too: only the files that are needed, resumed where an earlier attempt ended, and given
their names only after their checksums agree. Without a network what is there already serves.
"""

from tercet_engine.hub.cache import find_cached
from tercet_engine.hub.choice import Form, Wanted
from tercet_engine.hub.find import EMBEDDED_MODEL, ModelFolder, find_model, locate_model
from tercet_engine.hub.listener import FetchListener, PlannedFile, SilentFetch
from tercet_engine.hub.names import HubName, parse_hub_name

__all__ = [
    "EMBEDDED_MODEL",
    "FetchListener",
    "Form",
    "HubName",
    "ModelFolder",
    "PlannedFile",
    "SilentFetch",
    "Wanted",
    "find_cached",
    "find_model",
    "locate_model",
    "parse_hub_name",
]
