"""Answers HEAD wherever GET is answered: the same status and headers, and no body.

Load balancers, link checkers and Ollama's clients ask so. What they ask is computed as for GET, and
only what would follow the headers is left out.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware. Nothing behind it sees HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)
