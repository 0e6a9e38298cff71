"""What a server can be told: checked when it is made; from a file, the environment and flags by `load_settings`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from typing_extensions import Self

from llama_async._errors import OptionError
from llama_async._options import ModelOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["AppSettings", "ServerSettings", "client_options", "load_settings"]

ENV_PREFIX = "LLAMA_ASYNC_SERVER_"

_CONFIG = ConfigDict(extra="forbid", frozen=True)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _listed(value: object) -> object:
    # An environment variable, or a flag given once.
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class AppSettings(BaseModel):
    """What an application lets in, and what it shows.

    Attributes:
        api_keys: Keys that requests must carry one of (`Authorization: Bearer KEY` or `X-API-Key: KEY`); none: requests
            need none.
        api_key_file: A file of further keys, one a line; empty lines and those that begin with `#` are skipped.
        allowed_hosts: Names that requests may address the server by (the `Host` header, without port); none: any. A
            page elsewhere can make a browser address a server on its own machine by a name of the page's, past the
            browser's rules.
        cors_origins: Origins whose pages a browser may let in, such as `https://example.com`; `*`: all.
        max_body_bytes: Longest body of a request. Longer ones are answered 413.
        max_buffered_bytes: Bytes that the bodies of all requests may take together, each until its answer begins; what
            goes beyond is answered 429.
        max_messages: Most messages of a conversation; more are answered 413.
        max_schema_bytes: Longest schema, or list of tools, as JSON; longer ones are answered 413.
        max_requests: Requests in flight, those included whose bodies are still coming; more are answered 429.
        body_timeout_s: Seconds that a request's body may take to come. Slower ones are answered 408.
        write_timeout_s: Seconds that a client may leave an answer unread before the connection is cut.
        request_timeout_s: Seconds an answer may take or, when streaming, the engine may stay silent.
        keep_alive_s: Seconds of silence after which a stream gets a comment, so that nothing between takes it for dead.
        allow_delete: Whether `DELETE /models/{name}` takes the name away, for everybody; otherwise it is answered 403.
        page: Whether `/` shows a page to chat with.
        docs: Whether there are `/docs` and `/openapi.json`.
        metrics: Whether there is `/metrics`.
    """

    model_config = _CONFIG

    api_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(_listed)] = ()
    api_key_file: Path | None = None
    allowed_hosts: Names = ()
    cors_origins: Names = ()
    max_body_bytes: Count = 8 << 20
    max_buffered_bytes: Count = 512 << 20
    max_messages: Count = 4096
    max_schema_bytes: Count = 1 << 20
    max_requests: Count = 2048
    body_timeout_s: Seconds = 30
    write_timeout_s: Seconds = 60
    request_timeout_s: Seconds = 600
    keep_alive_s: Seconds = 10
    allow_delete: bool = False
    page: bool = True
    docs: bool = True
    metrics: bool = True

    @model_validator(mode="after")
    def _buffers_any_body(self) -> Self:
        if self.max_buffered_bytes < self.max_body_bytes:
            raise ValueError(
                f"max_buffered_bytes is {self.max_buffered_bytes}, but must be max_body_bytes, which is "
                f"{self.max_body_bytes}, or more"
            )
        return self


def _model_fields() -> dict[str, Any]:
    # The client's own list of options, so that there is no second one.
    names = {"os": os, "Sequence": Sequence}
    hints = get_type_hints(ModelOptions, localns=names)
    del hints["path"]
    return {name: (hint | None, None) for name, hint in hints.items()}


_ModelSettings: Any = create_model("_ModelSettings", __base__=AppSettings, **_model_fields())
_ModelTable: Any = create_model("_ModelTable", __config__=_CONFIG, path=(Path, ...), **_model_fields())


class ServerSettings(_ModelSettings):  # type: ignore[misc] # (its fields are known at run time only)
    """What a server of its own is told: models, where it listens, how it ends; with all of `AppSettings`.

    Beside the fields below it has every option of a model that `AsyncLlama` takes (`n_ctx`, `n_parallel`, ...), for all
    models that do not say otherwise.

    Attributes:
        model: Path of a GGUF file.
        models: Instead of `model`, several by name: a path, or a table of `path` and options.
        alias: Further names of `model`; `*`: any.
        aliases: Further name -> name of a model.
        memory_budget: Bytes that the loaded models may take together.
        store: Where `store: true` keeps answers: a file, `:memory:`, or nothing for nowhere.
        preload: Whether all models are loaded before the server is ready, rather than with the first request. Where
            there is a `memory_budget`, none is.
        host: Address to listen at.
        port: Port; 0: any that is free.
        ssl_certfile: A certificate and those that lead to it, as PEM: it speaks TLS, and nothing else.
        ssl_keyfile: The certificate's key, as PEM, without a password; none: it is in `ssl_certfile`.
        root_path: The path that a proxy puts this server under.
        header_timeout_s: Seconds that the head of a request may take to come.
        idle_timeout_s: Seconds that a connection may stay open between requests.
        drain_s: Seconds between being told to stop and refusing connections; meanwhile `/health/ready` says no.
        shutdown_s: Seconds that answers may go on after that, before they end with an error.
        access_log: Whether each request is logged.
        log_level: How much is logged.
    """

    model: Path | None = None
    models: dict[str, Path | _ModelTable] = Field(default_factory=dict)
    alias: Names = ()
    aliases: dict[str, str] = Field(default_factory=dict)
    memory_budget: int | None = None
    store: str | None = ":memory:"
    preload: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    root_path: str = ""
    header_timeout_s: Seconds = 10
    idle_timeout_s: Seconds = 75
    drain_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    shutdown_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30
    access_log: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _has_models(self) -> Self:
        if (self.model is None) == (not self.models):
            raise ValueError("either model or models must be given")
        return self

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_certfile must be given where ssl_keyfile is")
        return self


def client_options(settings: ServerSettings) -> dict[str, Any]:
    """Return the arguments of the client that settings describe."""
    options = {
        name: value
        for name in ModelOptions.__annotations__
        if name != "path" and (value := getattr(settings, name)) is not None
    }
    options |= {"memory_budget": settings.memory_budget, "aliases": settings.aliases, "store": settings.store}
    if settings.model is not None:
        return {"model": settings.model, "alias": settings.alias, **options}
    models = {
        name: model if isinstance(model, Path) else model.model_dump(exclude_unset=True)
        for name, model in settings.models.items()
    }
    return {"models": models, **options}


def load_settings(
    file: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ServerSettings:
    """Return settings from a TOML file, the environment and flags; each overrides those before it, table by table.

    Args:
        file: The file; its keys are the names of `ServerSettings`. Relative paths in it are relative to the file.
        flags: By the same names. `None` stands for a flag that was not given.
        environment: Variables `LLAMA_ASYNC_SERVER_` and a name in capitals; `__` before a name within a table, as in
            `LLAMA_ASYNC_SERVER_MODELS__CHAT__N_CTX`. Lists are separated by commas, or JSON, as tables are. Default:
            the process's own.

    Raises:
        OptionError: A setting is unknown or wrong, or the file cannot be read.
    """
    given = {} if file is None else _from_file(Path(file))
    sources = (_from_environment(os.environ if environment is None else environment), flags or {})
    for source in sources:
        values = {name: value for name, value in source.items() if value is not None}
        # One model in a place that counts more stands for all models of one that counts less.
        if "model" in values:
            given.pop("models", None)
        if "models" in values:
            given.pop("model", None)
        given = _merged(given, values)
    if given.get("store") == "":
        given["store"] = None  # TOML has no word for nothing, nor has the environment
    try:
        settings: ServerSettings = ServerSettings.model_validate(given)
    except ValidationError as error:
        raise _option_error(error) from None
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise OptionError("config", str(file), f"a TOML file that can be read: {error}") from None
    directory = file.parent

    def located(path: object) -> object:
        return str(directory / path) if isinstance(path, str) else path

    for name in ("model", "draft_model", "api_key_file", "ssl_certfile", "ssl_keyfile", "store"):
        if values.get(name) not in (None, "", ":memory:"):
            values[name] = located(values[name])
    models = values.get("models")
    if isinstance(models, dict):
        for name, model in models.items():
            if not isinstance(model, dict):
                models[name] = located(model)
                continue
            models[name] = {**model, "path": located(model.get("path"))}
            if "draft_model" in model:
                models[name]["draft_model"] = located(model["draft_model"])
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        *tables, name = variable.removeprefix(ENV_PREFIX).lower().split("__")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise OptionError(variable, text, "left out where the whole table is given by a variable of its own")
        value: object = text
        if text[:1] in {"{", "["}:
            try:
                value = json.loads(text)
            except ValueError as error:
                raise OptionError(variable, text, f"JSON where it begins as such: {error}") from None
        table[name] = value
    return values


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _option_error(error: ValidationError) -> OptionError:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return OptionError(place, first["input"], "left out: there is no such setting")
    reason = first["msg"].removeprefix("Value error, ")
    return OptionError(place or "settings", first["input"] if place else None, reason[:1].lower() + reason[1:])
