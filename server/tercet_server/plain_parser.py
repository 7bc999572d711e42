"""httptools' parser of requests, to which `Upgrade` means nothing.

A client may offer to speak HTTP/2 or WebSockets with any request, and goes on in HTTP/1.1 where the
offer is not taken: Java's own client and `curl --http2` do so even with a body. httptools stops
reading at the end of such a head and takes the body for another protocol. So a second parser is
told the same head without the offer, and reads on.
"""

from typing import Any, Final

import httptools

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class PlainParser:
    """Tells a protocol of the requests that come.

    Args:
        protocol: has httptools' callbacks.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._is_replaying = False
        self._framing: list[bytes] = []
        self._parser = self._new_parser()

    def feed_data(self, data: bytes) -> None:
        """Parse what has come.

        Raises:
            httptools.HttpParserError: it is no HTTP, or a callback failed.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._read_on()
            else:
                return
            if not data:
                return

    def get_method(self) -> bytes:
        """Of the request whose head has been read."""
        return bytes(self._parser.get_method())

    def get_http_version(self) -> str:
        """Of the same."""
        return str(self._parser.get_http_version())

    def should_keep_alive(self) -> bool:
        """Whether its client wants to send another."""
        return bool(self._parser.should_keep_alive())

    def should_upgrade(self) -> bool:
        """Never."""
        return False

    def on_message_begin(self) -> None:
        """Called by httptools, as are the others."""
        if not self._is_replaying:
            self._framing = []
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if not self._is_replaying:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self._is_replaying:
            return
        if name.lower() in _FRAMING:
            self._framing.append(name + b": " + value + b"\r\n")
        self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is read."""
        if not self._is_replaying:
            self._protocol.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        """The request is read; where it ends in an offer, only its head is."""
        if self._is_replaying or not self._parser.should_upgrade():
            self._protocol.on_message_complete()

    def _read_on(self) -> None:
        version = self.get_http_version()
        self._parser = self._new_parser()
        self._is_replaying = True
        head = f"POST / HTTP/{version}\r\n".encode() + b"".join(self._framing) + b"\r\n"
        try:
            self._parser.feed_data(head)
        finally:
            self._is_replaying = False

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        if hasattr(parser, "set_dangerous_leniencies"):  # as uvicorn has it
            parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser
