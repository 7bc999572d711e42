"""The API keys that are valid just now, and the key that a request has sent.

Every key is compared, each in constant time, so that the time taken tells nothing of them.
"""

import hmac
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import Headers

from tercet_server.config_file import InvalidConfigFile
from tercet_server.key_file import ApiKey, digest_of, read_key_file
from tercet_server.settings import InvalidSettings, Settings


class KeyRing:
    """The server's keys.

    Args:
        plain: keys without names or limits.
        path: of the file of those with them.

    Raises:
        InvalidSettings: the file is wrong.
    """

    def __init__(self, plain: Sequence[str] = (), path: Path | None = None) -> None:
        self._plain = tuple(ApiKey(None, (digest_of(key.encode()),)) for key in plain)
        self._path = path
        self._keys = self._plain
        if path is not None:
            try:
                self.reload()
            except InvalidConfigFile as error:
                message = f"--api-keys-file (TERCET_API_KEYS_FILE): {error}"
                raise InvalidSettings(message) from None

    @classmethod
    def of(cls, settings: Settings) -> "KeyRing":
        """The keys that the settings name. Raises `InvalidSettings`."""
        plain = [key.get_secret_value() for key in settings.api_key]
        return cls(plain, settings.api_keys_file)

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a key."""
        return not self._keys

    @property
    def num_keys(self) -> int:
        """How many there are."""
        return len(self._keys)

    def find(self, given: bytes) -> ApiKey | None:
        """Whose key this is; None: nobody's."""
        digest = digest_of(given)
        found = None
        for key in self._keys:
            for known in key.digests:
                if hmac.compare_digest(digest, known):
                    found = key
        return found

    def reload(self) -> None:
        """Read the file again; what was valid stays so where the file is wrong.

        Raises:
            InvalidConfigFile: it is.
        """
        if self._path is not None:
            self._keys = (*self._plain, *read_key_file(self._path))


def given_key(headers: Headers) -> bytes:
    """The key that a request has sent; empty: none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("x-api-key", "")  # Anthropic's clients send it so
    return given.strip().encode("latin-1")
