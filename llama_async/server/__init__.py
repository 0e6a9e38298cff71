"""An optional HTTP server: openai's API over a client, as an ASGI application or a program of its own.

    from llama_async.server import ServerSettings, create_app, load_settings, run

    run(ServerSettings(model="model.gguf"))                                   # a server, until it is told to stop
    app = create_app(client)                                                  # or an application, to mount elsewhere

Uses the public client and the routes it shares with `as_openai()`; needs the extra `llama-async[server]`.
"""

from __future__ import annotations

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(f"the server needs more packages ({error}): pip install 'llama-async[server]'") from error

from ._app import Application, create_app
from ._run import run
from ._settings import AppSettings, ServerSettings, load_settings

__all__ = ["AppSettings", "Application", "ServerSettings", "create_app", "load_settings", "run"]
