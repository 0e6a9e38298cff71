"""`llama-async serve`: flags and names of models become the server's settings."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_async._errors import OptionError

from .fetching import model_file
from .session import template_text
from .terminal import escaped, fail, messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Flags", "serve"]

Flags: TypeAlias = dict[str, Any]


def serve(model: str | None, config: Path | None, flags: Flags, settings: Sequence[str], *, quiet: bool) -> None:
    """Serve until told to stop.

    Args:
        model: What to serve; `None`: what the configuration says, and where it says nothing the default model.
        config: A TOML file.
        flags: By the names of the server's settings; `None`: not given.
        settings: Further ones, as `name=value`.
        quiet: Whether nothing is shown but the log.

    Raises:
        OptionError: A setting is wrong.
        DownloadError: The model cannot be had.
        ModelLoadError: It cannot be loaded.
        typer.Exit: The extra is missing.
    """
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise fail("llama-async serve needs: pip install 'llama-async[server]'")
    from llama_async.server import load_settings, run

    flags = {**_parsed(settings), **{name: value for name, value in flags.items() if value is not None}}
    if isinstance(flags.get("chat_template"), str):
        flags["chat_template"] = template_text(flags["chat_template"])
    if model is None and config is None and not _is_configured(flags):
        model = "default"
    if model is not None:
        flags["model"] = model_file(model, quiet=quiet)

    def on_ready(url: str) -> None:
        if not quiet:
            messages().print(f"[bold]{escaped(url)}[/]  [dim]the API is below {escaped(url)}/v1[/]", soft_wrap=True)

    run(load_settings(config, flags), on_ready=on_ready)


def _is_configured(flags: Flags) -> bool:
    names = ("model", "models")
    return any(name in flags for name in names) or any(
        variable.startswith(f"LLAMA_ASYNC_SERVER_{name.upper()}") for variable in os.environ for name in names
    )


def _parsed(settings: Sequence[str]) -> Flags:
    """Return `a.b=1` as `{"a": {"b": 1}}`; a value that is no JSON is text."""
    parsed: Flags = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise OptionError("set", setting, "NAME=VALUE")
        *tables, name = path.strip().split(".")
        table = parsed
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise OptionError("set", setting, "below a table")
        try:
            table[name] = json.loads(text)
        except ValueError:
            table[name] = text
    return parsed
