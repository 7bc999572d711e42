"""Why a repository could not be had, in words that say what to do next."""

from typing import Final

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tercet_engine.errors import FetchFailed, LoadError, ModelNotFound
from tercet_engine.hub.names import HubName

_HTTP_LIBRARIES: Final = ("httpx", "requests", "urllib3")
"""Whose errors mean the network; which of them the Hub's library uses depends on its version."""


def is_absence(error: Exception) -> bool:
    """Whether the Hub could not be asked, so that what is on the disk may stand for its answer."""
    if isinstance(error, OfflineModeIsEnabled):
        return True
    if isinstance(error, HfHubHTTPError):
        status = getattr(error.response, "status_code", 0)
        return status >= 500 or status in {408, 429}
    return not isinstance(error, LoadError)


def explain_fault(error: Exception, name: HubName, *, has_token: bool) -> LoadError:
    """Turn what the Hub, or the way to it, did into an error of ours."""
    if isinstance(error, LoadError):
        return error
    if isinstance(error, HfHubHTTPError):
        return _answered(error, name, has_token=has_token)
    elsewhere = f"fetch it on another host with `tercet pull {name}` and copy the folder"
    if isinstance(error, OfflineModeIsEnabled):
        return ModelNotFound(
            f"{name} is not on this disk, and HF_HUB_OFFLINE forbids to ask the network for it; "
            f"unset that, or {elsewhere}"
        )
    told = f"({type(error).__name__}: {_first_line(error)})"
    is_network = isinstance(error, OSError) or type(error).__module__.startswith(_HTTP_LIBRARIES)
    if is_network:
        return ModelNotFound(
            f"{name} is not on this disk, and the Hub at {constants.ENDPOINT} "
            f"cannot be reached {told}; check the network, or {elsewhere}"
        )
    return FetchFailed(f"{name} could not be fetched {told}")


def _answered(error: HfHubHTTPError, name: HubName, *, has_token: bool) -> LoadError:
    """What the Hub's refusal means."""
    status = getattr(error.response, "status_code", 0)
    page = f"{constants.ENDPOINT}/{name.repo}"
    if isinstance(error, GatedRepoError) and has_token:
        sentence = (
            f"is gated: the token's account has not been granted access; ask for it at {page}"
        )
    elif isinstance(error, GatedRepoError):
        sentence = f"is gated: accept its terms at {page}, then give a token (HF_TOKEN or --token)"
    elif isinstance(error, RepositoryNotFoundError):
        whom = "another token" if has_token else "a token (HF_TOKEN or --token)"
        sentence = f"is not on the Hub; check the spelling, or if it is private, give {whom}"
    elif isinstance(error, RevisionNotFoundError):
        revision = name.revision or "main"
        return ModelNotFound(
            f"{name.repo} has no revision {revision} on the Hub; {page} lists branches, tags and "
            "commits"
        )
    elif status in {401, 403}:
        sentence = f"is refused by the Hub ({status}); check the token (HF_TOKEN or --token)"
    else:
        message = f"{name} is not on this disk, and the Hub answers {status}; try again later"
        return FetchFailed(message)
    return ModelNotFound(f"{name.repo} {sentence}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no details")[:300]
