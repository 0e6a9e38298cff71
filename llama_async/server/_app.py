"""`create_app`: the API, health, metrics and pages as one ASGI application, alone or mounted in another.

Owns which path leads where, and in which order a request passes what may refuse it. An application made from settings
owns its client, which lives as long as the application's lifespan; one made from a client leaves it to its owner.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from llama_async import AsyncLlama
from llama_async._errors import OptionError
from llama_async._wire import error_reply

from ._endpoint import Endpoint, discard_body, send_reply
from ._guard import Guard
from ._metrics import CONTENT_TYPE, Latencies, Metrics
from ._openapi import document
from ._page import html_page
from ._settings import AppSettings, ServerSettings, client_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Application", "create_app"]

_JSON = {"content-type": "application/json"}


def create_app(source: AsyncLlama | ServerSettings, settings: AppSettings | None = None) -> Application:
    """Return an ASGI application that answers openai's API with a client.

    Args:
        source: A client, which stays the caller's to close; or settings, whose client the application makes and, in
            its lifespan, closes.
        settings: Keys, limits and pages, where the source is a client.

    Raises:
        OptionError: A setting is wrong.
    """
    if isinstance(source, ServerSettings):
        if settings is not None:
            raise OptionError("settings", settings, "left out where the first argument is settings")
        return Application(AsyncLlama(**client_options(source)), source, owns_client=True)
    return Application(source, settings or AppSettings())


class Application(Starlette):
    """The server as an application; `create_app` makes it.

    Mounted in a FastAPI or Starlette application it does not see that application's lifespan, as no mounted one does.
    Where it owns its client, hand its own over: `FastAPI(lifespan=app.lifespan)`, or `async with app.lifespan()` inside
    another.

    Args:
        client: Who answers.
        settings: Keys, limits and pages.
        owns_client: Whether the lifespan loads and closes the client.
    """

    def __init__(self, client: AsyncLlama, settings: AppSettings, *, owns_client: bool = False) -> None:
        self.client = client
        self.settings = settings
        self._owns_client = owns_client
        latencies = Latencies()
        self._endpoint = Endpoint(client, settings, latencies)
        self._metrics = Metrics(client, latencies, lambda: self._endpoint.n_requests)
        self._has_started = not owns_client
        self._is_ending = False
        self._guard = Guard(settings)
        middleware = [Middleware(_Gate, guard=self._guard, application=self)]
        if settings.cors_origins:
            cors = Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["x-request-id", "openai-processing-ms", "retry-after"],
            )
            middleware.insert(0, cors)
        super().__init__(middleware=middleware, lifespan=Application.lifespan)
        # Not a Mount: its patterns do not match a path with an encoded line end, which would be answered in plain text.
        self.router.default = self._endpoint

    @asynccontextmanager
    async def lifespan(self, _parent: object = None) -> AsyncIterator[None]:
        """Load the models, and close them at the end, where the client is the application's own.

        Args:
            _parent: The application whose lifespan this becomes.
        """
        if not self._owns_client:
            yield
            return
        try:
            await self.load()
            yield
        finally:
            self.begin_drain()
            await self.client.close()

    async def load(self) -> None:
        """Load the models that the settings want to be there from the beginning; the application is ready then.

        Raises:
            ModelLoadError: One cannot be loaded.
        """
        settings = self.settings
        if isinstance(settings, ServerSettings) and settings.preload and settings.memory_budget is None:
            for name in self.client._registry.first_names:  # noqa: SLF001 (the public list has every name of a model)
                await self.client.load(name)
        self._has_started = True

    # -- the end

    @property
    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return self._has_started and not self._is_ending and not self.client.is_closed()

    @property
    def has_keys(self) -> bool:
        """Whether requests need a key."""
        return self._guard.has_keys

    @property
    def n_requests(self) -> int:
        """Requests in flight."""
        return self._endpoint.n_requests

    def begin_drain(self) -> None:
        """Have `/health/ready` say no from now on; requests are answered still."""
        self._is_ending = True

    def stop_accepting(self) -> None:
        """Refuse requests that come from now on."""
        self._is_ending = True
        self._endpoint.is_closed = True

    def end_requests(self) -> None:
        """End every request in flight with an error that says why."""
        self._endpoint.end_requests()

    # -- what is not the API

    def page(self, path: str) -> tuple[int, Mapping[str, str], bytes] | None:
        """Return the reply to a GET of a path that is not the API's: status, headers, body; `None` for all others."""
        settings = self.settings
        if path in {"/health", "/health/live"}:
            return 200, _JSON, b'{"status":"ok"}'
        if path == "/health/ready":
            ready = self.is_ready
            return (200 if ready else 503), _JSON, b'{"status":"ready"}' if ready else b'{"status":"not ready"}'
        if path == "/metrics" and settings.metrics:
            return 200, {"content-type": CONTENT_TYPE}, self._metrics.text()
        if path in {"", "/"} and settings.page:
            return 200, *html_page("page.html")
        if path == "/docs" and settings.docs:
            return 200, *html_page("docs.html")
        if path == "/openapi.json" and settings.docs:
            return 200, _JSON, json.dumps(document(has_keys=self.has_keys)).encode()
        return None


# Paths that need no key: whoever looks after the server has none, and the page must be there to be given one.
_OPEN = frozenset({"", "/", "/health", "/health/live", "/health/ready", "/docs", "/openapi.json"})


class _Gate:
    """Refuses what may not pass, answers what is not the API's, and passes the rest on."""

    def __init__(self, app: ASGIApp, *, guard: Guard, application: Application) -> None:
        self._app = app
        self._guard = guard
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        path = path.removeprefix("/v1") if path.startswith("/v1/") and path != "/v1/" else path
        method = scope["method"]
        refusal = self._guard.refusal(method, dict(scope["headers"]), is_open=path in _OPEN)
        if refusal is not None:
            await discard_body(scope, receive, self._application.settings.max_body_bytes)
            status_code, headers, body = error_reply(refusal)
            await send_reply(send, status_code, {**headers, "connection": "close"}, body)
            return
        page = self._application.page(path) if method in {"GET", "HEAD"} else None
        if page is None:
            await self._app(scope, receive, send)
            return
        await send_reply(send, *page)
